"""Every hour: what Stripe told and never reached us is recorded once, and whoever can mend it is told why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from app.domain.clock import utcnow
from app.domain.errors import PaymentsUnavailable
from app.domain.heartbeats import StripeContact
from app.domain.payments import READERS
from app.domain.sales import Named
from app.gateways.stripe import API_VERSION, KeyLacksRight, StripeGateway
from app.services import books, catching_up, checks, endpoint, payments
from scripts.local.stripe_standin.process import StripeStandIn
from tests.services.test_books import Listed, session
from tests.support import NOW, FakeStripe, event, make_account, session_event

URL = "https://dashboard.example.com/api/stripe/webhook"
LISTENS: dict[str, Any] = {
    "id": "we_1",
    "object": "webhook_endpoint",
    "url": URL,
    "status": "enabled",
    "api_version": API_VERSION,
    "enabled_events": sorted(READERS),
}
store = pytest.fixture(lambda empty_store: empty_store)


def told(minutes_ago: float, number: int = 1, **fields: Any) -> dict[str, Any]:
    """A purchase that Stripe told of."""
    made = session_event(f"buyer{number}@example.com", session=f"cs_{number}", **fields)
    return made | {"created": int((NOW - timedelta(minutes=minutes_ago)).timestamp())}


def stripe_with(*events: dict[str, Any], **endpoint_fields: Any) -> FakeStripe:
    return FakeStripe(events=list(events), endpoints=[LISTENS | endpoint_fields])


def catch_up(store, stripe, **options):
    how = {"since": NOW - timedelta(hours=3), "livemode": False, "named": Named(), "webhook_url": URL} | options
    return catching_up.catch_up(store, stripe, now=NOW, **how)


def reach(store, one: dict[str, Any], at=None) -> None:
    """Its webhook arrived."""
    payments.handle_event(store, one, livemode=False, now=NOW)
    store.updates.heartbeats.note_webhook(at or NOW)


def alerts(caplog) -> list[str]:
    return [record.alert for record in caplog.records if hasattr(record, "alert")]


@pytest.mark.threat(114)
def test_what_never_reached_us_is_credited_within_the_hour_and_rings(store, caplog):
    stripe = stripe_with(told(10), told(170, 2))

    ended = catch_up(store, stripe)

    assert (ended.looked_at, ended.missed) == (2, 2)
    assert [(found.subject, found.detail) for found in ended.findings] == [
        ("pi_cs_1", "+1,000 credits"),
        ("pi_cs_2", "+1,000 credits"),
    ]
    assert [store.accounts.get(f"buyer{number}@example.com").credits_balance for number in (1, 2)] == [1000, 1000]
    assert "missed" in alerts(caplog)
    assert store.heartbeats.last_catch_up() == store.heartbeats.last_missed() == ended
    assert books.check(store) == []


def test_a_second_look_finds_nothing_and_keeps_what_the_first_had_found(store, caplog):
    stripe = stripe_with(told(10))
    first = catch_up(store, stripe)
    store.updates.heartbeats.note_webhook(NOW)
    caplog.clear()

    again = catch_up(store, stripe)

    assert (again.looked_at, again.missed, again.troubles) == (1, 0, ())
    assert alerts(caplog) == []
    assert store.heartbeats.last_catch_up() == again
    assert store.heartbeats.last_missed() == first
    assert store.accounts.get("buyer1@example.com").credits_balance == 1000


def test_two_looks_at_once_and_the_webhooks_beside_them_credit_once(store):
    stripe = stripe_with(*(told(10, number) for number in range(4)))

    def webhooks():
        for one in stripe.events:
            reach(store, one)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(catch_up, store, stripe), pool.submit(catch_up, store, stripe), pool.submit(webhooks)]:
            done.result()

    assert [account.credits_balance for account in store.accounts.every()] == [1000] * 4
    assert books.check(store) == []


def test_what_is_under_way_is_left_to_its_webhook(store, caplog):
    ended = catch_up(store, stripe_with(told(4)))

    assert (ended.looked_at, ended.missed, alerts(caplog)) == (0, 0, [])
    assert list(store.accounts.every()) == []


@pytest.mark.threat(114)
def test_checkouts_that_were_left_ring_nothing_however_many(store, caplog):
    """Today's fault: three of them rang, though nobody had paid."""
    for _ in range(5):
        store.updates.heartbeats.note_checkout(NOW)
    left = event("checkout.session.expired", {"id": "cs_9"}) | {"created": int(NOW.timestamp()) - 3600}

    ended = catch_up(store, stripe_with(left))

    assert (ended.missed, ended.troubles, alerts(caplog)) == (0, (), [])


def test_a_silence_rings_although_every_buyer_came_back_to_the_page_that_credits(store, caplog):
    """One payment is enough: three sessions were asked for before."""
    one = told(30)
    store.updates.heartbeats.note_webhook(NOW - timedelta(hours=5))
    payments.handle_event(store, one, livemode=False, now=NOW)

    ended = catch_up(store, stripe_with(one))

    assert ended.missed == 0
    assert ended.troubles == (
        "Stripe has told of one thing since 2026-11-22 11:30 UTC, and no webhook of it has reached us.",
    )
    assert alerts(caplog) == ["webhook"]


