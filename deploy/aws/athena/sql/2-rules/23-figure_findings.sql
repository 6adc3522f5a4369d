CREATE TABLE figure_findings WITH (format = 'PARQUET') AS SELECT substr(place, 1, 7) || ', shard ' || substr(place, 9) AS subject,
                'figures of finance: ' || name AS what, CAST(said AS VARCHAR) AS expected, CAST(stands AS VARCHAR) AS found,
                CAST(NULL AS VARCHAR) AS email
            FROM (SELECT coalesce(c.place, f.place) AS place, 'rows' AS name, coalesce(c."rows", 0) AS said,
        coalesce(f."rows", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."rows", 0) <> coalesce(f."rows", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'sold' AS name, coalesce(c."sold", 0) AS said,
        coalesce(f."sold", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."sold", 0) <> coalesce(f."sold", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'spent' AS name, coalesce(c."spent", 0) AS said,
        coalesce(f."spent", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."spent", 0) <> coalesce(f."spent", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'given_back' AS name, coalesce(c."given_back", 0) AS said,
        coalesce(f."given_back", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."given_back", 0) <> coalesce(f."given_back", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'refunded' AS name, coalesce(c."refunded", 0) AS said,
        coalesce(f."refunded", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."refunded", 0) <> coalesce(f."refunded", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'refunds_undone' AS name, coalesce(c."refunds_undone", 0) AS said,
        coalesce(f."refunds_undone", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."refunds_undone", 0) <> coalesce(f."refunds_undone", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'disputed' AS name, coalesce(c."disputed", 0) AS said,
        coalesce(f."disputed", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."disputed", 0) <> coalesce(f."disputed", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'disputes_undone' AS name, coalesce(c."disputes_undone", 0) AS said,
        coalesce(f."disputes_undone", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."disputes_undone", 0) <> coalesce(f."disputes_undone", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'promotional' AS name, coalesce(c."promotional", 0) AS said,
        coalesce(f."promotional", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."promotional", 0) <> coalesce(f."promotional", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'added' AS name, coalesce(c."added", 0) AS said,
        coalesce(f."added", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."added", 0) <> coalesce(f."added", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'taken' AS name, coalesce(c."taken", 0) AS said,
        coalesce(f."taken", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."taken", 0) <> coalesce(f."taken", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'brought' AS name, coalesce(c."brought", 0) AS said,
        coalesce(f."brought", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."brought", 0) <> coalesce(f."brought", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'brought_debt' AS name, coalesce(c."brought_debt", 0) AS said,
        coalesce(f."brought_debt", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."brought_debt", 0) <> coalesce(f."brought_debt", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'debt_rose' AS name, coalesce(c."debt_rose", 0) AS said,
        coalesce(f."debt_rose", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."debt_rose", 0) <> coalesce(f."debt_rose", 0) UNION ALL SELECT coalesce(c.place, f.place) AS place, 'debt_fell' AS name, coalesce(c."debt_fell", 0) AS said,
        coalesce(f."debt_fell", 0) AS stands FROM counted c FULL OUTER JOIN figures f ON f.place = c.place
        WHERE coalesce(c."debt_fell", 0) <> coalesce(f."debt_fell", 0)) e WHERE NOT EXISTS (SELECT 1 FROM account_findings)
            UNION ALL SELECT email, 'figures of finance: rows', CAST(ends AS VARCHAR), CAST(folded AS VARCHAR), CAST(NULL AS VARCHAR)
            FROM accounts WHERE folded <> ends AND unexplained IS NULL AND odd IS NULL AND EXISTS (SELECT 1 FROM status_export WHERE item.name.s = 'migration#4' AND item.finished_at.s IS NOT NULL)
                AND NOT EXISTS (SELECT 1 FROM account_findings);
