CREATE TABLE by_hand_findings WITH (format = 'PARQUET') AS SELECT thing AS subject, 'operator of the adjustment' AS what, 'one in the audit log' AS expected, 'none' AS found,
                CAST(NULL AS VARCHAR) AS email FROM adjusted WHERE audit_id IS NULL
            UNION ALL SELECT thing, 'second operator of the proposal', 'another than who proposed it', actor, CAST(NULL AS VARCHAR) FROM adjusted
                WHERE audit_id IS NOT NULL AND day IS NULL AND action = 'credits.approve' AND coalesce(proposed_by, actor) = actor
            UNION ALL SELECT thing, 'second operator of the proposal', 'at most ' || CAST(most AS VARCHAR) || ' a day alone', CAST(alone AS VARCHAR) || ' by ' || name, CAST(NULL AS VARCHAR)
                FROM (SELECT thing, most, actor AS name, sum(abs(amount)) OVER (PARTITION BY email, actor, substr(acted_at, 1, 10)
            ORDER BY place ROWS UNBOUNDED PRECEDING) AS alone
        FROM adjusted WHERE audit_id IS NOT NULL AND day IS NULL AND action <> 'credits.approve') e WHERE alone > most
            UNION ALL SELECT thing, what, 'one in the audit log', 'none', CAST(NULL AS VARCHAR) FROM approved WHERE audit_id IS NULL
            UNION ALL SELECT s.item.source.s, 'operator of the name', 'one in the audit log', 'none', CAST(NULL AS VARCHAR)
                FROM sales_export s LEFT JOIN acts n ON n.subject = s.item.source.s AND n.action = 'sale.name'
                WHERE s.item.decision.s = 'ours' AND n.audit_id IS NULL
            UNION ALL SELECT thing, 'credits made by hand', coalesce(CAST(amount AS VARCHAR), 'None') || ' in the audit log',
                CAST(moved AS VARCHAR), CAST(NULL AS VARCHAR) FROM made WHERE amount IS NULL OR amount <> moved
            UNION ALL SELECT m.thing, 'operator of what was made by hand', 'an operator at that time', o.name, CAST(NULL AS VARCHAR)
                FROM made m JOIN operators_then o ON o.acted_at = m.acted_at AND (o.name = m.actor OR o.name = m.proposed_by)
                LEFT JOIN turns t ON t.name = o.name AND t.nth = o.ended
                WHERE o.became = 0 AND (CASE WHEN o.ended = 0 THEN o.at_first = 1 ELSE t.becomes END) = FALSE
            UNION ALL SELECT m.thing, 'second operator of the proposal', 'another than who proposed it', m.actor, CAST(NULL AS VARCHAR) FROM made m
                LEFT JOIN persons p ON p.name = m.actor LEFT JOIN persons q ON q.name = m.proposed_by
                WHERE m.proposed_by IS NOT NULL AND (m.proposed_by = m.actor OR p.person = q.person)
            UNION ALL SELECT m.thing, 'count of what was made by hand', m.actor,
                coalesce(array_join(array_agg(c.name ORDER BY c.nth), ', '), 'nobody'), CAST(NULL AS VARCHAR)
                FROM made m LEFT JOIN counts c ON c.audit_id = m.audit_id WHERE m.proposed_by IS NULL
                GROUP BY m.thing, m.audit_id, m.actor
                HAVING count(CASE WHEN c.name IN (m.actor, 'command line') THEN 1 END) = 0
            UNION ALL SELECT thing, 'second operator of the proposal', 'at most ' || CAST(most AS VARCHAR) || ' a day alone', CAST(alone AS VARCHAR) || ' by ' || name, CAST(NULL AS VARCHAR)
                FROM (SELECT thing, most, name, sum(abs(moved)) OVER (PARTITION BY name, day ORDER BY acted_at, audit_id
                        ROWS UNBOUNDED PRECEDING) AS alone FROM counts) c WHERE alone > most;
