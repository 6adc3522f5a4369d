"""The two reads of a dashboard by a default client of boto3, as the documentation has them."""

from __future__ import annotations

import os
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

EMAIL, TABLES, INDEX = os.environ["PEER_EMAIL"], os.environ["PEER_TABLES"], os.environ["PEER_INDEX"]
# As many connections as either server has threads: the default of 10 would throw most away again.
client = boto3.client("dynamodb", endpoint_url=os.environ["PEER_ENDPOINT"], config=Config(max_pool_connections=50))
decode = TypeDeserializer().deserialize


def read() -> dict[str, Any]:
    """The account and its 20 newest tasks, as the template takes them."""
    account = client.get_item(TableName=TABLES + "Users", Key={"email": {"S": EMAIL}})["Item"]
    tasks = client.query(
        TableName=TABLES + "Tasks",
        IndexName=INDEX,
        KeyConditionExpression="user_email = :e",
        ExpressionAttributeValues={":e": {"S": EMAIL}},
        ScanIndexForward=False,
        Limit=20,
    )["Items"]
    return {"account": _plain(account), "tasks": [_plain(task) for task in tasks]}


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: decode(value) for name, value in item.items()}
