CREATE TABLE code_findings WITH (format = 'PARQUET') AS SELECT coalesce(c.code, r.code) AS subject,
                CASE WHEN c.code IS NULL THEN 'code of the ledger rows' ELSE 'uses of the code' END AS what,
                CASE WHEN c.code IS NULL THEN 'a code' ELSE CAST(c.uses AS VARCHAR) END AS expected,
                CASE WHEN c.code IS NULL THEN 'none' ELSE CAST(coalesce(r.many, 0) AS VARCHAR) || ' ledger rows' END AS found,
                CAST(NULL AS VARCHAR) AS email
            FROM (SELECT item.code.s AS code, coalesce(TRY_CAST(item.uses.n AS BIGINT), 0) AS uses FROM redeemcodes_export) c
            FULL OUTER JOIN (
                SELECT split_part(transaction_id, '#', 2) AS code, count(*) AS many FROM ledger
                WHERE type = 'promo' AND counts AND length(transaction_id) - length(replace(transaction_id, '#', '')) = 2
                GROUP BY split_part(transaction_id, '#', 2)) r ON r.code = c.code
            WHERE c.code IS NULL OR coalesce(r.many, 0) <> c.uses;
