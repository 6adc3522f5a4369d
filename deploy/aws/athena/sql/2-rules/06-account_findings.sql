CREATE TABLE account_findings WITH (format = 'PARQUET') AS SELECT email AS subject, 'balance and sum of the ledger' AS what, CAST(total AS VARCHAR) AS expected,
                CAST(balance AS VARCHAR) AS found, email FROM account_sums WHERE balance <> total
            UNION ALL SELECT s.email, 'balance and last balance_after', r.stored_after, CAST(s.balance AS VARCHAR), s.email
                FROM account_sums s JOIN last_rows r ON r.email = s.email WHERE r.stored_after <> CAST(s.balance AS VARCHAR)
            UNION ALL SELECT email, 'sequence numbers', '1 to ' || CAST(ends AS VARCHAR), 'without ' || '[' || array_join(array_agg(CAST(lacking AS VARCHAR) ORDER BY lacking), ', ') || ']', email
                FROM (SELECT g.email, g.ends, t.lacking,
                        row_number() OVER (PARTITION BY g.email ORDER BY t.lacking) AS nth
                      FROM gaps g CROSS JOIN UNNEST(sequence(g.first_lacking, least(g.last_lacking, g.first_lacking + 4))) AS t(lacking)) f
                WHERE nth <= 5 GROUP BY email, ends
            UNION ALL SELECT email, 'sequence numbers', 'each once', 'again ' || '[' || array_join(array_agg(CAST(place AS VARCHAR) ORDER BY place), ', ') || ']', email
                FROM (SELECT r.email, r.place, row_number() OVER (PARTITION BY r.email ORDER BY r.place) AS nth
                      FROM (SELECT l.email, l.place, count(*) AS times FROM ledger l
                            JOIN account_sums s ON s.email = l.email AND s.many > s.different
                            WHERE l.place <> 0 AND l.place <= s.ends GROUP BY l.email, l.place HAVING count(*) > 1) r
                      CROSS JOIN UNNEST(sequence(1, r.times - 1)) AS t(time)) f
                WHERE nth <= 5 GROUP BY email
            UNION ALL SELECT email, 'running balance at ' || CAST(place AS VARCHAR), CAST(running AS VARCHAR), stored_after, email
                FROM (SELECT email, place, running, stored_after,
                        row_number() OVER (PARTITION BY email ORDER BY place) AS nth
                      FROM (SELECT l.email, l.place, l.stored_after, l.balance_after,
        s.brought + sum(l.amount) OVER (PARTITION BY l.email ORDER BY l.place ROWS UNBOUNDED PRECEDING) AS running
        FROM ledger l JOIN account_sums s ON s.email = l.email
        WHERE l.place <> 0 AND l.place <= s.ends AND s.places = s.ends AND s.many = s.different) w WHERE balance_after IS NULL OR balance_after <> running) f WHERE nth = 1
            UNION ALL SELECT email, 'opening row', 'a balance that the ledger explains', unexplained, CAST(NULL AS VARCHAR)
                FROM accounts WHERE unexplained IS NOT NULL
            UNION ALL SELECT email, 'numbers of the account', 'whole numbers', odd, email
                FROM accounts WHERE unexplained IS NULL AND odd IS NOT NULL
            UNION ALL SELECT email, 'ledger row ' || CAST(min(place) AS VARCHAR), 'counted in the balance',
                'the account ends at ' || CAST(ends AS VARCHAR), email
                FROM ledger WHERE has_account AND place > ends GROUP BY email, ends
            UNION ALL SELECT email, 'account of the ledger rows', 'an account', 'none', CAST(NULL AS VARCHAR)
                FROM ledger WHERE NOT has_account GROUP BY email
            UNION ALL SELECT transaction_id, 'amount', 'whole credits', unreadable, email
                FROM ledger WHERE unreadable IS NOT NULL AND counts
            UNION ALL SELECT transaction_id, 'place in the ledger', 'a whole number', misplaced, email
                FROM ledger WHERE misplaced IS NOT NULL;
