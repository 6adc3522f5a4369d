"""The local AWS keeps every acknowledged write, however it ends."""

import json
import signal
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scripts.local.aws import LocalAws

THREADS = 8
PRICE = 10
START_BALANCE = 1_000_000


def client(aws: LocalAws, service: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5, max_pool_connections=THREADS)
    return boto3.client(
        service,
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=config,
    )


def make_table(dynamodb: Any, name: str) -> None:
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def all_items(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    return [item for page in dynamodb.get_paginator("scan").paginate(TableName=table) for item in page["Items"]]


def spend(row: str) -> dict[str, Any]:
    """One credit transaction: the balance goes down, a row appears, both or neither, under a token."""
    debit = {
        "TableName": "Accounts",
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "SET balance = balance - :price",
        "ConditionExpression": "balance >= :price",
        "ExpressionAttributeValues": {":price": {"N": str(PRICE)}},
    }
    entry = {"TableName": "Ledger", "Item": {"id": {"S": row}}, "ConditionExpression": "attribute_not_exists(id)"}
    return {"ClientRequestToken": row, "TransactItems": [{"Update": debit}, {"Put": entry}]}


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAws]:
    with LocalAws(data_dir=tmp_path / "aws") as running:
        yield running


def journal_of(aws: LocalAws) -> Path:
    assert aws.data_dir is not None
    return aws.data_dir / "journal.jsonl"


