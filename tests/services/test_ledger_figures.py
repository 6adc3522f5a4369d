"""Finance's figures: added to in the transaction of each ledger row, checked, repaired, and never silently low."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.data.client import Stale
from app.data.codec import encode_item
from app.data.migrations import FIGURES_OF_BEFORE, Migrations
from app.domain.credits import ADJUSTMENT, CLAWBACK, REINSTATEMENT, LedgerEntry, PostedEntry, post
from app.domain.ledger_figures import LedgerFigures, fold, roll_forward, shard_of
from app.domain.payments import DisputeFact, RefundFact
from app.services import books, ledger_figures, queue, tasks
from tests.services.test_payments import paid, record
from tests.support import NOW, assert_figures_agree, make_account, make_operators

ADA, OP = "ada@example.com", "op@example.com"
TABLE = "ImpacterAGI_Figures"


@pytest.fixture
def store(empty_store):
    """Without the check at the end: some of these tests break the figures on purpose. Nothing is to migrate."""
    Migrations(empty_store.client, empty_store.prefix).note_new(NOW)
    return empty_store


def submit(store, text="A task", now=NOW):
    return tasks.submit(store, store.accounts.get(ADA), text, now=now).task


def reject(store, task):
    make_operators(store)
    queue.claim(store, OP, task.task_id, now=NOW)
    queue.reject(store, OP, task.task_id, "Not ours", now=NOW)


def as_before_the_figures(store, email=ADA):
    """The account as an earlier release has left it: its rows are in no figure."""
    store.client.update_item(
        TableName="ImpacterAGI_Users", Key={"email": {"S": email}}, UpdateExpression="REMOVE folded_sequence"
    )
    for month, shard in store.ledger_figures.by_place():
        store.client.delete_item(TableName=TABLE, Key={"place": {"S": f"{month}#{shard:02}"}})


def change(store, month, **values):
    key = f"{month}#{shard_of(ADA):02}"
    row = store.client.get_item(TableName=TABLE, Key={"place": {"S": key}})["Item"] | encode_item(values)
    store.client.put_item(TableName=TABLE, Item=row)


def whats(store):
    return [difference.what for difference in books.check(store)]


def test_each_thing_that_moves_credits_has_its_figure(store):
    make_account(store, credits=100)
    record(
        store, paid(), RefundFact("pi_1", "re_1", 250, "succeeded"), DisputeFact("pi_1", "dp_1", 100, "needs_response")
    )
    record(store, DisputeFact("pi_1", "dp_1", 100, "won"), RefundFact("pi_1", "re_1", 250, "failed"))
    submit(store)
    reject(store, submit(store, "Another"))

    found = ledger_figures.look(store, NOW)

    assert replace(found.this_month, rows=0) == LedgerFigures(
        sold=1000,
        spent=20,
        given_back=10,
        refunded=250,
        refunds_undone=250,
        disputed=100,
        disputes_undone=100,
        promotional=100,
    )
    assert (found.owed_to_customers, found.owed_by_customers, found.whole) == (1090, 0, True)
    assert books.check(store) == []


def test_who_owes_is_told_apart_from_what_is_owed(store):
    record(store, paid())
    for number in range(30):
        submit(store, f"Task {number}")
    record(store, RefundFact("pi_1", "re_1", 1000, "succeeded"))
    make_account(store, "bob@example.com", credits=80)

    found = ledger_figures.look(store, NOW)

    assert (found.owed_to_customers, found.owed_by_customers) == (80, 300)
    assert books.liability(store, at=NOW, now=NOW).owed_to_customers == 80
    record(store, paid(2))
    assert ledger_figures.look(store, NOW).owed_by_customers == 0


def test_a_month_opens_where_the_one_before_has_closed(store):
    make_account(store, credits=100)
    submit(store, now=NOW + timedelta(days=75))

    months = ledger_figures.look(store, NOW + timedelta(days=75)).months

    assert [(m.month, m.opening, m.figures.spent, m.closing) for m in months] == [
        ("2026-11", 0, 0, 100),
        ("2026-12", 100, 0, 100),
        ("2027-01", 100, 0, 100),
        ("2027-02", 100, 10, 90),
    ]


def test_no_row_is_one_line_of_nothing(store):
    (month,) = ledger_figures.look(store, NOW).months

    assert (month.month, month.opening, month.closing) == ("2026-11", 0, 0)


def test_a_repeated_submit_and_a_repeated_event_count_once(store):
    make_account(store, credits=100)
    for _ in range(3):
        tasks.submit(store, store.accounts.get(ADA), "The same", idempotency_key="r-1", now=NOW)
        record(store, paid(), RefundFact("pi_1", "re_1", 250, "succeeded"))

    found = ledger_figures.look(store, NOW).this_month

    assert (found.spent, found.sold, found.refunded, found.rows) == (10, 1000, 250, 4)


def test_many_accounts_at_once_lose_and_double_nothing(store):
    """Eight customers, two of them in one shard, and the same submit sent twice at the same moment."""
    emails = [f"c{number}@example.com" for number in range(7)]
    emails.append(next(e for e in (f"d{n}@example.com" for n in range(9999)) if shard_of(e) == shard_of(emails[0])))
    for email in emails:
        make_account(store, email, credits=100)
    together = threading.Barrier(len(emails) * 2)

    def work(email):
        together.wait()
        for number in range(5):
            account = store.accounts.get(email)
            tasks.submit(store, account, f"Task {number}", idempotency_key=f"r-{number}", now=NOW)

    with ThreadPoolExecutor(len(emails) * 2) as pool:
        list(pool.map(work, emails * 2))

    assert ledger_figures.look(store, NOW).this_month.spent == len(emails) * 5 * 10
    assert_figures_agree(store, store.ledger.every(), store.accounts.every())
    assert books.check(store) == []


def test_a_transaction_that_fails_adds_nothing(store):
    read = make_account(store, credits=100)
    submit(store)
    before = store.ledger_figures.by_place()
    posted, after = post(read, LedgerEntry("adjust#1", ADA, ADJUSTMENT, 5, "On an old balance"), NOW)

    with suppress(Stale), store.transaction() as tx:
        tx.ledger.append_once(posted)
        tx.accounts.move_balance(read, after)

    assert store.ledger.find("adjust#1") is None
    assert store.ledger_figures.by_place() == before


@pytest.mark.parametrize(("name", "value"), [("sold", 7), ("spent", 0), ("debt_rose", 1), ("rows", 1)])
def test_a_wrong_figure_is_found_and_put_right(store, app, name, value):
    make_account(store, credits=100)
    record(store, paid())
    submit(store)
    change(store, "2026-11", **{name: value})

    assert whats(store) == [f"figures of finance: {name}"]

    result = app.test_cli_runner().invoke(args=["books", "figures"])
    assert (result.exit_code, "1 months of a shard put right" in result.output) == (0, True)
    assert books.check(store) == []


def test_a_lost_and_an_invented_row_of_figures_are_found_and_put_right(store):
    make_account(store, credits=100)
    key = {"place": {"S": f"2026-11#{shard_of(ADA):02}"}}
    row = store.client.get_item(TableName=TABLE, Key=key)["Item"]
    store.client.delete_item(TableName=TABLE, Key=key)
    store.client.put_item(TableName=TABLE, Item=row | {"place": {"S": "2025-01#00"}})

    assert set(whats(store)) == {"figures of finance: promotional", "figures of finance: rows"}

    assert ledger_figures.repair(store).put_right == 2
    assert books.check(store) == []


def test_customers_at_work_are_no_difference_and_a_repair_leaves_what_they_write(store, monkeypatch):
    make_account(store, credits=100)
    change(store, "2026-11", promotional=90)
    every = store.ledger.every

    def while_one_submits(*part):
        yield from every(*part)
        submit(store, "Meanwhile")

    with monkeypatch.context() as patched:
        patched.setattr(store.ledger, "every", while_one_submits)
        done = ledger_figures.repair(store)

    assert (done.put_right, done.in_use) == (0, 1)
    assert ledger_figures.repair(store).put_right == 1
    with monkeypatch.context() as patched:
        patched.setattr(store.ledger, "every", while_one_submits)
        assert [d for d in books.check(store) if "figures" in d.what] == []


def test_a_ledger_of_before_is_added_by_the_migration_and_by_nothing_twice(store):
    make_account(store, credits=100)
    make_account(store, "bob@example.com", credits=50)
    submit(store)
    as_before_the_figures(store)
    submit(store, "Before it is migrated: in no figure yet")
    migrations = Migrations(store.client, store.prefix)

    done = migrations.run(FIGURES_OF_BEFORE, NOW, again=True)

    assert done.changed == 1
    assert migrations.run(FIGURES_OF_BEFORE, NOW, again=True).changed == 0
    assert ledger_figures.repair(store).put_right == 1, "the shard of bob, whose figures the arrangement took away"
    assert ledger_figures.look(store, NOW).owed_to_customers == 130
    submit(store, "And after")
    assert ledger_figures.look(store, NOW).owed_to_customers == 120
    assert books.check(store) == []


def test_migrations_that_race_and_a_customer_at_work_add_each_row_once(store):
    make_account(store, credits=500)
    for number in range(20):
        submit(store, f"Task {number}")
    as_before_the_figures(store)
    row = next(store.ledger_figures.behind())
    together = threading.Barrier(4)

    def catch_up(_):
        together.wait()
        return store.updates.ledger_figures.catch_up(row)

    def work():
        together.wait()
        for number in range(5):
            submit(store, f"Meanwhile {number}")

    with ThreadPoolExecutor(4) as pool:
        at_work = pool.submit(work)
        list(pool.map(catch_up, range(3)))
        at_work.result()
    ledger_figures.repair(store)

    assert store.accounts.get(ADA).is_folded
    assert ledger_figures.look(store, NOW).this_month.spent == 250
    assert books.check(store) == []


def test_an_account_behind_is_named_once_the_migration_is_done_and_not_before(store):
    make_account(store, credits=100)
    as_before_the_figures(store)

    assert whats(store) == ["figures of finance: rows"]
    assert ledger_figures.look(store, NOW).whole

    key = {"TableName": "ImpacterAGI_Status", "Key": {"name": {"S": "migration#4"}}}
    store.client.delete_item(**key)
    assert whats(store) == []
    assert not ledger_figures.look(store, NOW).whole


def test_a_ledger_with_a_gap_is_left_behind(store, app):
    make_account(store, credits=100)
    task = submit(store)
    as_before_the_figures(store)
    key = {"transaction_id": {"S": f"spend#{task.task_id}"}}
    store.client.delete_item(TableName="ImpacterAGI_Transactions", Key=key)

    result = app.test_cli_runner().invoke(args=["books", "figures"])

    assert result.exit_code == 1
    assert "1 accounts are not in the figures" in result.output
    assert store.ledger_figures.by_place() == {}


def test_many_months_of_one_account_are_added_in_some_transactions(store, monkeypatch):
    monkeypatch.setattr("app.data.ledger_figures.MOST_MONTHS", 2)
    make_account(store, credits=100)
    for month in range(1, 6):
        submit(store, f"Task {month}", now=NOW + timedelta(days=31 * month))
    expected = store.ledger_figures.by_place()
    as_before_the_figures(store)

    assert ledger_figures.repair(store).caught_up == 1

    assert store.ledger_figures.by_place() == expected


def row_of(amount, balance, type=ADJUSTMENT, **fields):
    return PostedEntry("t", ADA, type, amount, fields.pop("description", ""), NOW, balance, 1, **fields)


@given(st.lists(st.integers(-500, 500).filter(bool), min_size=1))
def test_net_is_the_balance_and_debt_is_what_it_is_below_zero(amounts):
    rows, balance = [], 0
    for amount in amounts:
        balance += amount
        rows.append(row_of(amount, balance, CLAWBACK if amount < 0 else ADJUSTMENT))

    (figures,) = fold(rows).values()

    assert (figures.net, figures.debt, figures.rows) == (balance, max(0, -balance), len(rows))


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (row_of(-5, 5, CLAWBACK, description="Taken back: a payment of $10.00 was disputed"), "disputed"),
        (row_of(-5, 5, CLAWBACK, description="Taken back: a payment of $10.00 was refunded"), "refunded"),
        (row_of(-5, 5, CLAWBACK, cause="disputed"), "disputed"),
        (row_of(5, 5, REINSTATEMENT, cause="disputed"), "disputes_undone"),
        (row_of(5, 5, REINSTATEMENT), "refunds_undone"),
        (row_of(5, 5, "of_later"), "added"),
        (row_of(-5, 5, "of_later"), "taken"),
    ],
)
def test_rows_of_before_and_of_later_have_their_figure(row, name):
    (figures,) = fold([row]).values()

    assert getattr(figures, name) == 5
    assert figures.net == row.amount


def test_an_account_of_the_original_product_is_brought_forward_whole():
    opening = PostedEntry(f"opening#{ADA}", ADA, ADJUSTMENT, 20, "", NOW, 500, 1)
    original = PostedEntry("old", ADA, "purchase", 480, "", NOW, 0, 0)

    (figures,) = fold([original, opening]).values()

    assert (figures.brought, figures.net, figures.rows) == (500, 500, 1)


def test_rows_of_a_clock_that_was_ahead_stand_in_their_month_as_a_line_to_come():
    months = roll_forward({"2026-11": LedgerFigures(sold=5), "2027-02": LedgerFigures(spent=2)}, NOW)

    assert [(month.month, month.closing) for month in months][::3] == [("2026-11", 5), ("2027-02", 3)]
