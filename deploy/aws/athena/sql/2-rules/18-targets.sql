CREATE TABLE targets WITH (format = 'PARQUET') AS SELECT payment_id, unit, granted - (((CAST(granted AS DECIMAL(38, 0)) * least(unit, held + outside + greatest(total - later - tied, standing + least(stale, greatest(0, total - later - standing))))) - mod(CAST(granted AS DECIMAL(38, 0)) * least(unit, held + outside + greatest(total - later - tied, standing + least(stale, greatest(0, total - later - standing)))), unit)) / (unit)) AS target
            FROM (SELECT payment_id, unit, granted, held, outside, standing, stale,
                    coalesce(charge_share, unit) AS total,
                    CASE WHEN charge_share IS NOT NULL THEN later WHEN later >= unit THEN unit ELSE 0 END AS later,
                    CASE WHEN charge_share IS NOT NULL THEN tied
                         WHEN later < unit AND unit <= later + tied THEN unit ELSE 0 END AS tied
                FROM (SELECT p.payment_id, u.unit, p.granted, c.share AS charge_share,
                        coalesce(s.held, 0) AS held, coalesce(s.outside, 0) AS outside, coalesce(s.standing, 0) AS standing,
                        coalesce(s.stale, 0) AS stale, coalesce(s.later, 0) AS later, coalesce(s.tied, 0) AS tied
                    FROM payments p JOIN units u ON u.payment_id = p.payment_id
                    JOIN (SELECT w.payment_id, CASE WHEN w.of_cents IS NOT NULL THEN (((CAST(w.cents AS DECIMAL(38, 0)) * u.unit) - mod(CAST(w.cents AS DECIMAL(38, 0)) * u.unit, CAST(w.of_cents AS DECIMAL(38, 0)))) / (CAST(w.of_cents AS DECIMAL(38, 0)))) END AS share
                          FROM words w JOIN units u ON u.payment_id = w.payment_id WHERE w.kind = 'charge') c
                        ON c.payment_id = p.payment_id
                    LEFT JOIN (SELECT payment_id, coalesce(sum(CASE WHEN kind = 'dispute' AND holds THEN share END), 0) AS held,
                            coalesce(sum(CASE WHEN kind = 'refund' AND NOT is_undone AND NOT held_by_the_sum THEN share END), 0) AS outside,
                            coalesce(sum(CASE WHEN kind = 'refund' AND NOT is_undone AND held_by_the_sum AND told >= sum_told THEN share END), 0) AS standing,
                            coalesce(sum(CASE WHEN kind = 'refund' AND NOT is_undone AND held_by_the_sum AND told < sum_told THEN share END), 0) AS stale,
                            coalesce(sum(CASE WHEN kind = 'refund' AND is_undone AND held_by_the_sum AND undone > sum_told THEN share END), 0) AS later,
                            coalesce(sum(CASE WHEN kind = 'refund' AND is_undone AND held_by_the_sum AND undone = sum_told THEN share END), 0) AS tied
                        FROM shares GROUP BY payment_id) s ON s.payment_id = p.payment_id) q) z;
