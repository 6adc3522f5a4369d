CREATE TABLE units WITH (format = 'PARQUET') AS SELECT payment_id, count(DISTINCT of_cents) AS many,
                CAST(CASE count(DISTINCT of_cents) WHEN 1 THEN CAST(max(of_cents) AS DECIMAL(38, 0))
                    WHEN 2 THEN CAST(max(of_cents) AS DECIMAL(38, 0)) * CAST(min(of_cents) AS DECIMAL(38, 0))
                    WHEN 3 THEN CAST(max(of_cents) AS DECIMAL(38, 0)) * CAST(min(of_cents) AS DECIMAL(38, 0))
                        * CAST(sum(DISTINCT of_cents) - max(of_cents) - min(of_cents) AS DECIMAL(38, 0)) END AS DECIMAL(38, 0)) AS unit
            FROM (SELECT payment_id, of_cents FROM words WHERE of_cents IS NOT NULL
                  UNION SELECT payment_id, 1 FROM payments
                  UNION SELECT payment_id, cents FROM words WHERE kind = 'charge' AND of_cents IS NULL) d
            GROUP BY payment_id;
