"""Answers of DynamoDB as they are: a client that does not check each attribute against the model of the service.

DynamoDB's JSON already has the shape that the client hands out, and walking through the model costs a third of a Query.
This leans on botocore beyond its promises: should a later version no longer call what is overridden here, its own
parser does the work again, slower. tests/data/test_parsing.py compares the two.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore.parsers import JSONParser, ResponseParserFactory

# Nothing in these is converted but binary values, and we store none. Errors and descriptions of tables go the long way.
AS_THEY_ARE = frozenset(
    {
        "BatchGetItemOutput",
        "DeleteItemOutput",
        "GetItemOutput",
        "PutItemOutput",
        "QueryOutput",
        "ScanOutput",
        "TransactWriteItemsOutput",
        "UpdateItemOutput",
    }
)


class PlainParser(JSONParser):
    def _handle_json_body(self, raw_body: bytes, shape: Any) -> Any:
        if shape.name in AS_THEY_ARE and raw_body:
            return json.loads(raw_body)
        return super()._handle_json_body(raw_body, shape)


class PlainParsers(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> Any:
        # One parser for each call, as botocore makes them: it is cheap, and none is shared between threads.
        return PlainParser() if protocol_name == "json" else super().create_parser(protocol_name)


@cache
def plain_session() -> boto3.Session:
    """A session of its own, so that clients of other services keep the parser that they need."""
    session = botocore.session.get_session()
    session.register_component("response_parser_factory", PlainParsers())
    return boto3.Session(botocore_session=session)
