"""Write tables.yaml from the tables as the app defines them: python deploy/aws/make_tables.py"""

import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.data.tables import ALL, Index, Table

TEMPLATE = Path(__file__).with_name("tables.yaml")
HEADER = "# Made by make_tables.py from app/data/tables.py; a test keeps the two the same. Do not edit by hand.\n"


def key_schema(hash_key: str, range_key: str | None) -> list[dict[str, str]]:
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return schema + ([{"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else [])


def index_definition(index: Index) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projection or ())}
    if not index.projection:
        projection = {"ProjectionType": "ALL" if index.projection is None else "KEYS_ONLY"}
    return {
        "IndexName": index.name,
        "KeySchema": key_schema(index.hash_key, index.range_key),
        "Projection": projection,
    }


def table_definition(table: Table) -> dict[str, Any]:
    keys = dict.fromkeys(key for key in (table.key, table.range_key) if key)
    for index in table.indexes:
        keys |= dict.fromkeys(key for key in (index.hash_key, index.range_key) if key)
    properties: dict[str, Any] = {
        "TableName": {"Fn::Sub": "${TablePrefix}" + table.suffix},
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": key_schema(table.key, table.range_key),
    }
    if table.indexes:
        properties["GlobalSecondaryIndexes"] = [index_definition(index) for index in table.indexes]
    if table.ttl:
        properties["TimeToLiveSpecification"] = {"Enabled": True, "AttributeName": table.ttl}
    return {
        "Type": "AWS::DynamoDB::Table",
        # Deleting the stack must never delete what customers own.
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }


def template() -> str:
    stack = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The tables of the ImpacterAGI dashboard: on-demand, point-in-time recovery, kept for good.",
        "Parameters": {"TablePrefix": {"Type": "String", "Default": "ImpacterAGI_"}},
        "Resources": {f"{table.suffix}Table": table_definition(table) for table in ALL},
    }
    return HEADER + yaml.safe_dump(stack, sort_keys=False, width=120)


if __name__ == "__main__":
    TEMPLATE.write_text(template(), encoding="utf-8")
