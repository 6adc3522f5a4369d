"""One list of what happened to a customer: nothing twice, nothing left out, page by page in a few queries."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from app.domain.accounts import Session
from app.domain.credits import PURCHASE, LedgerEntry, post
from app.domain.errors import BadCursor, Malformed
from app.domain.mails import Mail
from app.domain.paging import write_cursor
from app.domain.payments import PaymentRecord
from app.services import customers, queue, tasks, timeline
from tests.support import NOW, calls_made, make_account, make_operators

ADA, OP = "ada@example.com", "op@example.com"


def every(store, *, kind=""):
    """The whole list, page by page, and how long the pages were."""
    account, cursor, events, lengths = store.accounts.get(ADA), None, [], []
    while True:
        page = timeline.page(store, account, kind=kind, cursor=cursor)
        events += page.items
        lengths.append(len(page.items))
        cursor = page.next_cursor
        if cursor is None:
            return events, lengths


def named(event) -> tuple[str, str]:
    ids = ("transaction_id", "task_id", "payment_id", "mail_id", "audit_id", "key")
    return event.kind, next(getattr(event.thing, name) for name in ids if getattr(event.thing, name, None))


def buy(store, number, now):
    account = store.accounts.get(ADA)
    record = PaymentRecord(
        f"pi_{number}",
        session_id=f"cs_{number}",
        state="paid",
        granted=100,
        total_cents=100,
        currency="usd",
        user_email=ADA,
        applied=100,
        entries=1,
    )
    entry = LedgerEntry(f"purchase#cs_{number}", ADA, PURCHASE, 100, "Bought", payment_id=f"pi_{number}")
    posted, after = post(account, entry, now)
    with store.transaction() as tx:
        tx.payments.save(None, record, now)
        tx.ledger.append_once(posted)
        tx.accounts.move_balance(account, after)
        tx.mails.enqueue(Mail(f"purchase#{number}", "purchase", ADA, now))


@pytest.fixture
def lived(store):
    """Tasks, purchases, a rejection and an adjustment, many of them at the same moment."""
    session = Session("a" * 32, "browser", NOW + timedelta(minutes=3), NOW + timedelta(hours=1), "Firefox")
    make_account(store, ADA, credits=1000, sessions={session.key: session})
    make_operators(store, OP)
    for number in range(12):
        now = NOW + timedelta(minutes=number // 4)
        buy(store, number, now)
        for part in range(3):
            task = tasks.submit(store, store.accounts.get(ADA), f"Task {number}.{part}", now=now).task
    queue.reject(store, OP, task.task_id, "Not possible", now=NOW + timedelta(minutes=5))
    customers.adjust(store, OP, ADA, 40, "Sorry", idempotency_key="k", limit=1000, now=NOW + timedelta(minutes=6))
    return store


def test_everything_is_told_once(lived):
    events, lengths = every(lived)

    told = Counter(map(named, events))
    assert set(told.values()) == {1}
    kinds = Counter(event.kind for event in events)
    # The gift, and the refund of the rejected task: all other rows of the ledger are told by their cause.
    assert kinds == {"task": 36, "payment": 12, "ledger": 2, "act": 1, "sign-in": 1, "mail": kinds["mail"]}
    assert kinds["mail"] >= 13
    assert [event.at for event in events] == sorted((event.at for event in events), reverse=True)
    assert max(lengths) == timeline.PAGE


@pytest.mark.parametrize("kind", timeline.KINDS)
def test_each_kind_alone_is_whole_and_says_the_same(lived, kind):
    events, _ = every(lived, kind=kind)

    assert {event.kind for event in events} == {kind}
    assert set(Counter(map(named, events)).values()) == {1}
    if kind == "ledger":
        assert len(events) == lived.accounts.get(ADA).ledger_sequence
    else:
        assert list(map(named, events)) == [named(event) for event in every(lived)[0] if event.kind == kind]


def test_a_page_is_one_query_for_each_kind_however_long_the_account_is(lived, monkeypatch):
    account = lived.accounts.get(ADA)
    cursor = timeline.page(lived, account).next_cursor
    for where in (None, cursor):
        with calls_made(monkeypatch) as made:
            timeline.page(lived, account, cursor=where)
        assert made == ["Query"] * 5
    with calls_made(monkeypatch) as made:
        timeline.page(lived, account, kind="mail")
    assert made == ["Query"]


@pytest.mark.parametrize("place", [["", 0, "a"], [1, 0, "a"], ["a", "0", "b"], ["a", 0]])
def test_a_place_that_is_none_is_refused(lived, place):
    account = lived.accounts.get(ADA)

    with pytest.raises(BadCursor):
        timeline.page(lived, account, cursor=write_cursor(place, ("timeline", account.account_id, "")))


@pytest.mark.parametrize("cursor", ["x", "W10"])
def test_a_cursor_that_is_none_is_refused(lived, cursor):
    with pytest.raises(BadCursor):
        timeline.page(lived, lived.accounts.get(ADA), cursor=cursor)


def test_a_cursor_of_one_kind_is_not_one_of_another(lived):
    account = lived.accounts.get(ADA)
    cursor = timeline.page(lived, account).next_cursor

    with pytest.raises(BadCursor):
        timeline.page(lived, account, kind="mail", cursor=cursor)


def test_a_kind_that_is_none_is_refused(lived):
    with pytest.raises(Malformed):
        timeline.page(lived, lived.accounts.get(ADA), kind="users")