@pytest.mark.parametrize(
    ("told_ago", "last_ago", "heard"),
    [
        ((30, 40), 29.9, True),  # one delivery since
        ((30,), 31, True),  # noted once a minute: it may have been this one
        ((30,), 33, False),
        ((4,), 600, True),  # under way
        ((), None, True),
        ((30,), None, False),
    ],
)
def test_silence_is_what_stripe_told_and_nobody_brought(told_ago, last_ago, heard):
    def at(minutes):
        return NOW - timedelta(minutes=minutes)

    contact = StripeContact(None if last_ago is None else at(last_ago))

    assert (contact.unheard(map(at, told_ago), NOW) == []) is heard


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "https://old.example.com/api/stripe/webhook"}, "No endpoint of test mode"),
        ({"status": "disabled"}, "we_1 is disabled at Stripe"),
        ({"enabled_events": ["checkout.session.completed"]}, "is not told of charge.dispute.closed, "),
        ({"api_version": "2019-05-16"}, f"sends events of version 2019-05-16; this release reads {API_VERSION}"),
        ({"api_version": None}, "of the account's default version"),
    ],
)
def test_an_endpoint_that_cannot_work_is_named_kept_and_rings(store, caplog, fields, said):
    ended = catch_up(store, stripe_with(**fields))

    (trouble,) = ended.troubles
    assert said in trouble
    assert alerts(caplog) == ["webhook"]
    assert store.heartbeats.last_catch_up().troubles == (trouble,)


def test_an_endpoint_that_is_told_everything_is_right_and_a_second_one_is_not():
    everything = FakeStripe(endpoints=[LISTENS | {"enabled_events": ["*"]}])
    twice = FakeStripe(endpoints=[LISTENS, LISTENS | {"id": "we_2"}, LISTENS | {"id": "we_3", "status": "disabled"}])

    assert endpoint.troubles(everything, URL, livemode=False) == []
    (said,) = endpoint.troubles(twice, URL, livemode=False)
    assert "2 endpoints lead here (we_1, we_2)" in said
    assert endpoint.troubles(FakeStripe(), URL, livemode=True)[0].startswith("No endpoint of live mode")


def test_a_dry_run_says_what_is_missing_records_nothing_and_rings_nothing(store, caplog):
    ended = catch_up(store, stripe_with(told(10)), dry_run=True)

    assert [(found.subject, found.detail) for found in ended.findings] == [("pi_cs_1", "+1,000 credits")]
    assert (list(store.accounts.every()), store.heartbeats.last_catch_up(), alerts(caplog)) == ([], None, [])


def test_refunds_and_disputes_that_never_reached_us_are_taken_back(store):
    reach(store, told(100))
    before = int((NOW - timedelta(minutes=20)).timestamp())
    refund = {"id": "re_1", "object": "refund", "payment_intent": "pi_cs_1", "amount": 400, "currency": "usd"}
    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": "pi_cs_1", "amount": 100, "currency": "usd"}
    events = [
        event("refund.created", refund | {"status": "succeeded"}) | {"created": before},
        event("charge.dispute.created", dispute | {"status": "needs_response"}) | {"created": before},
    ]

    ended = catch_up(store, stripe_with(*events))

    assert sorted(found.detail for found in ended.findings) == ["-100 credits", "-400 credits"]
    assert store.accounts.get("buyer1@example.com").credits_balance == 500


def test_what_cannot_be_read_of_a_payment_of_ours_is_named_and_rings(store, caplog):
    reach(store, told(60))
    unread = event("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_cs_1", "amount": 5, "status": "new"})
    others = event("charge.dispute.created", {"id": "dp_2", "payment_intent": "pi_shop", "amount": 5, "status": "new"})
    at = {"created": int((NOW - timedelta(minutes=30)).timestamp())}

    ended = catch_up(store, stripe_with(unread | at, others | at))

    (sentence,) = ended.troubles
    assert "(charge.dispute.created) about pi_cs_1 says nothing that this release knows" in sentence
    assert alerts(caplog).count("webhook") == 1


def test_what_is_not_ours_is_kept_and_wakes_nobody_for_having_been_missed(store, caplog):
    book = told(10, metadata={})

    ended = catch_up(store, stripe_with(book))

    assert (ended.missed, list(store.accounts.every())) == (0, [])
    assert store.payments.find("pi_cs_1").source
    assert "missed" not in alerts(caplog)


def test_one_account_that_nothing_explains_keeps_no_other_waiting(store, monkeypatch):
    record = payments.record_fact

    def refuse(store, fact, **how):
        if fact.payment_id == "pi_cs_1":
            raise catching_up.BalanceUnexplained
        return record(store, fact, **how)

    monkeypatch.setattr(payments, "record_fact", refuse)

    ended = catch_up(store, stripe_with(told(10), told(11, 2)))

    assert "not recorded" in ended.findings[0].what
    assert store.accounts.get("buyer2@example.com").credits_balance == 1000


