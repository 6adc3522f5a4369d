CREATE TABLE shards WITH (format = 'PARQUET') AS SELECT email, mod(crc32(to_utf8(email)), 64) AS shard
                FROM (SELECT email FROM accounts UNION SELECT email FROM ledger) e;
