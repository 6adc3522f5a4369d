CREATE EXTERNAL TABLE audit_export (item struct<`audit_id`:struct<`s`:string>,`at`:struct<`s`:string>,`actor`:struct<`s`:string>,`action`:struct<`s`:string>,`subject`:struct<`s`:string>,`after`:struct<`m`:struct<`correction`:struct<`s`:string>,`day`:struct<`s`:string>,`amount`:struct<`n`:string>,`limit`:struct<`n`:string>,`proposed_by`:struct<`s`:string>,`counted`:struct<`l`:array<struct<`s`:string>>>>>>)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID_OF_AUDIT/data/';
