"""Checks that an operator asks for: one at a time, by a lease, and whatever becomes of one is said."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from app.data.client import Stale
from app.domain.checks import CHECK, LEASE, RECONCILE
from app.domain.errors import InvalidInput, PaymentsUnavailable, WrongState
from app.domain.heartbeats import Finding
from app.domain.sales import Named
from app.services import checks
from tests.services.test_books import Listed, session
from tests.support import NOW, make_account

OP = "op@example.com"
LATER = NOW + timedelta(seconds=30)


class Clock:
    def __init__(self, now: datetime = LATER) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store(empty_store, monkeypatch):
    monkeypatch.setattr(checks, "NOTE_SECONDS", 0.0)
    return empty_store


def ask(store, kind=CHECK, now=NOW):
    return checks.ask(store, kind, actor=OP, now=now)


def attend(store, stripe=None, clock=None, **more):
    how = {"named": Named(), "livemode": False, "clock": clock or Clock()}
    return checks.attend(store, stripe or Listed(), **how, **more)


def state(store, now=LATER):
    return store.checks.find().state(now)


def test_what_was_asked_for_runs_and_its_end_is_kept(store):
    account = make_account(store, credits=100)
    store.updates.accounts.change(account, credits_balance=1)
    ask(store)
    assert state(store) == "waiting"

    run = attend(store)

    assert (run.state(LATER), run.asked_by) == ("done", OP)
    last = store.heartbeats.last_books_check()
    assert (last.checked_at, last.differences) == (LATER, 2)
    assert last.findings[0] == Finding(account.email, "balance and last balance_after", "100 expected, 1 found")
    assert attend(store) is None, "and once"
    (row,) = store.audit.page_of("books", limit=5).items
    assert (row.actor, row.action) == (OP, "books.check")


def test_a_reconciliation_keeps_what_it_found(store):
    ask(store, RECONCILE)

    attend(store, Listed(sessions=[session(1)]))

    last = store.heartbeats.last_reconciliation()
    assert (last.looked_at, last.differences) == (1, 1)
    assert last.findings == (Finding("pi_1", "session: recorded now", "+1,000 credits"),)


def test_another_has_to_wait_for_one_that_waits_or_runs(store):
    run = ask(store)
    with pytest.raises(WrongState, match="asked for already, by op"):
        ask(store, RECONCILE)

    store.updates.checks.take(store.checks.find(), NOW)
    with pytest.raises(WrongState):
        ask(store)
    with pytest.raises(InvalidInput):
        ask(store, "everything")
    assert run.kind == CHECK


def read_together(store) -> None:
    """Of two who look at what was asked for, neither goes on before both have seen it."""
    together = threading.Barrier(2)
    find = store.checks.find

    def both():
        found = find()
        together.wait()
        return found

    store.checks.find = both


def test_of_two_who_ask_at_once_one_comes_first(store):
    read_together(store)

    def asked(kind):
        try:
            return ask(store, kind)
        except WrongState:
            return None

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(asked, [CHECK, RECONCILE]))

    assert done.count(None) == 1
    assert len(store.audit.page_of("books", limit=5).items) == 1


def test_of_two_who_attend_one_takes_it(store):
    ask(store)
    read_together(store)
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: attend(store), range(2)))

    assert ended.count(None) == 1


def test_one_that_nobody_begins_is_said_after_a_minute_and_begins_all_the_same(store):
    ask(store)

    assert state(store, NOW + timedelta(minutes=1)) == "unseen"
    assert attend(store, clock=Clock(NOW + timedelta(minutes=5))).failure == ""


def test_a_runner_that_was_killed_lapses_and_another_may_be_asked_for(store):
    ask(store)
    killed = store.updates.checks.take(store.checks.find(), NOW)
    after = NOW + LEASE

    assert state(store, after) == "lapsed"
    assert attend(store, clock=Clock(after)) is None, "it is not begun again by itself"
    ask(store, RECONCILE, now=after)
    with pytest.raises(Stale):  # should it only have slept
        store.updates.checks.note_step(killed, "ledger rows", 5, after)
    assert store.checks.find().kind == RECONCILE


def test_one_that_slept_while_another_was_asked_for_ends_without_a_word(store, monkeypatch):
    ask(store)
    clock = Clock()

    def asleep(*_, progress, **__):
        clock.now += LEASE
        ask(store, RECONCILE, now=clock.now)
        progress("ledger rows", 5)

    monkeypatch.setattr(checks, "check", asleep)

    assert attend(store, clock=clock) is None
    assert state(store, clock.now) == "waiting"


def test_progress_keeps_the_lease(store, monkeypatch):
    ask(store)
    clock, seen = Clock(), []

    def slow(*_, progress, **__):
        for rows in (100, 200, 300):
            clock.now += LEASE / 2
            progress("ledger rows", rows)
            run = store.checks.find()
            seen.append((run.step, run.done, run.state(clock.now)))

    monkeypatch.setattr(checks, "check", slow)
    attend(store, clock=clock)

    assert seen == [("ledger rows", rows, "running") for rows in (100, 200, 300)]


class Down(Listed):
    def list_sessions(self, created_from):
        raise PaymentsUnavailable


def broken(*_, **__):
    raise RuntimeError("of ours")


@pytest.mark.parametrize(
    ("kind", "how", "said"),
    [
        (RECONCILE, {"stripe": Down()}, PaymentsUnavailable().message),
        (CHECK, {"stopping": lambda: True}, checks.STOPPED),
        (CHECK, {"broken": True}, checks.BROKEN),
    ],
)
def test_one_that_does_not_end_well_says_why(store, monkeypatch, kind, how, said):
    make_account(store)
    if how.pop("broken", False):
        monkeypatch.setattr(checks, "check", broken)
    ask(store, kind)

    run = attend(store, **how)

    assert run.state(LATER) == "failed"
    assert said in run.failure
    assert ask(store, kind).kind == kind


def test_the_command_runs_what_was_asked_for(store, app):
    ask(store, now=NOW)

    result = app.test_cli_runner().invoke(args=["books", "attend"])

    assert (result.exit_code, result.output) == (0, "Check of the books: done\n")
    assert app.test_cli_runner().invoke(args=["books", "attend"]).output == ""


def test_of_very_many_findings_the_first_are_kept(store, monkeypatch):
    monkeypatch.setattr(checks, "MOST_FINDINGS", 1)
    account = make_account(store, credits=100)
    store.updates.accounts.change(account, credits_balance=1)
    ask(store)
    attend(store)

    last = store.heartbeats.last_books_check()
    assert (last.differences, len(last.findings)) == (2, 1)
