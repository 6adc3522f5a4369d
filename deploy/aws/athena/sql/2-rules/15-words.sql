CREATE TABLE words WITH (format = 'PARQUET') AS SELECT w.payment_id, w.kind, w.cents, w.status, w.told, w.made, w.undone,
                coalesce(nullif(w.currency, ''), p.currency) AS currency,
                CASE WHEN w.cents = 0 THEN 1
                     WHEN coalesce(nullif(w.currency, ''), p.currency) = p.currency AND p.total_cents > 0 THEN p.total_cents
                     WHEN coalesce(c.cents, 0) <> 0 THEN c.cents END AS of_cents
            FROM (SELECT item.payment_id.s AS payment_id, 'refund' AS kind, coalesce(TRY_CAST(m.cents.n AS BIGINT), 0) AS cents,
            coalesce(m.status.s, '') AS status, coalesce(m.currency.s, '') AS currency,
            coalesce(TRY_CAST(m.told.n AS BIGINT), 0) AS told, coalesce(TRY_CAST(m.made.n AS BIGINT), 0) AS made, coalesce(TRY_CAST(m.undone.n AS BIGINT), 0) AS undone
            FROM payments_export CROSS JOIN UNNEST(map_values(item.refunds.m)) AS t(m) UNION ALL SELECT item.payment_id.s AS payment_id, 'dispute' AS kind, coalesce(TRY_CAST(m.cents.n AS BIGINT), 0) AS cents,
            coalesce(m.status.s, '') AS status, coalesce(m.currency.s, '') AS currency,
            coalesce(TRY_CAST(m.told.n AS BIGINT), 0) AS told, coalesce(TRY_CAST(m.made.n AS BIGINT), 0) AS made, coalesce(TRY_CAST(m.undone.n AS BIGINT), 0) AS undone
            FROM payments_export CROSS JOIN UNNEST(map_values(item.disputes.m)) AS t(m)
                  UNION ALL SELECT payment_id, 'charge', charge_cents, '', charge_currency, charge_told, 0, 0 FROM payments) w
            JOIN payments p ON p.payment_id = w.payment_id
            LEFT JOIN charged c ON c.payment_id = w.payment_id AND c.currency = coalesce(nullif(w.currency, ''), p.currency);
