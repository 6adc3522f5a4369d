"""The tables: the names of the product, made once, checked for what is missing."""

from __future__ import annotations

import pytest

from app.data import Store
from app.data.tables import ALL, create_tables
from tests.support import make_account


@pytest.fixture
def client(any_store: Store):
    return any_store.client


def describe(client, name: str):
    return client.describe_table(TableName=name)["Table"]


@pytest.mark.parametrize(
    ("name", "key", "index"),
    [
        ("ImpacterAGI_Users", "email", None),
        ("ImpacterAGI_Transactions", "transaction_id", ("user_email", "timestamp")),
        ("ImpacterAGI_Tasks", "task_id", ("user_email", "created_at")),
    ],
)
def test_tables_of_the_specification_have_their_names_and_keys(client, name, key, index):
    table = describe(client, name)

    assert table["KeySchema"] == [{"AttributeName": key, "KeyType": "HASH"}]
    indexes = [tuple(k["AttributeName"] for k in i["KeySchema"]) for i in table.get("GlobalSecondaryIndexes", [])]
    assert index is None or index in indexes


def test_all_tables_are_billed_on_demand(client):
    assert {describe(client, "ImpacterAGI_" + t.suffix)["BillingModeSummary"]["BillingMode"] for t in ALL} == {
        "PAY_PER_REQUEST"
    }


def test_what_expires_has_a_time_to_live(client):
    enabled = set()
    for table in ALL:
        found = client.describe_time_to_live(TableName="ImpacterAGI_" + table.suffix)["TimeToLiveDescription"]
        if found["TimeToLiveStatus"] in ("ENABLED", "ENABLING"):
            enabled.add((table.suffix, found["AttributeName"]))

    assert {("Outbox", "expires_at"), ("RateLimits", "expires_at")} <= enabled


def test_set_up_keeps_what_is_there(any_store, client):
    make_account(any_store)

    assert create_tables(client, "ImpacterAGI_") == []
    assert any_store.get_account("ada@example.com")
    assert any_store.problems() == []


def test_set_up_makes_what_is_missing(any_store, client):
    client.delete_table(TableName="ImpacterAGI_Outbox")

    assert any_store.problems() == ["table ImpacterAGI_Outbox is missing"]
    assert create_tables(client, "ImpacterAGI_") == ["ImpacterAGI_Outbox"]
    assert any_store.problems() == []


def test_missing_index_is_named(any_store, client):
    client.delete_table(TableName="ImpacterAGI_Transactions")
    client.create_table(
        TableName="ImpacterAGI_Transactions",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "transaction_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "transaction_id", "AttributeType": "S"}],
    )

    assert any_store.problems() == [
        "table ImpacterAGI_Transactions lacks its index user_email-timestamp-index",
    ]
