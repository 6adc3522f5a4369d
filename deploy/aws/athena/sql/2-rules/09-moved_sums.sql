CREATE TABLE moved_sums WITH (format = 'PARQUET') AS SELECT task_id, count(CASE WHEN type = 'spend' THEN 1 END) AS spends,
                coalesce(sum(CASE WHEN type = 'spend' THEN amount END), 0) AS spent,
                count(CASE WHEN type = 'refund' THEN 1 END) AS refunds,
                coalesce(sum(CASE WHEN type = 'refund' THEN amount END), 0) AS refunded
            FROM moved GROUP BY task_id;
