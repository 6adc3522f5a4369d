CREATE TABLE task_findings WITH (format = 'PARQUET') AS SELECT f.task_id AS subject, 'spend of the task' AS what,
            coalesce('[' || CAST(f.cost AS VARCHAR) || ']', '[]') AS expected, coalesce(r.amounts, '[]') AS found, f.email
            FROM task_faults f LEFT JOIN (SELECT m.task_id, m.type, '[' || array_join(array_agg(CAST(m.amount AS VARCHAR) ORDER BY m.amount), ', ') || ']' AS amounts FROM moved m
        JOIN task_faults f ON f.task_id = m.task_id GROUP BY m.task_id, m.type) r ON r.task_id = f.task_id AND r.type = 'spend' WHERE f.spend_differs
            UNION ALL SELECT f.task_id AS subject, 'refund of the task' AS what,
            coalesce('[' || CAST(f.back AS VARCHAR) || ']', '[]') AS expected, coalesce(r.amounts, '[]') AS found, f.email
            FROM task_faults f LEFT JOIN (SELECT m.task_id, m.type, '[' || array_join(array_agg(CAST(m.amount AS VARCHAR) ORDER BY m.amount), ', ') || ']' AS amounts FROM moved m
        JOIN task_faults f ON f.task_id = m.task_id GROUP BY m.task_id, m.type) r ON r.task_id = f.task_id AND r.type = 'refund' WHERE f.refund_differs
            UNION ALL SELECT task_id, 'task of the original product', 'a place in the queue', unexplained, CAST(NULL AS VARCHAR)
                FROM tasks WHERE unexplained IS NOT NULL
            UNION ALL SELECT task_id, 'task of the ledger row', 'a task', 'none', email
                FROM (SELECT m.task_id, m.email,
                        row_number() OVER (PARTITION BY m.task_id ORDER BY m.amount DESC, m.email DESC) AS nth
                      FROM moved m LEFT JOIN tasks t ON t.task_id = m.task_id WHERE t.task_id IS NULL) o WHERE nth = 1;
