CREATE TABLE moved WITH (format = 'PARQUET') AS SELECT coalesce(nullif(task_id, ''), transaction_id) AS task_id, type, amount, email FROM ledger
            WHERE type IN ('spend', 'refund') AND (place IS NULL OR place <> 0);
