CREATE TABLE turns WITH (format = 'PARQUET') AS SELECT subject AS name, acted_at, action = 'admin.grant' AS becomes,
                row_number() OVER (PARTITION BY subject ORDER BY acted_at, action = 'admin.grant') AS nth
            FROM acts WHERE action IN ('admin.grant', 'admin.revoke');