def test_nothing_acknowledged_is_lost_when_killed_under_load(aws: LocalAws) -> None:
    dynamodb = client(aws, "dynamodb")
    make_table(dynamodb, "Accounts")
    make_table(dynamodb, "Ledger")
    dynamodb.put_item(TableName="Accounts", Item={"id": {"S": "a"}, "balance": {"N": str(START_BALANCE)}})
    acknowledged: set[str] = set()

    for _ in range(3):
        unanswered: list[str] = []
        before = len(acknowledged)

        def write(unanswered: list[str] = unanswered) -> None:
            while True:
                row = str(uuid.uuid4())
                try:
                    dynamodb.transact_write_items(**spend(row))
                except (BotoCoreError, ClientError):
                    unanswered.append(row)
                    return
                acknowledged.add(row)

        threads = [threading.Thread(target=write) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        aws.kill()
        for thread in threads:
            thread.join()
        assert len(acknowledged) > before, "the load wrote nothing"

        aws.start()
        rows = {item["id"]["S"] for item in all_items(dynamodb, "Ledger")}
        assert acknowledged <= rows <= acknowledged | set(unanswered)
        assert balance(dynamodb) == START_BALANCE - PRICE * len(rows), "half a transaction was kept"

        # The client that got no answer asks again under the same token: charged once, whichever side the kill fell on.
        for row in unanswered:
            dynamodb.transact_write_items(**spend(row))
            acknowledged.add(row)
        assert balance(dynamodb) == START_BALANCE - PRICE * len(acknowledged)


def balance(dynamodb: Any) -> int:
    item = dynamodb.get_item(TableName="Accounts", Key={"id": {"S": "a"}}, ConsistentRead=True)["Item"]
    return int(item["balance"]["N"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_every_kind_of_write_is_there_after_a_stop(aws: LocalAws, number: signal.Signals) -> None:
    dynamodb, ses, s3 = client(aws, "dynamodb"), client(aws, "sesv2"), client(aws, "s3")
    for name in ("Kept", "Dropped", "MadeAgain"):
        make_table(dynamodb, name)
        dynamodb.put_item(TableName=name, Item={"id": {"S": "put"}, "raw": {"B": b"\x00\xff"}})
    dynamodb.update_time_to_live(
        TableName="Kept", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
    )
    dynamodb.update_item(
        TableName="Kept",
        Key={"id": {"S": "updated"}},
        UpdateExpression="ADD hits :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    dynamodb.batch_write_item(
        RequestItems={"Kept": [{"PutRequest": {"Item": {"id": {"S": name}}}} for name in ("batch", "gone", "gone too")]}
    )
    dynamodb.delete_item(TableName="Kept", Key={"id": {"S": "gone"}})
    dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "Kept", "Item": {"id": {"S": "transaction"}}}},
            {"Delete": {"TableName": "Kept", "Key": {"id": {"S": "gone too"}}}},
        ]
    )
    dynamodb.execute_statement(Statement="INSERT INTO \"Kept\" VALUE {'id': 'statement'}")
    dynamodb.delete_table(TableName="Dropped")
    dynamodb.delete_table(TableName="MadeAgain")
    make_table(dynamodb, "MadeAgain")
    ses.create_email_identity(EmailIdentity="hello@impacteragi.com")
    send_mail(ses, "before")
    s3.create_bucket(Bucket="statements")
    s3.put_object(Bucket="statements", Key="2026/11.csv", Body=b"a,b")
    items = sorted(all_items(dynamodb, "Kept"), key=str)

    for _ in range(2):
        aws.stop(number)
        aws.start()

    assert sorted(all_items(dynamodb, "Kept"), key=str) == items
    assert {item["id"]["S"] for item in items} == {"put", "updated", "batch", "transaction", "statement"}
    assert dynamodb.list_tables()["TableNames"] == ["Kept", "MadeAgain"]
    assert all_items(dynamodb, "MadeAgain") == []
    assert dynamodb.describe_time_to_live(TableName="Kept")["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
    send_mail(ses, "after")
    assert subjects(aws) == ["before", "after"]
    assert s3.get_object(Bucket="statements", Key="2026/11.csv")["Body"].read() == b"a,b"


def send_mail(ses: Any, subject: str) -> None:
    ses.send_email(
        FromEmailAddress="ImpacterAGI <hello@impacteragi.com>",
        Destination={"ToAddresses": ["customer@example.com"]},
        Content={"Simple": {"Subject": {"Data": subject}, "Body": {"Text": {"Data": "Hello"}}}},
    )


def subjects(aws: LocalAws) -> list[str]:
    with urllib.request.urlopen(f"{aws.endpoint_url}/_ministack/ses/messages") as answer:
        (mails,) = json.load(answer)["messages"].values()
    return [mail["Subject"] for mail in mails]


def test_a_last_line_torn_by_a_kill_is_dropped(aws: LocalAws) -> None:
    dynamodb = client(aws, "dynamodb")
    make_table(dynamodb, "Kept")
    dynamodb.put_item(TableName="Kept", Item={"id": {"S": "whole"}})
    aws.kill()
    with journal_of(aws).open("ab") as journal:
        journal.write(journal_of(aws).read_bytes().splitlines()[-1][:-7].replace(b"whole", b"torn!"))

    aws.start()
    dynamodb.put_item(TableName="Kept", Item={"id": {"S": "later"}})
    aws.kill()
    aws.start()

    assert {item["id"]["S"] for item in all_items(dynamodb, "Kept")} == {"whole", "later"}


def test_damage_in_the_middle_stops_the_start_and_names_the_line(aws: LocalAws, tmp_path: Path) -> None:
    make_table(client(aws, "dynamodb"), "Kept")
    aws.kill()
    lines = journal_of(aws).read_bytes().splitlines(keepends=True)
    journal_of(aws).write_bytes(b"".join([lines[0], b"[[\n", *lines[1:]]))

    with (tmp_path / "log").open("wb") as log, pytest.raises(RuntimeError, match="ended with status"):
        LocalAws(aws.port, aws.data_dir, log).start()

    assert "journal.jsonl is damaged at line 2" in (tmp_path / "log").read_text()
    assert journal_of(aws).read_bytes().startswith(lines[0] + b"[[\n"), "the damaged file must be left as it is"


def test_a_start_makes_the_journal_small_again(aws: LocalAws) -> None:
    dynamodb = client(aws, "dynamodb")
    make_table(dynamodb, "Kept")
    size = journal_of(aws).stat().st_size
    for number in range(200):
        dynamodb.put_item(TableName="Kept", Item={"id": {"S": "same"}, "number": {"N": str(number)}})
    grown = journal_of(aws).stat().st_size
    aws.stop()
    aws.start()

    assert grown > size + 200 * 50
    assert journal_of(aws).stat().st_size < size + 1000
    assert all_items(dynamodb, "Kept") == [{"id": {"S": "same"}, "number": {"N": "199"}}]


def test_a_reset_forgets_everything_for_good(aws: LocalAws) -> None:
    dynamodb = client(aws, "dynamodb")
    make_table(dynamodb, "Kept")
    aws.reset()
    assert dynamodb.list_tables()["TableNames"] == []
    aws.kill()
    aws.start()
    assert dynamodb.list_tables()["TableNames"] == []


def test_without_a_data_folder_nothing_is_kept() -> None:
    with LocalAws() as aws:
        make_table(client(aws, "dynamodb"), "Kept")
        aws.kill()
        aws.start()
        assert client(aws, "dynamodb").list_tables()["TableNames"] == []
