CREATE TABLE unspent WITH (format = 'PARQUET') AS WITH every_lot AS (SELECT email, nth, source, lot, used, turn FROM queue_8
                UNION ALL SELECT email, nth, source, lot, used, turn FROM events WHERE email NOT IN (SELECT email FROM events WHERE back > 0)),
            run AS (SELECT email, nth, source, lot, used, turn,
                    sum(lot - used) OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING) AS run,
                    sum(lot) OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING) AS arrived FROM every_lot),
            level AS (SELECT email, sum(lot - used) - least(0, min(run)) AS level, sum(lot) AS every, max(turn) AS turns
                FROM run GROUP BY email),
            rest AS (SELECT r.email, r.source, sum(least(r.lot, greatest(0, l.level - (l.every - r.arrived)))) AS rest
                FROM run r JOIN level l ON l.email = r.email GROUP BY r.email, r.source)
            SELECT p.payment_id, p.email, CASE WHEN l.turns <= 8 AND f.subject IS NULL THEN r.rest END AS unspent
            FROM (SELECT DISTINCT email, payment_id FROM events WHERE is_purchase AND payment_id IS NOT NULL) p
            JOIN level l ON l.email = p.email JOIN rest r ON r.email = p.email AND r.source = p.payment_id
            LEFT JOIN (SELECT DISTINCT subject FROM account_findings) f ON f.subject = p.email;
