SELECT payment_id, email, unspent FROM unspent ORDER BY email, payment_id;
