SELECT month, coalesce(sum(net) OVER (ORDER BY month ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS opening,
    "rows", "sold", "spent", "given_back", "refunded", "refunds_undone", "disputed", "disputes_undone", "promotional", "added", "taken", "brought", "brought_debt", "debt_rose", "debt_fell", sum(net) OVER (ORDER BY month ROWS UNBOUNDED PRECEDING) AS closing
    FROM (SELECT substr(place, 1, 7) AS month, sum("rows") AS "rows", sum("sold") AS "sold", sum("spent") AS "spent", sum("given_back") AS "given_back", sum("refunded") AS "refunded", sum("refunds_undone") AS "refunds_undone", sum("disputed") AS "disputed", sum("disputes_undone") AS "disputes_undone", sum("promotional") AS "promotional", sum("added") AS "added", sum("taken") AS "taken", sum("brought") AS "brought", sum("brought_debt") AS "brought_debt", sum("debt_rose") AS "debt_rose", sum("debt_fell") AS "debt_fell",
        sum(sold - spent + given_back - refunded + refunds_undone - disputed + disputes_undone + added - taken + promotional
            + brought - brought_debt) AS net
        FROM counted GROUP BY substr(place, 1, 7)) m ORDER BY month;
