CREATE TABLE last_rows WITH (format = 'PARQUET') AS SELECT email, stored_after FROM (
                SELECT l.email, l.stored_after,
                    row_number() OVER (PARTITION BY l.email ORDER BY l.listed_at DESC, l.transaction_id DESC) AS nth
                FROM ledger l JOIN account_sums s ON s.email = l.email AND s.last = l.place) n WHERE nth = 1;
