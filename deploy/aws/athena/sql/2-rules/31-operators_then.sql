CREATE TABLE operators_then WITH (format = 'PARQUET') AS SELECT o.name, o.acted_at,
                -- what held as the act may have begun, and whatever began to hold until it may have been booked
                coalesce(max(CASE WHEN CAST(replace(substr(t.acted_at, 1, 26), 'T', ' ') AS TIMESTAMP) <= CAST(replace(substr(o.acted_at, 1, 26), 'T', ' ') AS TIMESTAMP) - INTERVAL '6' MINUTE THEN t.nth END), 0) AS ended,
                coalesce(max(CASE WHEN t.nth = 1 THEN (CASE WHEN t.becomes THEN 0 ELSE 1 END) END),
                    max(CASE WHEN a.role = 'admin' THEN 1 ELSE 0 END), 0) AS at_first,
                coalesce(max(CASE WHEN CAST(replace(substr(t.acted_at, 1, 26), 'T', ' ') AS TIMESTAMP) > CAST(replace(substr(o.acted_at, 1, 26), 'T', ' ') AS TIMESTAMP) - INTERVAL '6' MINUTE AND CAST(replace(substr(t.acted_at, 1, 26), 'T', ' ') AS TIMESTAMP) <= CAST(replace(substr(o.acted_at, 1, 26), 'T', ' ') AS TIMESTAMP) + INTERVAL '6' MINUTE AND t.becomes THEN 1 END), 0)
                    AS became
            FROM (SELECT DISTINCT name, acted_at FROM (SELECT actor AS name, acted_at FROM made UNION ALL SELECT proposed_by, acted_at FROM made) n
                  WHERE strpos(name, '@') > 0) o
            LEFT JOIN turns t ON t.name = o.name LEFT JOIN accounts a ON a.email = o.name
            GROUP BY o.name, o.acted_at;
