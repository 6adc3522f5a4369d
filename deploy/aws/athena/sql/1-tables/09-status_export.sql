CREATE EXTERNAL TABLE status_export (item struct<`name`:struct<`s`:string>,`finished_at`:struct<`s`:string>>)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID_OF_STATUS/data/';
