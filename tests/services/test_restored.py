"""After a restore: what was left out is named, whatever else agrees with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.data.codec import encode_item
from app.data.tables import ALL
from app.domain.errors import InvalidInput
from app.gateways.files import FileStore
from app.services import books, queue, restored, tasks
from scripts import setup_db
from tests.services.test_payments import paid, record
from tests.support import NOW, make_account, make_operators

pytestmark = pytest.mark.long

OP = "op@example.com"
store = pytest.fixture(lambda empty_store: empty_store)


@pytest.fixture
def files(dynamodb_url):
    found = FileStore("results-of-a-restore", "us-east-1", dynamodb_url)
    found.create_bucket()
    for key, _ in list(found.sizes()):
        found.remove_all(key.split("/")[1])
    return found


@pytest.fixture
def whole(store, files) -> str:
    """A product with something in it; the id of its completed task."""
    make_operators(store, OP)
    record(store, paid(1), paid(2, email="bob@example.com"))
    account = store.accounts.get("ada@example.com")
    done = tasks.submit(store, account, "Compare three banks", now=NOW).task.task_id
    file = files.put(done, "banks.txt", b"One, two, three.")
    queue.claim(store, OP, done, now=NOW)
    queue.complete(store, OP, done, "The second one.", files=[file], now=NOW)
    again = tasks.submit(store, store.accounts.get(account.email), "Find two more", now=NOW).task.task_id
    queue.claim(store, OP, again, now=NOW)
    queue.reject(store, OP, again, "There are none.", now=NOW)
    return str(done)


def check(store, files, **manifests: int):
    return restored.check(store, files, manifests)


def empty(store, suffix: str) -> int:
    """A table that a restore left out and a set-up made anew."""
    (table,) = [table for table in ALL if table.suffix == suffix]
    rows = list(store._scan(suffix))
    for row in rows:
        key = {name: row[name] for name in (table.key, table.range_key) if name}
        store.client.delete_item(TableName=store.prefix + suffix, Key=encode_item(key))
    return len(rows)


def named(report) -> set[tuple[str, str]]:
    return {(one.subject, one.what) for one in report.differences}


def test_what_is_whole_is_whole(store, files, whole):
    report = check(store, files)

    assert report.differences == []
    assert report.rows["Results"] == 1
    assert report.rows.keys() == {table.suffix for table in ALL}
    (left,) = report.not_compared
    assert left.startswith("Numbers of rows, no manifest was given: Users, ")


@pytest.mark.threat(116)
@pytest.mark.parametrize(
    ("suffix", "what"),
    [
        ("Users", "account of the ledger rows"),
        ("Transactions", "balance and sum of the ledger"),
        ("Tasks", "task of the ledger row"),
        ("Payments", "payment of the ledger rows"),
        ("Audit", "operator of the completed task"),
        ("Results", "result of the completed task"),
        ("Figures", "rows of table Figures"),
        ("SearchKeys", "rows of table SearchKeys"),
        ("Status", "rows of table Status"),
    ],
)
def test_a_table_that_was_left_out_and_made_empty_is_named_without_any_manifest(store, files, whole, suffix, what):
    store.updates.heartbeats.note_webhook(NOW)
    assert empty(store, suffix)

    assert what in {what for _, what in named(check(store, files))}


@pytest.mark.threat(116)
@pytest.mark.parametrize("suffix", ["Adjustments", "Sales", "RedeemCodes", "Results", "Transactions"])
def test_a_table_with_other_rows_than_its_export_is_named(store, files, whole, suffix):
    report = check(store, files, **{f"ImpacterAGI_{suffix}": 41})

    (found,) = [one for one in report.differences if one.what == f"rows of table {suffix}"]
    assert (found.expected, found.found) == ("41 in the export", f"{report.rows[suffix]}")


def test_with_a_manifest_of_each_table_nothing_is_left_uncompared_but_what_expires(store, files, whole):
    rows = check(store, files).rows

    report = check(store, files, **{f"Before_{name}": count for name, count in rows.items()})

    assert report.differences == []
    assert [line.split(":")[0] for line in report.not_compared] == [table.suffix for table in ALL if table.ttl]


@pytest.mark.threat(116)
def test_a_file_that_is_missing_or_of_another_size_is_named_by_its_task(store, files, whole):
    ((key, size),) = files.sizes()
    files.remove_all(whole)
    assert named(check(store, files)) == {(whole, f"file {key}")}

    files._call("put_object", Bucket="results-of-a-restore", Key=key, Body=b"torn")
    (found,) = check(store, files).differences
    assert (found.subject, found.expected, found.found) == (whole, f"{size} bytes", "4 bytes")


@pytest.mark.threat(116)
def test_a_day_of_ledger_rows_that_is_missing_is_named_by_account_and_place(store, files, whole):
    account = store.accounts.get("ada@example.com")
    rows = [entry for entry in store.ledger.every_of(account.email) if entry.sequence in (2, 3)]
    for entry in rows:
        key = encode_item({"transaction_id": entry.transaction_id})
        store.client.delete_item(TableName=store.prefix + "Transactions", Key=key)

    report = check(store, files)

    (gap,) = [one for one in report.differences if one.what == "sequence numbers"]
    assert (gap.subject, gap.found) == (account.email, "without [2, 3]")


@pytest.mark.threat(116)
def test_one_result_that_is_missing_or_nobodys_is_named(store, files, whole):
    (row,) = store._scan("Results")
    store.client.delete_item(TableName=store.prefix + "Results", Key=encode_item({"task_id": whole}))
    assert books.check(store) == [], "they agree all the same: no row of theirs asks for it"
    (found,) = check(store, files).differences
    assert (found.subject, found.what, found.email) == (whole, "result of the completed task", "ada@example.com")

    for task_id in (whole, "task_of_later"):
        item = encode_item(row | {"task_id": task_id, "files": []})
        store.client.put_item(TableName=store.prefix + "Results", Item=item)
    assert named(check(store, files)) == {("task_of_later", "task of the result")}


def test_what_an_owner_erased_is_not_asked_for(store, files, whole):
    store.updates.erasure.erase_task(whole)
    files.remove_all(whole)

    assert check(store, files).differences == []


def test_a_table_that_is_missing_ends_the_check_and_is_not_made(app, store, files, monkeypatch):
    """`scripts/setup_db.py` made it empty, and the books agreed."""
    elsewhere = type(store)(store.client, "Nowhere_")

    report = check(elsewhere, files)

    assert len(report.differences) == len(ALL)
    assert {"table Nowhere_Results is missing"} <= {what for _, what in named(report)}
    assert report.rows == {}
    names = store.client.list_tables()["TableNames"]
    assert not [name for name in names if name.startswith("Nowhere_")]


def test_the_set_up_after_a_restore_makes_nothing_and_names_what_is_missing(config, dynamodb_url, monkeypatch, capsys):
    there = replace(config, table_prefix="Restored_", dynamodb_endpoint_url=dynamodb_url)
    monkeypatch.setattr("sys.argv", ["setup_db.py", "--restored"])
    monkeypatch.setattr(setup_db.Config, "from_env", lambda: there)

    assert setup_db.main() == 1

    assert "Not as it must be: table Restored_Results is missing." in capsys.readouterr().err
    client = setup_db.make_client(there, endpoint_url=dynamodb_url)
    assert not [name for name in client.list_tables()["TableNames"] if name.startswith("Restored_")]


SUMMARY = {
    "version": "2020-06-30",
    "tableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/ImpacterAGI_Results",
    "exportTime": "2026-11-22T12:00:00Z",
    "itemCount": 7,
    "outputFormat": "DYNAMODB_JSON",
    "exportType": "FULL_EXPORT",
}


def test_a_manifest_names_its_table_and_its_rows():
    assert restored.read_manifest(json.dumps(SUMMARY)) == ("ImpacterAGI_Results", 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 50_000,
        json.dumps(SUMMARY | {"itemCount": "7"}),
        json.dumps(SUMMARY | {"itemCount": -1}),
        json.dumps(SUMMARY | {"tableArn": ""}),
        json.dumps(SUMMARY | {"exportType": "INCREMENTAL_EXPORT"}),
        json.dumps(SUMMARY | {"exportType": []}).replace("itemCount", "other"),
    ],
)
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(InvalidInput):
        restored.read_manifest(text)


def test_the_command_says_it_in_words_and_ends_with_1(app, store, tmp_path: Path):
    manifest = tmp_path / "manifest-summary.json"
    manifest.write_text(json.dumps(SUMMARY))
    app.extensions["impacteragi"].files.create_bucket()
    run = app.test_cli_runner().invoke

    whole = run(args=["restore", "check"])
    lacking = run(args=["restore", "check", "--manifest", str(manifest)])
    manifest.write_text("{}")
    none = run(args=["restore", "check", "--manifest", str(manifest)])

    assert (whole.exit_code, lacking.exit_code, none.exit_code) == (0, 1, 1), whole.output
    assert "The tables, the files and the books agree." in whole.output
    assert "rows of table Results  7 in the export  0" in lacking.output
    assert "Do not serve from these tables." in lacking.output
    assert "is no manifest-summary.json" in none.output


def test_a_customer_who_was_there_a_moment_later_is_a_difference(store, files, whole):
    """Tables that were restored to two seconds."""
    make_account(store, "late@example.com", credits=5)
    store.client.delete_item(TableName=store.prefix + "Users", Key=encode_item({"email": "late@example.com"}))

    assert ("late@example.com", "account of the ledger rows") in named(check(store, files))
