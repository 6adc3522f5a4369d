CREATE TABLE made WITH (format = 'PARQUET') AS SELECT m.thing, m.amount AS moved, a.audit_id, a.acted_at, a.actor, a.day, a.amount, a.most, a.proposed_by, a.counted
            FROM (SELECT thing, amount, audit_id FROM adjusted WHERE day IS NOT NULL
                  UNION ALL SELECT thing, amount, audit_id FROM approved WHERE day IS NOT NULL
                  UNION ALL SELECT s.item.source.s, n.amount, n.audit_id FROM sales_export s
                    JOIN acts n ON n.subject = s.item.source.s AND n.action = 'sale.name' AND n.day IS NOT NULL) m
            JOIN acts a ON a.audit_id = m.audit_id;
