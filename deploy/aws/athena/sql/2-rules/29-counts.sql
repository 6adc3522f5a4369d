CREATE TABLE counts WITH (format = 'PARQUET') AS SELECT thing, audit_id, acted_at, day, most, moved, s AS name, nth
            FROM made CROSS JOIN UNNEST(counted.l) WITH ORDINALITY AS t(s, nth) WHERE proposed_by IS NULL;
