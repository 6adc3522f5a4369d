CREATE TABLE events WITH (format = 'PARQUET') AS SELECT email, nth, source, lot, used, back, payment_id, is_purchase,
                sum(CASE WHEN back > 0 THEN 1 ELSE 0 END) OVER (PARTITION BY email ORDER BY nth ROWS UNBOUNDED PRECEDING) AS turn
            FROM (SELECT email, coalesce(nullif(payment_id, ''), transaction_id) AS source, greatest(amount, 0) AS lot,
                CASE WHEN coalesce(payment_id, '') = '' THEN greatest(-amount, 0) ELSE 0 END AS used,
                CASE WHEN coalesce(payment_id, '') = '' THEN 0 ELSE greatest(-amount, 0) END AS back,
                nullif(payment_id, '') AS payment_id, type = 'purchase' AS is_purchase,
                row_number() OVER (PARTITION BY email ORDER BY listed_at, transaction_id) AS nth
            FROM ledger) e;
