"""The month that the demo accounts open on: made once, however often a start is killed, and the books agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.domain.clock import utcnow
from app.domain.sales import Named
from app.gateways.stripe import StripeGateway
from app.services import books, seed
from app.services.seed import CUSTOMER
from scripts.local.demo import make
from scripts.local.demo.make import LENGTH, Month, is_wanted
from scripts.local.stripe_standin.process import StripeStandIn
from tests.support import ledger

NAMED = Named(payment_links=frozenset({"plink_credits"}))


@pytest.fixture(scope="module")
def running_stripe() -> Iterator[StripeStandIn]:
    with StripeStandIn() as stripe:
        yield stripe


@pytest.fixture
def stand_in(running_stripe: StripeStandIn) -> StripeStandIn:
    running_stripe.control("reset", {})
    return running_stripe


@pytest.fixture
def found(app, store):
    return app.extensions["impacteragi"]


@pytest.fixture
def begun(found, store):
    """The demo accounts as they are made at the first start."""
    list(seed.demo(store, found.passwords, password="a demo password", now=utcnow() - LENGTH))
    return found


class Killed(Exception):
    pass


def kill_after(monkeypatch, owner: object, name: str, times: int) -> None:
    """The process ends as soon as this was done so many times: what it had written stands."""
    done = getattr(owner, name)
    left = iter(range(times - 1))

    def once_more(*arguments, **named):
        answer = done(*arguments, **named)
        if next(left, None) is None:
            raise Killed
        return answer

    monkeypatch.setattr(owner, name, once_more)


def statement(store) -> list[tuple[str, int, int]]:
    return [(row.type, row.amount, row.balance_after) for row in ledger(store, CUSTOMER)]


def test_a_month_is_made_whose_books_and_payments_agree(begun, store, stand_in):
    assert is_wanted(begun, utcnow())

    Month(begun, NAMED, stand_in.control).make()

    now = utcnow()
    assert books.check(store) == []
    gateway, since = StripeGateway(stand_in.secret_key, stand_in.api_base), now - timedelta(days=30)
    with_stripe = books.reconcile(store, gateway, since=since, livemode=False, now=now, named=NAMED, dry_run=True)
    assert with_stripe.looked_at >= 5
    assert (with_stripe.missing, with_stripe.unknown_to_stripe, with_stripe.parked) == ([], [], [])
    rows = ledger(store, CUSTOMER)
    assert Counter(row.type for row in rows) == {"promo": 1, "purchase": 2, "clawback": 1, "spend": 13, "refund": 2}
    moments = [row.timestamp for row in sorted(rows, key=lambda row: row.sequence)]
    assert moments == sorted(moments)
    assert now - moments[0] > timedelta(days=27.9)
    assert now - moments[-1] < timedelta(hours=1)
    found = Counter(task.status for task in store.tasks.page(CUSTOMER, limit=100).items)
    assert found.keys() == {"pending", "in-progress", "completed", "rejected", "cancelled"}
    assert len(store.queue.page("pending", limit=50).items) >= 4
    assert not is_wanted(begun, utcnow())


@pytest.mark.parametrize(
    ("owner", "name", "times"),
    [
        (make.tasks, "submit", 1),
        (make.queue, "claim", 2),
        (make.queue, "complete", 3),
        (make.payments, "handle_event", 2),
        (make.queue, "request_redo", 1),
    ],
)
def test_a_start_that_was_killed_is_gone_on_with(begun, store, stand_in, monkeypatch, owner, name, times):
    with monkeypatch.context() as patched:
        kill_after(patched, owner, name, times)
        with pytest.raises(Killed):
            Month(begun, NAMED, stand_in.control).make()
    list(seed.demo(store, begun.passwords, password="a demo password", now=utcnow() - LENGTH))
    assert is_wanted(begun, utcnow())

    Month(begun, NAMED, stand_in.control).make()

    assert books.check(store) == []
    assert len(stand_in.events("checkout.session.completed")) == 4
    assert len(stand_in.events("refund.created")) == 1
    assert len(statement(store)) == 19
    assert not is_wanted(begun, utcnow())


def test_a_payment_that_was_made_before_the_kill_is_credited_once(begun, store, stand_in):
    calls = []

    def control(path, body):
        answer = stand_in.control(path, body)
        calls.append(path)
        if path == "payment_link" and calls.count(path) == 2:
            raise Killed
        return answer

    with pytest.raises(Killed):
        Month(begun, NAMED, control).make()

    Month(begun, NAMED, stand_in.control).make()

    assert len(stand_in.events("checkout.session.completed")) == 4
    assert [amount for kind, amount, _ in statement(store) if kind == "purchase"] == [1000, 1000]
    assert books.check(store) == []


def test_an_account_that_was_used_or_is_younger_gets_no_month(found, store):
    assert not is_wanted(found, utcnow())  # there is no account
    list(seed.demo(store, found.passwords, password="a demo password", now=utcnow()))
    assert not is_wanted(found, utcnow())  # of an earlier version, made today
    assert is_wanted(found, utcnow() + LENGTH)

    make.tasks.submit(store, store.accounts.get(CUSTOMER), "My own words", now=utcnow())

    assert not is_wanted(found, utcnow() + LENGTH)
