CREATE TABLE adjusted WITH (format = 'PARQUET') AS SELECT l.transaction_id AS thing, l.email, l.amount, l.place, a.audit_id, a.acted_at, a.actor, a.action, a.day,
                a.proposed_by, a.most
            FROM ledger l LEFT JOIN (
                SELECT subject, adjustment, audit_id, acted_at, actor, action, day, proposed_by, most,
                    row_number() OVER (PARTITION BY subject, adjustment ORDER BY acted_at, audit_id) AS nth
                FROM acts WHERE adjustment IS NOT NULL) a
                ON a.nth = 1 AND a.subject = l.email AND 'adjust#' || a.adjustment = l.transaction_id
            WHERE l.counts AND substr(l.transaction_id, 1, 7) = 'adjust#';
