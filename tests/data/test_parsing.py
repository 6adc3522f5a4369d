"""The parser that hands on DynamoDB's answers as they are says the same as botocore's own."""

from unittest.mock import patch

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import JSONParser

from app.data import parsing
from app.data.client import make_client
from tests.support import make_account

TABLE = "ImpacterAGI_Users"
KEY = {"email": {"S": "ada@example.com"}}


@pytest.fixture
def both(config, store):
    make_account(store, credits=100)
    plain = boto3.client("dynamodb", region_name=config.aws_region, endpoint_url=config.dynamodb_endpoint_url)
    return make_client(config, endpoint_url=config.dynamodb_endpoint_url), plain


def answer(client, operation, request):
    found = getattr(client, operation)(**request)
    found.pop("ResponseMetadata")
    return found


REQUESTS = {
    "get_item": {"TableName": TABLE, "Key": KEY},
    "batch_get_item": {"RequestItems": {TABLE: {"Keys": [KEY]}}},
    "query": {
        "TableName": TABLE,
        "KeyConditionExpression": "email = :e",
        "ExpressionAttributeValues": {":e": KEY["email"]},
        "Limit": 1,
    },
    "scan": {"TableName": "ImpacterAGI_Transactions", "Limit": 1},
    "update_item": {
        "TableName": TABLE,
        "Key": KEY,
        "UpdateExpression": "SET theme = :t",
        "ExpressionAttributeValues": {":t": {"S": "dark"}},
        "ReturnValues": "ALL_NEW",
    },
    "put_item": {"TableName": "ImpacterAGI_RateLimits", "Item": {"key": {"S": "k"}, "hits": {"N": "1"}}},
    "delete_item": {"TableName": "ImpacterAGI_RateLimits", "Key": {"key": {"S": "k"}}},
    "transact_write_items": {
        "TransactItems": [
            {"ConditionCheck": {"TableName": TABLE, "Key": KEY, "ConditionExpression": "attribute_exists(email)"}}
        ]
    },
    "describe_table": {"TableName": TABLE},
}


@pytest.mark.parametrize("operation", REQUESTS)
def test_same_answer_when_botocore_parses(both, operation):
    ours, plain = both

    assert answer(ours, operation, REQUESTS[operation]) == answer(plain, operation, REQUESTS[operation])


def test_same_error_when_a_condition_fails(both):
    condition = {"ConditionExpression": "attribute_not_exists(email)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    check = {"ConditionCheck": {"TableName": TABLE, "Key": KEY} | condition}

    errors = []
    for client in both:
        with pytest.raises(ClientError) as caught:
            client.transact_write_items(TransactItems=[check])
        errors.append(caught.value)

    ours, plain = errors
    assert type(ours).__name__ == type(plain).__name__ == "TransactionCanceledException"
    assert ours.response["Error"]["Code"] == plain.response["Error"]["Code"]
    assert ours.response["CancellationReasons"] == plain.response["CancellationReasons"]
    assert ours.response["CancellationReasons"][0]["Item"]["credits_balance"] == {"N": "100"}


def test_the_installed_botocore_calls_it(both):
    """Fails when an upgrade has made it slow again."""
    with patch.object(JSONParser, "_parse_shape", side_effect=AssertionError("walked through the model")):
        assert both[0].get_item(TableName=TABLE, Key=KEY)["Item"]["credits_balance"] == {"N": "100"}


def test_only_dynamodb_takes_it(config):
    client = make_client(config, "sesv2", "http://127.0.0.1:9")

    assert not isinstance(client._endpoint._response_parser_factory, parsing.PlainParsers)
