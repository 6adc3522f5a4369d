CREATE EXTERNAL TABLE tasks_export (item struct<`task_id`:struct<`s`:string>,`user_email`:struct<`s`:string>,`status`:struct<`s`:string>,`credits_spent`:struct<`n`:string,`s`:string,`bool`:boolean>,`original`:struct<`bool`:boolean>,`version`:struct<`n`:string>>)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID_OF_TASKS/data/';
