CREATE TABLE payments WITH (format = 'PARQUET') AS SELECT item.payment_id.s AS payment_id, item.user_email.s AS email, coalesce(TRY_CAST(item.granted.n AS BIGINT), 0) AS granted,
                coalesce(TRY_CAST(item.applied.n AS BIGINT), 0) AS applied, coalesce(TRY_CAST(item.total_cents.n AS BIGINT), 0) AS total_cents,
                coalesce(item.currency.s, '') AS currency, item.resolution.s AS resolution,
                coalesce(TRY_CAST(item.charge_refunded_cents.n AS BIGINT), 0) AS charge_cents,
                coalesce(nullif(item.charge_refunded_currency.s, ''), item.currency.s, '') AS charge_currency,
                coalesce(TRY_CAST(item.charge_refunded_told.n AS BIGINT), 0) AS charge_told
            FROM payments_export;
