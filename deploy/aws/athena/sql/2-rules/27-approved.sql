CREATE TABLE approved WITH (format = 'PARQUET') AS SELECT 'operator of the credited payment' AS what, p.payment_id AS thing, p.granted AS amount, a.audit_id, a.day
            FROM payments p LEFT JOIN (SELECT subject, audit_id, day, row_number() OVER (PARTITION BY subject ORDER BY acted_at DESC, audit_id DESC) AS nth
            FROM acts WHERE action = 'payment.credit') a ON a.nth = 1 AND a.subject = p.payment_id
            WHERE p.resolution = 'credited'
            UNION ALL SELECT 'operator of the code', c.code, c.worth, a.audit_id, a.day
            FROM (SELECT item.code.s AS code, coalesce(TRY_CAST(item.credits.n AS BIGINT), 0) * coalesce(TRY_CAST(item.max_uses.n AS BIGINT), 0) AS worth FROM redeemcodes_export) c
            LEFT JOIN (SELECT subject, audit_id, day, row_number() OVER (PARTITION BY subject ORDER BY acted_at DESC, audit_id DESC) AS nth
            FROM acts WHERE action = 'code.create') a ON a.nth = 1 AND a.subject = c.code;
