"""Migrations of stored rows: resumed after a kill, harmless beside another run, and recorded once they are done."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from app.data import Store, migrations
from app.data.codec import encode_item
from app.data.migrations import MIGRATIONS, Migrations
from app.data.tables import ALL
from app.domain.clock import to_iso
from app.domain.doctor import WRONG
from app.domain.proposals import ADJUSTMENT, CODE
from app.services.doctor import store as of_the_store
from app.web import deps
from scripts.local.settings import REPO
from scripts.setup_db import migrate
from tests.support import NOW

FIRST = MIGRATIONS[0]
ROWS = 60


def put(store: Store, number: int, **more: Any) -> None:
    """A proposal as it was written before there were kinds."""
    row = {"adjustment_id": f"adj_{number}", "user_email": "ada@example.com", "amount": 5, "reason": "Before kinds"}
    row |= {"proposed_by": "op@example.com", "created_at": to_iso(NOW), "state": "declined"}
    store.client.put_item(TableName=store.prefix + "Adjustments", Item=encode_item(row | more))


@pytest.fixture
def old(store: Store, monkeypatch) -> Store:
    monkeypatch.setattr(migrations, "ROWS_A_PAGE", 5)
    monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS[:1])  # tests/services/test_customer_search.py has the rest
    for number in range(ROWS):
        put(store, number)
    put(store, ROWS, kind=CODE, terms={"code": "FAIR"})
    return store


def of(store: Store) -> Migrations:
    return Migrations(store.client, store.prefix)


def kinds(store: Store) -> list[Any]:
    return [row.get("kind") for row in store._scan("Adjustments")]


def test_every_row_that_needs_it_is_changed_and_no_other(old):
    before = store_rows(old)

    done = of(old).run(FIRST, NOW)

    assert (done.looked_at, done.changed, done.finished_at) == (ROWS + 1, ROWS, NOW)
    assert sorted(kinds(old)) == [CODE] + [ADJUSTMENT] * ROWS
    assert store_rows(old)[f"adj_{ROWS}"] == before[f"adj_{ROWS}"]
    assert of(old).pending() == []


def store_rows(store: Store) -> dict[str, dict[str, Any]]:
    return {row["adjustment_id"]: row for row in store._scan("Adjustments")}


def test_a_dry_run_counts_and_changes_nothing(old):
    before = store_rows(old)

    assert of(old).count(FIRST) == ROWS
    assert store_rows(old) == before
    assert of(old).pending() == [FIRST]


def test_a_second_run_finds_nothing_to_do(old):
    of(old).run(FIRST, NOW)

    done = of(old).run(FIRST, NOW)

    assert (done.looked_at, done.changed) == (ROWS + 1, ROWS)


def test_again_begins_from_the_beginning(old):
    of(old).run(FIRST, NOW)
    put(old, ROWS + 1)

    done = of(old).run(FIRST, NOW, again=True)

    assert (done.looked_at, done.changed) == (ROWS + 2, 1)


def test_it_goes_on_where_an_error_broke_it_off(old, monkeypatch):
    """An error of the store, or of ours: what was looked at to the end of a page is not looked at again."""
    change, made = Migrations._change, []

    def until_it_breaks(self: Migrations, migration: Any, row: Any) -> bool:
        made.append(row["adjustment_id"])
        if len(made) > ROWS // 2:
            raise RuntimeError("broken off")
        return change(self, migration, row)

    with monkeypatch.context() as breaking:
        breaking.setattr(Migrations, "_change", until_it_breaks)
        with pytest.raises(RuntimeError):
            of(old).run(FIRST, NOW)
    stands = of(old).progress(FIRST)
    assert stands.finished_at is None
    assert 0 < stands.looked_at < ROWS

    done = of(old).run(FIRST, NOW)

    assert done.looked_at == ROWS + 1, "a page that was done is not looked at twice"
    assert kinds(old).count(ADJUSTMENT) == ROWS


RUNNING = """
import sys, time
from datetime import UTC, datetime
import boto3
from app.data import migrations
from app.data.migrations import MIGRATIONS, Migrations
migrations.ROWS_A_PAGE = 2
change = Migrations._change
def slowly(self, migration, row):
    time.sleep(0.05)
    return change(self, migration, row)
