CREATE TABLE queue_3 WITH (format = 'PARQUET') AS WITH claim AS (SELECT email, nth, source, back FROM queue_2 WHERE back > 0 AND turn = 3),
                earlier AS (SELECT q.email, q.nth, q.source, q.lot, q.used, c.source AS claimed, c.back,
                        sum(q.lot - q.used) OVER (PARTITION BY q.email ORDER BY q.nth ROWS UNBOUNDED PRECEDING) AS run,
                        sum(q.lot) OVER (PARTITION BY q.email ORDER BY q.nth ROWS UNBOUNDED PRECEDING) AS arrived
                    FROM queue_2 q JOIN claim c ON c.email = q.email AND q.nth < c.nth),
                level AS (SELECT email, sum(lot - used) - least(0, min(run)) AS level, sum(lot) AS every FROM earlier GROUP BY email),
                own AS (SELECT e.email, e.nth, e.back, least(e.lot, greatest(0, l.level - (l.every - e.arrived))) AS rest
                    FROM earlier e JOIN level l ON l.email = e.email WHERE e.source = e.claimed AND e.lot > 0),
                taken AS (SELECT email, nth, least(rest, greatest(0, back + rest - sum(rest)
                        OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING))) AS took FROM own),
                whole AS (SELECT email, sum(took) AS took FROM taken GROUP BY email)
                SELECT q.email, q.nth, q.source, q.lot - coalesce(t.took, 0) AS lot,
                    q.used + CASE WHEN c.nth IS NULL THEN 0 ELSE q.back - coalesce(w.took, 0) END AS used, q.back, q.turn
                FROM queue_2 q LEFT JOIN taken t ON t.email = q.email AND t.nth = q.nth
                LEFT JOIN claim c ON c.email = q.email AND c.nth = q.nth LEFT JOIN whole w ON w.email = q.email;
