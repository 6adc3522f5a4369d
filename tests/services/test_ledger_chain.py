"""A ledger row follows from the row before it, as it is made and as it is read: what does not is an alert and a 500."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.data import Store
from app.data.codec import encode
from app.data.store import Transaction
from app.domain.accounts import NOT_ADOPTED
from app.domain.clock import utcnow
from app.domain.credits import (
    ADJUSTMENT,
    CLAWBACK,
    PROMO,
    SPEND,
    LedgerEntry,
    PostedEntry,
    check_listed,
    check_row,
    post,
)
from app.domain.errors import LedgerWrong
from app.services import tasks
from tests.originals import put_history
from tests.support import NOW, PASSWORD, ledger, make_account

ADA = "ada@example.com"


@pytest.fixture
def store(empty_store):
    """Without the check at the end: these tests break the books on purpose."""
    return empty_store


@pytest.fixture
def account(store):
    """A customer with a gift of 100 credits and two tasks behind them, long ago."""
    account = make_account(store, credits=100)
    for number in range(2):
        tasks.submit(store, store.accounts.get(account.email), f"Task {number}", now=NOW + timedelta(hours=number))
    return store.accounts.get(account.email)


def alerts(caplog) -> list[str]:
    return [record.what for record in caplog.records if getattr(record, "alert", "") == "ledger"]


def spoil(store: Store, place: int, **attributes: Any) -> None:
    """Write into a row of the ledger past everything, as no code of ours does."""
    (row,) = [entry for entry in ledger(store, ADA) if entry.sequence == place]
    for name, value in attributes.items():
        store.client.update_item(
            TableName=store.prefix + "Transactions",
            Key={"transaction_id": encode(row.transaction_id)},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": encode(value)},
        )


def write(store: Store, posted: PostedEntry, beside: Callable[[Transaction], None]) -> None:
    with store.transaction() as tx:
        beside(tx)
        tx.ledger.append_once(posted)


# Made


def gift(credits: int = 7, type: str = PROMO, name: str = "promo#x") -> LedgerEntry:
    return LedgerEntry(name, ADA, type, credits, "A gift")


WRONG: dict[str, Callable[[PostedEntry], PostedEntry]] = {
    "another balance": lambda posted: replace(posted, balance_after=posted.balance_after + 1),
    "another amount": lambda posted: replace(posted, amount=posted.amount + 1),
    "a sequence number that is missing before it": lambda posted: replace(posted, sequence=posted.sequence + 1),
    "a sequence number that stands": lambda posted: replace(posted, sequence=posted.sequence - 1),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_row_that_does_not_follow_from_the_account_is_not_written(store, account, caplog, what):
    posted, after = post(account, gift(), NOW)

    with pytest.raises(LedgerWrong):
        write(store, WRONG[what](posted), lambda tx: tx.accounts.move_balance(account, after))

    assert store.accounts.get(ADA) == account
    assert len(ledger(store, ADA)) == 3
    assert len(alerts(caplog)) == 1


def test_a_balance_never_moves_without_its_row(store, account, caplog):
    with pytest.raises(LedgerWrong), store.transaction() as tx:
        tx.accounts.move_balance(account, replace(account, credits_balance=1000, ledger_sequence=4))

    assert store.accounts.get(ADA) == account
    assert len(alerts(caplog)) == 1


def test_an_account_is_made_with_the_balance_of_its_rows(store, caplog):
    account = make_account(store, "bob@example.com")
    posted, after = post(replace(account, email=ADA), gift(), NOW)

    with pytest.raises(LedgerWrong):
        write(store, posted, lambda tx: tx.accounts.create(replace(after, credits_balance=8)))

    assert store.accounts.find(ADA) is None
    assert len(alerts(caplog)) == 1


@pytest.mark.parametrize("type", [SPEND, ADJUSTMENT])
def test_no_row_but_a_clawback_is_made_that_leads_below_zero(store, account, caplog, type):
    posted, _ = post(account, gift(-5, CLAWBACK), NOW)

    with pytest.raises(LedgerWrong), store.transaction() as tx:
        tx.ledger.append_once(replace(posted, type=type, amount=-85, balance_after=-5))

    assert len(alerts(caplog)) == 1


def test_several_rows_of_one_transaction_follow_from_one_another(store, account):
    first, between = post(account, gift(name="promo#1"), NOW)
    second, after = post(between, gift(name="promo#2"), NOW)

    with store.transaction() as tx:
        tx.ledger.append_once(first)
        tx.ledger.append_once(second)
        tx.accounts.move_balance(account, after)

    assert store.accounts.get(ADA).credits_balance == 94


# Read

SPOILT: dict[str, tuple[int, dict[str, Any]]] = {
    "the newest balance": (3, {"balance_after": 81}),
    "a balance between": (2, {"balance_after": 91}),
    "an amount": (2, {"amount": -11}),
    "the amount of the first row": (1, {"amount": 99}),
    "a gap": (3, {"sequence": 5}),
    "the same number twice": (3, {"sequence": 2}),
    "a balance that is text": (3, {"balance_after": "80"}),
    "a number below one": (2, {"sequence": -2}),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_wrong_row_is_never_shown(app, store, account, caplog, what):
    sequence, attributes = SPOILT[what]
    browser = app.test_client()
    app.config["WTF_CSRF_ENABLED"] = False
    browser.post("/login", data={"email": ADA, "password": PASSWORD})
    spoil(store, sequence, **attributes)

    answer = browser.get("/transactions")

    assert answer.status_code == 500
    assert "This ledger does not add up" in answer.text
    assert "<tbody" not in answer.text
    assert len(alerts(caplog)) == 1


@pytest.mark.parametrize("what", SPOILT)
@pytest.mark.parametrize("path", ["/transactions.csv", "/api/transactions"])
def test_nor_in_a_file_nor_to_a_program(app, store, account, what, path):
    sequence, attributes = SPOILT[what]
    client = app.test_client()
    app.config["WTF_CSRF_ENABLED"] = False
    token = client.post("/api/auth/login", json={"email": ADA, "password": PASSWORD}).json["token"]
    client.post("/login", data={"email": ADA, "password": PASSWORD})
    spoil(store, sequence, **attributes)

    with pytest.raises(LedgerWrong):
        list(store.ledger.every_of(ADA))
    answer = client.get(path, headers={"Authorization": f"Bearer {token}"} if "api" in path else {})
    assert answer.status_code == 500
    if "api" in path:
        assert answer.json["code"] == "ledger_wrong"


def test_what_is_wrong_is_still_named_by_the_check_of_the_books(store, account):
    from app.services import books

    spoil(store, 2, balance_after=91)

    assert any("running balance" in difference.what for difference in books.check(store))


@pytest.mark.parametrize("what", SPOILT)
def test_who_looks_into_it_is_shown_the_rows_as_they_stand(app, store, account, what):
    sequence, attributes = SPOILT[what]
    make_account(store, "op@example.com", role="admin")
    operator = app.test_client()
    app.config["WTF_CSRF_ENABLED"] = False
    operator.post("/login", data={"email": "op@example.com", "password": PASSWORD})
    task = next(entry.task_id for entry in ledger(store, ADA) if entry.task_id)
    spoil(store, sequence, **attributes)

    customer = operator.get(f"/admin/customers/{account.account_id}?kind=ledger")
    assert customer.status_code == 200
    assert customer.text.count('<span class="tag">Ledger</span>') == 3
    assert operator.get(f"/admin/tasks/{task}").status_code == 200
    shown = app.test_cli_runner().invoke(args=["accounts", "show", ADA, "--json"])
    assert shown.exit_code == 0
    assert len(json.loads(shown.output)["transactions"]) == 3


def test_what_is_no_number_is_said_in_words(store, account):
    spoil(store, 3, balance_after="eighty")

    newest = store.ledger.page(ADA, limit=1, as_they_stand=True).items[0]

    assert newest.description.endswith("(balance_after as it was stored: eighty)")
    assert newest.sequence == 3


def test_an_account_whose_begun_ledger_is_wrong_is_still_read_and_moved_by_nothing(store, account):
    """As after a restore of the row that the original product had."""
    spoil(store, 2, balance_after=91)
    store.client.update_item(
        TableName=store.prefix + "Users",
        Key={"email": encode(ADA)},
        UpdateExpression="REMOVE ledger_sequence",
    )

    assert store.accounts.get(ADA).unexplained == NOT_ADOPTED


# What is legitimate


def row(sequence: int, amount: int, balance: int, type: str = PROMO, **fields: Any) -> PostedEntry:
    return PostedEntry(f"x#{sequence}", ADA, type, amount, "", NOW, balance, sequence, **fields)


LEGITIMATE = {
    "a clawback into debt": row(2, -50, -40, CLAWBACK),
    "what pays a part of a debt": row(2, 10, -40),
    "an opening of a debt": replace(row(1, -5, -20, ADJUSTMENT), transaction_id=f"opening#{ADA}"),
    "an opening on rows of the original": replace(row(1, 0, 490, ADJUSTMENT), transaction_id=f"opening#{ADA}"),
    "a row of the original": row(0, -10, 0, SPEND),
    "an amount that nobody can read": row(2, 0, 5, unreadable="10.5"),
}


@pytest.mark.parametrize("what", LEGITIMATE)
def test_a_row_may_be(what):
    check_row(LEGITIMATE[what])


def test_rows_side_by_side_that_need_not_follow():
    now = NOW + timedelta(days=1)
    original, first, third = row(0, 500, 0), row(1, 10, 10), row(3, 10, 30)

    check_listed(first, original, now)
    check_listed(original, first, now)
    check_listed(third, first, NOW + timedelta(minutes=1))  # the index may not have the row between yet
    with pytest.raises(LedgerWrong):
        check_listed(third, first, now)


def test_the_ledger_of_an_adopted_account_is_shown(app, store):
    put_history(store)
    store.accounts.get("old@example.com")

    assert [entry.sequence for entry in store.ledger.every_of("old@example.com")] == [1, 0, 0]


def test_rows_of_one_type_are_no_neighbours(store, account):
    assert [entry.sequence for entry in store.ledger.every_of(ADA, type=SPEND)] == [3, 2]
    assert [entry.sequence for entry in store.ledger.every_of(ADA, type=PROMO)] == [1]


def test_a_row_that_is_listed_years_ahead_is_followed_by_its_number(store, account):
    ahead = utcnow() + timedelta(days=900)
    for number, moment in enumerate((ahead, utcnow())):
        current = store.accounts.get(ADA)
        posted, after = post(current, gift(name=f"promo#{number}"), moment)
        with store.transaction() as tx:
            tx.ledger.append_once(posted)
            tx.accounts.move_balance(current, after)

    assert [entry.sequence for entry in store.ledger.every_of(ADA)] == [5, 4, 3, 2, 1]


def test_the_alert_names_the_row_and_no_address(store, account, caplog):
    caplog.set_level(logging.ERROR)
    spoil(store, 2, balance_after=91)

    with pytest.raises(LedgerWrong):
        store.ledger.page(ADA, limit=20)

    (record,) = [record for record in caplog.records if getattr(record, "alert", "") == "ledger"]
    assert "instead of" in record.what
    assert record.email == "a***@example.com"
