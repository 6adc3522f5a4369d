CREATE TABLE acts WITH (format = 'PARQUET') AS SELECT item.audit_id.s AS audit_id, item."at".s AS acted_at, item.actor.s AS actor, item.action.s AS action,
                item.subject.s AS subject, item.after.m.correction.s AS adjustment, item.after.m.day.s AS day,
                TRY_CAST(item.after.m.amount.n AS BIGINT) AS amount, coalesce(TRY_CAST(item.after.m."limit".n AS BIGINT), 0) AS most,
                item.after.m.proposed_by.s AS proposed_by, item.after.m.counted AS counted
            FROM audit_export;
