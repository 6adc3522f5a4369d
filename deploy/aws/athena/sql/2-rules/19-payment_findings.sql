CREATE TABLE payment_findings WITH (format = 'PARQUET') AS SELECT p.payment_id AS subject, 'credits of the payment' AS what, CAST(p.applied AS VARCHAR) AS expected,
                CAST(coalesce(r.stands, 0) AS VARCHAR) AS found, CASE WHEN a.unexplained IS NULL THEN p.email END AS email
            FROM payments p LEFT JOIN accounts a ON a.email = p.email
            LEFT JOIN (SELECT payment_id, sum(amount) AS stands FROM ledger WHERE counts GROUP BY payment_id) r
                ON r.payment_id = p.payment_id
            WHERE p.odd IS NULL AND coalesce(r.stands, 0) <> p.applied
            UNION ALL SELECT p.payment_id, 'numbers of the payment', 'whole numbers', p.odd,
                CASE WHEN a.unexplained IS NULL THEN p.email END
            FROM payments p LEFT JOIN accounts a ON a.email = p.email WHERE p.odd IS NOT NULL
            UNION ALL SELECT p.payment_id, 'what the facts ask for',
                coalesce(CAST(CAST(t.target AS BIGINT) AS VARCHAR), 'more than 3 currencies: see books check'),
                CAST(p.applied AS VARCHAR), CASE WHEN a.unexplained IS NULL THEN p.email END
            FROM payments p LEFT JOIN accounts a ON a.email = p.email LEFT JOIN targets t ON t.payment_id = p.payment_id
            WHERE p.odd IS NULL AND p.granted <> 0 AND (t.target IS NULL OR t.target <> p.applied)
            UNION ALL SELECT r.payment_id, 'payment of the ledger rows', 'a payment', 'none', CAST(NULL AS VARCHAR)
            FROM (SELECT DISTINCT payment_id FROM ledger WHERE counts AND coalesce(payment_id, '') <> '') r
            LEFT JOIN payments p ON p.payment_id = r.payment_id WHERE p.payment_id IS NULL;
