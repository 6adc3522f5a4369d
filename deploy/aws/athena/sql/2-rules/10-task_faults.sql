CREATE TABLE task_faults WITH (format = 'PARQUET') AS SELECT t.task_id, t.email, t.cost, t.back,
                coalesce(m.spends, 0) <> (CASE WHEN t.cost IS NULL THEN 0 ELSE 1 END)
                    OR coalesce(m.spent, 0) <> coalesce(t.cost, 0) AS spend_differs,
                coalesce(m.refunds, 0) <> (CASE WHEN t.back IS NULL THEN 0 ELSE 1 END)
                    OR coalesce(m.refunded, 0) <> coalesce(t.back, 0) AS refund_differs
            FROM tasks t LEFT JOIN moved_sums m ON m.task_id = t.task_id
            WHERE t.unexplained IS NULL AND (
                coalesce(m.spends, 0) <> (CASE WHEN t.cost IS NULL THEN 0 ELSE 1 END)
                OR coalesce(m.spent, 0) <> coalesce(t.cost, 0)
                OR coalesce(m.refunds, 0) <> (CASE WHEN t.back IS NULL THEN 0 ELSE 1 END)
                OR coalesce(m.refunded, 0) <> coalesce(t.back, 0));
