CREATE EXTERNAL TABLE sales_export (item struct<`source`:struct<`s`:string>,`decision`:struct<`s`:string>>)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID_OF_SALES/data/';
