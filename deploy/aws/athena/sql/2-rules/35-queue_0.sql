CREATE TABLE queue_0 WITH (format = 'PARQUET') AS SELECT email, nth, source, lot, used, back, turn FROM events WHERE email IN (SELECT email FROM events WHERE back > 0);
