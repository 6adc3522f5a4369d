CREATE EXTERNAL TABLE users_export (item struct<`email`:struct<`s`:string>,`alias_of`:struct<`s`:string>,`credits_balance`:struct<`n`:string,`s`:string,`bool`:boolean>,`ledger_sequence`:struct<`n`:string,`s`:string,`bool`:boolean>,`folded_sequence`:struct<`n`:string>,`role`:struct<`s`:string>>)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID_OF_USERS/data/';
