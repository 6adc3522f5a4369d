CREATE TABLE gaps WITH (format = 'PARQUET') AS SELECT email, ends, after_place + 1 AS first_lacking, place - 1 AS last_lacking FROM (
                SELECT p.email, p.ends, p.place,
                    coalesce(lag(p.place) OVER (PARTITION BY p.email ORDER BY p.place), 0) AS after_place
                FROM (SELECT DISTINCT l.email, s.ends, l.place FROM ledger l
                      JOIN account_sums s ON s.email = l.email AND s.places < s.ends
                      WHERE l.place BETWEEN 1 AND s.ends
                      UNION SELECT email, ends, ends + 1 FROM account_sums WHERE places < ends) p) q
            WHERE place > after_place + 1;
