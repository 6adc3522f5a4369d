SELECT DISTINCT subject, what, expected, found, email FROM findings ORDER BY subject, what, found;
