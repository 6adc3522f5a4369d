"""The command line of the books and the codes."""

from __future__ import annotations

import json

import pytest

from app import create_app
from tests.services.test_books import Listed, session
from tests.services.test_payments import paid, record
from tests.support import FakeSender, make_account


@pytest.fixture
def run(config, empty_store):
    stripe = Listed(sessions=[session(n) for n in range(10)])
    app = create_app(config, store=empty_store, sender=FakeSender(), stripe=stripe)
    return lambda *words: app.test_cli_runner().invoke(args=list(words))


def test_check_ends_with_0_when_the_books_agree(run, empty_store):
    record(empty_store, paid())

    result = run("books", "check")

    assert (result.exit_code, result.output) == (0, "The books agree.\n")
    assert empty_store.heartbeats.last_books_check().differences == 0


def test_a_long_check_tells_how_far_it_is_beside_what_programs_read(run, empty_store, monkeypatch):
    monkeypatch.setattr("app.cli.books.WORD_SECONDS", 0.0)
    record(empty_store, paid())

    result = run("books", "check", "--json", "--anew")

    assert result.stdout == "[]\n"
    told = [line.removeprefix("… ") for line in result.stderr.splitlines() if line.startswith("… ")]
    assert told[:4] == ["accounts", "ledger rows", "tasks", "payments"]


@pytest.mark.threat(27)
def test_check_ends_with_1_and_a_table_when_something_differs(run, empty_store, monkeypatch):
    monkeypatch.setattr("app.cli.books.time.sleep", lambda seconds: None)
    make_account(empty_store, credits=10)
    empty_store.updates.accounts.change(empty_store.accounts.get("ada@example.com"), credits_balance=11)

    result = run("books", "check", "--freeze")

    assert result.exit_code == 1
    assert "ada@example.com  balance and sum of the ledger" in result.output
    assert empty_store.accounts.get("ada@example.com").frozen_at
    assert run("books", "unfreeze", "ada@example.com", "--reason", "looked at it").exit_code == 0
    assert empty_store.accounts.get("ada@example.com").frozen_at is None
    assert len(json.loads(run("books", "check", "--json").stdout)) == 2


def test_the_log_tells_how_a_scheduled_command_ended_when_it_went_well_and_when_it_did_not(run, empty_store, caplog):
    run("books", "check")
    run("books", "reconcile", "--dry-run")

    ends = [(r.command, r.status) for r in caplog.records if r.getMessage() == "command ended"]
    assert ends == [("books check", 0), ("books reconcile", 1)]


@pytest.mark.threat(48)
def test_reconcile_repairs_ten_withheld_webhooks_and_then_finds_nothing(run, empty_store):
    dry = run("books", "reconcile", "--dry-run")
    assert dry.exit_code == 1
    assert list(empty_store.accounts.every()) == []

    first, again = run("books", "reconcile"), run("books", "reconcile")

    assert "10 were missing and are recorded now" in first.output
    assert "0 were missing" in again.output
    assert sum(account.credits_balance for account in empty_store.accounts.every()) == 10_000


def test_reconcile_ends_with_1_when_a_refund_of_ours_cannot_be_read(config, empty_store):
    refund = {"id": "re_1", "payment_intent": "pi_1", "amount": 1000, "status": "of_next_year"}
    stripe = Listed([session(1)], [refund])
    runner = create_app(config, store=empty_store, sender=FakeSender(), stripe=stripe).test_cli_runner()

    result = runner.invoke(args=["books", "reconcile"])

    assert (result.exit_code, "cannot read, look at it there: pi_1\n" in result.output) == (1, True)
    (finding, *_) = empty_store.heartbeats.last_reconciliation().findings
    assert (finding.subject, finding.what) == ("pi_1", "a refund or dispute that this release cannot read")


def test_liability_is_told_for_people_and_for_programs(run, empty_store):
    make_account(empty_store, credits=70)

    assert "owed to customers  70" in run("books", "liability", "--at", "2099-01-01").output
    assert json.loads(run("books", "liability", "--json", "--at", "2099-01-01").output)["owed_to_customers"] == 70


def test_codes_are_made_listed_and_ended(run, empty_store):
    made = run("codes", "create", "fair-2099", "--credits", "50", "--uses", "3", "--expires", "2099-01-01")

    assert made.output == "FAIR-2099: 50 credits for each of 3 accounts.\n"
    assert run("codes", "create", "fair-2099", "--credits", "5", "--uses", "3", "--expires", "2099-01-01").exit_code
    assert run("codes", "disable", "FAIR-2099", "--reason", "over").exit_code == 0
    assert "FAIR-2099  50       0 of 3  2099-01-01  off" in run("codes", "list").output
    assert run("codes", "disable", "NOTHING-HERE", "--reason", "over").exit_code == 1


@pytest.mark.parametrize(
    "words", [("operators", "grant", "nobody@example.com"), ("operators", "revoke", "nobody@example.com")]
)
def test_an_unknown_account_is_an_error(run, words):
    result = run(*words)

    assert result.exit_code == 1
    assert "no account" in result.output


@pytest.mark.parametrize(("old", "name"), [("users", "accounts"), ("admin", "operators")])
def test_a_group_of_commands_goes_on_working_under_its_old_name_without_being_listed(run, old, name):
    assert run(old, "--help").output.partition("Options:")[2] == run(name, "--help").output.partition("Options:")[2]
    assert f"  {name} " in run("--help").output
    assert f"  {old} " not in run("--help").output
