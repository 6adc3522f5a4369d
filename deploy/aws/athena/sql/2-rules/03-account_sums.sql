CREATE TABLE account_sums WITH (format = 'PARQUET') AS SELECT a.email, a.balance, a.ends, coalesce(sum(l.amount), 0) AS total,
                coalesce(sum(CASE WHEN l.place = 0 THEN l.amount END), 0) AS brought,
                count(DISTINCT CASE WHEN l.place >= 1 THEN l.place END) AS places,
                count(CASE WHEN l.place <> 0 THEN 1 END) AS many, count(DISTINCT CASE WHEN l.place <> 0 THEN l.place END) AS different,
                max(CASE WHEN l.place <> 0 THEN l.place END) AS last
            FROM accounts a LEFT JOIN ledger l ON l.email = a.email AND l.place <= a.ends
            WHERE a.unexplained IS NULL AND a.odd IS NULL GROUP BY a.email, a.balance, a.ends;
