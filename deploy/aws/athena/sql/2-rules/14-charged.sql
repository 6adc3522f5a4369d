CREATE TABLE charged WITH (format = 'PARQUET') AS SELECT item.payment_id.s AS payment_id, t.currency, TRY_CAST(item.charged.m[t.currency].n AS BIGINT) AS cents
            FROM payments_export CROSS JOIN UNNEST(map_keys(item.charged.m)) AS t(currency);
