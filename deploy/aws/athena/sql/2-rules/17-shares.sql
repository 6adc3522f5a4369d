CREATE TABLE shares WITH (format = 'PARQUET') AS SELECT w.payment_id, w.kind, w.told, u.unit, c.told AS sum_told, c.share AS charge_share,
                w.status IN ('canceled', 'failed') AS is_undone, w.status IN ('appeal_needs_response', 'appeal_under_review', 'lost', 'needs_response', 'under_review') AS holds, w.undone,
                c.told = 0 OR w.made <= c.told AS held_by_the_sum,
                CASE WHEN w.of_cents IS NOT NULL THEN (((CAST(w.cents AS DECIMAL(38, 0)) * u.unit) - mod(CAST(w.cents AS DECIMAL(38, 0)) * u.unit, CAST(w.of_cents AS DECIMAL(38, 0)))) / (CAST(w.of_cents AS DECIMAL(38, 0))))
                     WHEN w.kind = 'dispute' THEN u.unit
                     WHEN w.status IN ('canceled', 'failed') THEN
                        CASE WHEN c.share IS NULL AND w.currency = c.currency THEN (((CAST(w.cents AS DECIMAL(38, 0)) * u.unit) - mod(CAST(w.cents AS DECIMAL(38, 0)) * u.unit, CAST(c.cents AS DECIMAL(38, 0)))) / (CAST(c.cents AS DECIMAL(38, 0)))) ELSE u.unit END
                     WHEN c.told <> 0 AND w.made > 0 AND w.made <= c.told THEN 0 ELSE u.unit END AS share
            FROM words w JOIN units u ON u.payment_id = w.payment_id
            JOIN (SELECT w.payment_id, w.told, w.currency, w.cents,
                    CASE WHEN w.of_cents IS NOT NULL THEN (((CAST(w.cents AS DECIMAL(38, 0)) * u.unit) - mod(CAST(w.cents AS DECIMAL(38, 0)) * u.unit, CAST(w.of_cents AS DECIMAL(38, 0)))) / (CAST(w.of_cents AS DECIMAL(38, 0)))) END AS share
                  FROM words w JOIN units u ON u.payment_id = w.payment_id WHERE w.kind = 'charge') c
                ON c.payment_id = w.payment_id
            WHERE w.kind <> 'charge';