class Ends(FakeStripe):
    """Stripe goes away in the middle of its list."""

    def list_events(self, created_from, types) -> Iterator[dict[str, Any]]:
        yield from super().list_events(created_from, types)
        raise PaymentsUnavailable


def test_what_was_recorded_before_stripe_went_away_stands(store):
    with pytest.raises(PaymentsUnavailable):
        catch_up(store, Ends(events=[told(10)], endpoints=[LISTENS]))

    assert store.accounts.get("buyer1@example.com").credits_balance == 1000
    assert store.heartbeats.last_catch_up() is None


@pytest.fixture
def run(app, stripe, store):
    stripe.endpoints = [LISTENS | {"url": f"{app.extensions['impacteragi'].config.app_url}{endpoint.PATH}"}]
    return lambda *words: app.test_cli_runner().invoke(args=["books", "catch-up", *words])


def test_the_command_records_and_says_so(run, stripe, store):
    stripe.events = [session_event("ada@example.com", session="cs_1") | {"created": minutes_ago(10)}]
    store.updates.heartbeats.note_webhook(utcnow())

    dry, first, again = run("--dry-run"), run(), run("--window", "2h")

    assert (dry.exit_code, first.exit_code, again.exit_code) == (1, 0, 0), first.output
    assert "1 thing told by Stripe" in first.output
    assert "; 1 had not reached us and are recorded now" in first.output
    assert "; 0 had not reached us" in again.output
    assert store.accounts.get("ada@example.com").credits_balance == 1000


def minutes_ago(minutes: float) -> int:
    return int((utcnow() - timedelta(minutes=minutes)).timestamp())


def test_the_command_ends_with_1_where_webhooks_cannot_come(app, stripe, monkeypatch):
    monkeypatch.setattr(endpoint, "url_of", lambda config: URL)

    result = app.test_cli_runner().invoke(args=["books", "catch-up"])

    assert (result.exit_code, URL in result.output) == (1, True)


@pytest.mark.parametrize("window", ["0h", "3", "-1h", "3 weeks", "٣h"])
def test_a_window_that_is_none_is_refused(run, window):
    assert run(f"--window={window}").exit_code == 2


def test_a_window_longer_than_stripe_remembers_is_refused(run):
    assert "30 days" in run("--window", "31d").output


def test_a_key_that_may_not_ask_is_named(app, stripe, monkeypatch):
    def refuse(*_):
        raise KeyLacksRight

    monkeypatch.setattr(stripe, "list_events", refuse)

    result = app.test_cli_runner().invoke(args=["books", "catch-up"])

    assert (result.exit_code, "STRIPE_SECRET_KEY may not ask" in result.output) == (1, True)


@pytest.mark.parametrize(("opened_days_ago", "rings"), [(2, True), (0.5, False)])
def test_the_nightly_look_rings_for_what_must_have_been_told(store, caplog, opened_days_ago, rings):
    """A session may be paid a day after it was opened; what was paid this very minute has its webhook under way."""
    opened = int((NOW - timedelta(days=opened_days_ago)).timestamp())
    how = {"named": Named(), "livemode": False, "clock": lambda: NOW}

    with caplog.at_level(logging.ERROR):
        checks.reconcile(store, Listed(sessions=[session(1, created=opened)]), **how)
        assert (alerts(caplog) == ["missed"]) is rings
        caplog.clear()
        checks.reconcile(store, Listed(sessions=[session(1, created=opened)]), **how)

    assert alerts(caplog) == []
    assert store.heartbeats.last_reconciliation().since == NOW - timedelta(days=30)


def test_an_account_of_before_is_credited_and_its_owner_told(store):
    make_account(store, "buyer1@example.com", credits=5)

    catch_up(store, stripe_with(told(10)))

    assert store.accounts.get("buyer1@example.com").credits_balance == 1005


@pytest.fixture(scope="module")
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn(webhook_url="http://127.0.0.1:9/api/stripe/webhook") as process:
        process.control("webhooks", {"mode": "withhold"})
        yield process


def test_by_stripes_own_library_what_was_paid_is_credited_and_the_endpoint_is_judged(store, standin):
    now = utcnow()
    gateway = StripeGateway(standin.secret_key, standin.api_base)
    standin.control(
        "payment_link", {"amount": 2500, "sells": "credits", "email": "late@example.com", "created": minutes_ago(10)}
    )
    standin.control("settings", {"endpoint": {"status": "disabled"}})
    named = Named(payment_links=frozenset({"plink_credits"}))
    how = {"since": now - timedelta(hours=3), "now": now, "livemode": False, "named": named}

    ended = catching_up.catch_up(store, gateway, webhook_url=standin.webhook_url, **how)

    assert [found.detail for found in ended.findings] == ["+2,500 credits"]
    assert store.accounts.get("late@example.com").credits_balance == 2500
    assert ["we_standin is disabled" in trouble for trouble in ended.troubles] == [False, True]
