SELECT count(*) AS accounts, coalesce(sum(CASE WHEN balance > 0 THEN balance END), 0) AS owed_to_customers,
            coalesce(-sum(CASE WHEN balance < 0 THEN balance END), 0) AS owed_by_customers
        FROM (SELECT l.email, sum(l.amount) AS balance FROM ledger l
              JOIN (SELECT email, max(coalesce(place, 0)) AS until FROM ledger WHERE TRUE GROUP BY email) u ON u.email = l.email
              WHERE (TRUE) OR l.place < u.until GROUP BY l.email) b;
