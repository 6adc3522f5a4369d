"""The tables: the names of the product, made once, checked for what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.data import Store
from app.data.table_setup import _definition, create_tables
from app.data.tables import ALL, QUEUE_PROJECTION, TASK_INDEX, TASK_QUEUE_INDEX, TASK_STATUS_INDEX, USERS
from tests.support import make_account

REPO = Path(__file__).resolve().parents[2]


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
    assert any_store.accounts.get("ada@example.com")
    assert any_store.table_differences(ttl=True) == []


def test_set_up_makes_what_is_missing(any_store, client):
    client.delete_table(TableName="ImpacterAGI_Outbox")

    assert words(any_store) == ["table ImpacterAGI_Outbox is missing; python scripts/setup_db.py makes it"]
    assert create_tables(client, "ImpacterAGI_") == ["ImpacterAGI_Outbox"]
    assert any_store.table_differences(ttl=True) == []


def test_missing_index_is_named(any_store, client):
    client.delete_table(TableName="ImpacterAGI_Transactions")
    client.create_table(
        TableName="ImpacterAGI_Transactions",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "transaction_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "transaction_id", "AttributeType": "S"}],
    )

    assert words(any_store) == [
        "table ImpacterAGI_Transactions lacks its index user_email-timestamp-index; "
        "python scripts/setup_db.py makes it",
    ]
    assert create_tables(client, "ImpacterAGI_") == []
    assert words(any_store) == []


# A table that is there and is not as the code describes it: the first query would end in an error


def words(store: Store) -> list[str]:
    return [str(difference) for difference in store.table_differences(ttl=True)]


def make_odd(client, index: dict[str, Any] | None = None, **changed: Any) -> None:
    """The table of the tasks, but for what the test names."""
    (table,) = [table for table in ALL if table.suffix == "Tasks"]
    definition = _definition(table, "ImpacterAGI_Tasks") | changed
    if index is not None:
        others = [i for i in definition["GlobalSecondaryIndexes"] if i["IndexName"] != index["IndexName"]]
        definition["GlobalSecondaryIndexes"] = [*others, index]
    client.delete_table(TableName="ImpacterAGI_Tasks")
    client.create_table(**definition)


def index_of(name: str, keys: list[str], **projection: Any) -> dict[str, Any]:
    schema = [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]
    return {"IndexName": name, "KeySchema": schema, "Projection": projection}


ODD_INDEXES = {
    "keys-only": (
        index_of(TASK_INDEX, ["user_email", "created_at"], ProjectionType="KEYS_ONLY"),
        f"index {TASK_INDEX} of table ImpacterAGI_Tasks lacks all attributes",
    ),
    "one-attribute-less": (
        index_of(
            TASK_QUEUE_INDEX,
            ["queue_shard", "created_at"],
            ProjectionType="INCLUDE",
            NonKeyAttributes=[name for name in QUEUE_PROJECTION if name != "lease_until"],
        ),
        f"index {TASK_QUEUE_INDEX} of table ImpacterAGI_Tasks lacks lease_until",
    ),
    "other-keys": (
        index_of(TASK_STATUS_INDEX, ["user_status"], ProjectionType="ALL"),
        f"index {TASK_STATUS_INDEX} of table ImpacterAGI_Tasks has the keys user_status",
    ),
}


@pytest.mark.threat(99)
@pytest.mark.parametrize(("index", "named"), ODD_INDEXES.values(), ids=ODD_INDEXES)
def test_an_index_that_differs_is_named_and_made_anew_on_demand(any_store, client, index, named):
    make_odd(client, index)
    said: list[str] = []

    assert words(any_store) == [f"{named}; python scripts/setup_db.py --replace-indexes makes it anew"]
    assert any(difference.breaks for difference in any_store.table_differences())
    create_tables(client, "ImpacterAGI_")
    assert len(words(any_store)) == 1, "nothing is dropped unless it was asked for"
    create_tables(client, "ImpacterAGI_", say=said.append, replace=True)
    assert words(any_store) == []
    assert any("dropped and made anew" in line for line in said)


def test_an_index_that_holds_more_than_is_read_is_told_and_serves(any_store, client):
    make_odd(client, index_of(TASK_QUEUE_INDEX, ["queue_shard", "created_at"], ProjectionType="ALL"))

    (difference,) = any_store.table_differences()
    assert "holds more than is read" in str(difference)
    assert not difference.breaks


def test_a_key_that_differs_cannot_be_mended_and_says_what_to_do(any_store, client):
    right = _definition(USERS, "ImpacterAGI_Users")
    client.delete_table(TableName="ImpacterAGI_Users")
    client.create_table(**json.loads(json.dumps(right).replace('"email"', '"id"')))

    create_tables(client, "ImpacterAGI_", replace=True)

    (sentence,) = words(any_store)
    assert sentence.startswith("table ImpacterAGI_Users has the key id instead of email; a key cannot be changed")
    client.delete_table(TableName="ImpacterAGI_Users")
    create_tables(client, "ImpacterAGI_")


@pytest.mark.parametrize("on", [None, "created_at"])
def test_a_time_to_live_that_differs_is_named_and_set(any_store, client, on):
    live = {"Enabled": False, "AttributeName": "expires_at"}
    client.update_time_to_live(TableName="ImpacterAGI_Outbox", TimeToLiveSpecification=live)
    if on:
        live = {"Enabled": True, "AttributeName": on}
        client.update_time_to_live(TableName="ImpacterAGI_Outbox", TimeToLiveSpecification=live)

    (sentence,) = words(any_store)
    assert sentence.startswith("table ImpacterAGI_Outbox expires")
    create_tables(client, "ImpacterAGI_")
    assert words(any_store) == []


@pytest.mark.threat(99)
def test_set_up_mends_locally_and_names_the_rest(empty_store, dynamodb_url):
    """scripts/setup_db.py as scripts/run calls it, over tables that an older version has made."""
    make_odd(empty_store.client, ODD_INDEXES["keys-only"][0])
    settings = {
        "APP_ENV": "development",
        "APP_URL": "http://127.0.0.1:8000",
        "JWT_SECRET": "newest-signing-key-of-the-test-suite",
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": "whsec_newest",
        "DYNAMODB_ENDPOINT_URL": dynamodb_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }

    def set_up(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "scripts/setup_db.py"]
        environment = {"PATH": os.environ["PATH"]} | settings | more
        return subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True)

    done = set_up()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"index {TASK_INDEX} of ImpacterAGI_Tasks differs" in done.stdout

    away = set_up(DYNAMODB_ENDPOINT_URL="http://127.0.0.1:9")
    assert away.returncode == 1
    assert away.stderr.startswith("The tables could not be made at http://127.0.0.1:9: ")
    assert "Traceback" not in away.stderr
