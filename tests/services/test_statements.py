"""Statements and lists of an account whose rows were written by clocks that were years off."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from app.data import Store
from app.domain.credits import PROMO, LedgerEntry, post
from app.services import figures, statements, tasks
from tests.support import NOW, ledger, make_account

ADA = "ada@example.com"
YEARS = 3650
MADE = NOW - timedelta(days=200)
HISTORIES = {  # days after MADE, and by how many days the clock of the machine is off
    "right": [(0, 0), (3, 0), (40, 0), (41, 0), (199, 0)],
    "years ahead once": [(0, 0), (3, YEARS), (40, 0), (41, 0), (90, 0), (199, 0)],
    "years ahead at first": [(0, YEARS), (40, 0), (40.5, 0), (100, 0)],
    "years ahead at last": [(0, 0), (40, 0), (199, YEARS)],
    "years ahead alone": [(0, YEARS), (10, YEARS)],
    "two machines": [(day, YEARS * (day % 2)) for day in range(0, 120, 9)],
    "more and more": [(0, 0), (10, YEARS), (30, YEARS * 2), (70, 0), (100, YEARS * 3), (160, 0)],
    "some days ahead": [(0, 0), (20, 35), (22, 0), (50, 0), (60, 0), (61, 35), (190, 0)],
    "years behind": [(0, 0), (40, -YEARS), (80, 0), (81, 0)],
}


@pytest.fixture(autouse=True)
def today(monkeypatch) -> None:
    monkeypatch.setattr(statements, "utcnow", lambda: NOW)


def live(store: Store, history: list[tuple[float, int]]) -> list[datetime]:
    """An account with this history, one credit more with each row; when each of them really happened."""
    account = make_account(store, ADA)
    store.updates.accounts.change(account, created_at=MADE)
    for number, (days, off) in enumerate(history, 1):
        account = store.accounts.get(ADA)
        gift = LedgerEntry(f"promo#{number}", ADA, PROMO, number, "A gift")
        posted, after = post(account, gift, MADE + timedelta(days=days + off))
        with store.transaction() as tx:
            tx.ledger.append_once(posted)
            tx.accounts.move_balance(account, after)
    return [MADE + timedelta(days=days) for days, _ in history]


@pytest.fixture(params=HISTORIES)
def history(request, store) -> list[tuple[float, int]]:
    live(store, HISTORIES[request.param])
    return HISTORIES[request.param]


def every_month(off: list[int]) -> list[str]:
    """Those that the page offers, or all if a clock was behind the account's own beginning."""
    since = MADE if min(off) >= 0 else MADE - timedelta(days=YEARS * 2)
    found = []
    moment = NOW
    while moment >= since.replace(day=1):
        found.append(f"{moment:%Y-%m}")
        moment = moment.replace(day=1) - timedelta(days=1)
    return found[::-1]


@pytest.mark.threat(112)
def test_statements_add_up_and_hold_each_row_once(store, history):
    balance, rows = 0, []
    for month in every_month([off for _, off in history]):
        found = statements.of_month(store, ADA, month)
        assert found["opening"] == balance, month
        assert all(f"{entry.timestamp:%Y-%m}" == month for entry in found["entries"])
        rows += found["entries"]
        balance = found["closing"]

    assert [entry.sequence for entry in rows] == list(range(1, len(history) + 1))
    assert balance == store.accounts.get(ADA).credits_balance
    following = statements.of_month(store, ADA, "2027-01")
    assert (following["opening"], following["entries"], following["closing"]) == (balance, [], balance)


@pytest.mark.threat(112)
def test_the_month_of_a_right_row_is_the_one_in_which_it_happened(store, history):
    if min(off for _, off in history) < 0:
        return  # a clock years behind, and no word of the store: earlier rows go with it
    for number, (days, off) in enumerate(history, 1):
        if off == 0:
            month = f"{MADE + timedelta(days=days):%Y-%m}"
            assert number in [entry.sequence for entry in statements.of_month(store, ADA, month)["entries"]]


@pytest.mark.threat(112)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_cursors_lead_over_every_row_once_newest_first(store, history, limit):
    account = store.accounts.get(ADA)

    def walk(**filters) -> list[int]:
        found, cursor = [], None
        while True:
            page = statements.list_page(store, account, limit=limit, cursor=cursor, **filters)
            found += [entry.sequence for entry in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    every = list(range(len(history), 0, -1))
    assert walk() == every
    assert walk(type=PROMO) == every
    assert [number for month in every_month([o for _, o in history])[::-1] for number in walk(month=month)] == every


@pytest.mark.threat(112)
def test_a_file_of_the_whole_ledger_follows_the_sequence_and_keeps_each_time(store, history):
    found = list(statements.whole_ledger(store, ADA))

    assert [entry.sequence for entry in found] == list(range(len(history), 0, -1))
    if min(off for _, off in history) >= 0:
        for entry, (days, off) in zip(found[::-1], history, strict=True):
            assert off or entry.timestamp == MADE + timedelta(days=days)


@pytest.mark.threat(112)
def test_an_account_that_went_on_before_this_was_mended_is_mended_with_its_next_row(store):
    """Each row after one that was years ahead was dated a microsecond after it."""
    live(store, [(0, 0), (10, YEARS), (10, YEARS), (10, YEARS), (10, YEARS)])

    done = tasks.submit(store, store.accounts.get(ADA), "On a right machine", now=MADE + timedelta(days=70))

    month = f"{done.task.created_at:%Y-%m}"
    found = statements.of_month(store, ADA, month)
    assert (found["opening"], found["closing"]) == (1, 5)
    assert ledger(store, ADA)[-1].timestamp == done.task.created_at
    assert statements.of_month(store, ADA, f"{MADE:%Y-%m}")["closing"] == 1


@pytest.mark.threat(112)
def test_days_that_have_not_come_are_in_no_chart(store):
    live(store, [(190, 0), (199, YEARS), (200, 0)])

    figures.read_ledger(store, store.ledger.every(), NOW)

    assert sorted(store.figures.ledger_days().days) == [
        f"{MADE + timedelta(days=days):%Y-%m-%d}" for days in (190, 200)
    ]


def test_an_account_made_by_a_clock_that_was_ahead_has_every_month_to_choose_from():
    assert statements.months(NOW + timedelta(days=YEARS), NOW)[:2] == ["2026-11", "2026-10"]
    assert statements.months(NOW - timedelta(days=60), NOW) == ["2026-11", "2026-10", "2026-09"]
