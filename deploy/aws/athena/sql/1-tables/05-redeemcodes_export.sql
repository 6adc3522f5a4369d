CREATE EXTERNAL TABLE redeemcodes_export (item struct<`code`:struct<`s`:string>,`credits`:struct<`n`:string>,`max_uses`:struct<`n`:string>,`uses`:struct<`n`:string>>)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID_OF_REDEEMCODES/data/';