Migrations._change = slowly
client = boto3.client("dynamodb", endpoint_url=sys.argv[1], region_name="us-east-1",
                      aws_access_key_id="local", aws_secret_access_key="local")
Migrations(client, sys.argv[2]).run(MIGRATIONS[0], datetime.now(UTC))
"""


def test_it_goes_on_after_a_kill(old, dynamodb_url):
    command = [sys.executable, "-c", RUNNING, dynamodb_url, old.prefix]
    with subprocess.Popen(command, cwd=REPO) as running:
        while not of(old).progress(FIRST).looked_at:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    stands = of(old).progress(FIRST)
    assert stands.finished_at is None
    assert None in kinds(old)

    done = of(old).run(FIRST, NOW)

    assert kinds(old).count(ADJUSTMENT) == ROWS
    assert done.finished_at == NOW
    assert done.looked_at == ROWS + 1


def test_two_at_once_change_each_row_once(old):
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: of(old).run(FIRST, NOW), range(2)))

    assert kinds(old).count(ADJUSTMENT) == ROWS
    assert max(run.changed for run in runs) == ROWS
    assert of(old).pending() == []


def test_a_row_that_changes_meanwhile_keeps_what_it_got(old, monkeypatch):
    change = Migrations._change

    def after_somebody_else(self: Migrations, migration: Any, row: Any) -> bool:
        put(old, int(row["adjustment_id"].removeprefix("adj_")), kind=CODE, terms={})
        return change(self, migration, row)

    monkeypatch.setattr(Migrations, "_change", after_somebody_else)
    done = of(old).run(FIRST, NOW)

    assert done.changed == 0
    assert set(kinds(old)) == {CODE}


def test_a_row_that_goes_meanwhile_does_not_come_back(old, monkeypatch):
    """As rows do that have a time to live."""
    plain = Migrations._change

    def with_one_gone(self: Migrations, migration: Any, row: Any) -> bool:
        if row["adjustment_id"] == "adj_7":
            old.client.delete_item(
                TableName=old.prefix + "Adjustments", Key=encode_item({"adjustment_id": row["adjustment_id"]})
            )
        return plain(self, migration, row)

    monkeypatch.setattr(Migrations, "_change", with_one_gone)

    assert of(old).run(FIRST, NOW).changed == ROWS - 1
    assert old.proposals.find("adj_7") is None


def test_it_shows_how_far_it_is(old, monkeypatch):
    monkeypatch.setattr(migrations, "WORD_SECONDS", 0.0)
    said: list[str] = []

    of(old).run(FIRST, NOW, say=said.append)

    assert said[-1].endswith(f"{ROWS + 1} rows looked at, {ROWS} changed ...")


def test_new_tables_have_nothing_pending(store):
    of(store).note_new(NOW)

    assert of(store).pending() == []


def test_each_migration_has_a_number_of_its_own_and_a_table_of_ours():
    numbers = [migration.number for migration in MIGRATIONS]

    assert numbers == sorted(set(numbers))
    assert {migration.table for migration in MIGRATIONS} <= set(ALL)


def test_the_command_does_what_is_pending_and_says_so(app, old):
    runner = app.test_cli_runner()

    assert runner.invoke(args=["tables", "migrate", "--dry-run"]).output.endswith(f"{ROWS} rows would change.\n")
    assert f"done; {ROWS + 1} rows looked at, {ROWS} changed." in runner.invoke(args=["tables", "migrate"]).output
    assert runner.invoke(args=["tables", "migrate"]).output == "Nothing is pending.\n"


def test_the_doctor_names_what_is_pending(app, old):
    with app.app_context():
        found = list(of_the_store.migrations(replace(deps.patient(), store=old)))

    wrong = [finding for finding in found if finding.state == WRONG]
    assert ["tables migrate" in finding.mend for finding in wrong] == [True]


def test_the_set_up_migrates_on_a_laptop_and_names_it_in_production(old, capsys):
    migrate(SimpleNamespace(is_production=True), of(old), new=False)

    assert "flask tables migrate" in capsys.readouterr().err
    assert of(old).pending() == [FIRST]

    migrate(SimpleNamespace(is_production=False), of(old), new=False)

    assert of(old).pending() == []
    assert kinds(old).count(ADJUSTMENT) == ROWS
