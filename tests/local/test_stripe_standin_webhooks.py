"""Delivery of webhooks: signatures, retries, withholding, and what survives the end of the process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import stripe

from scripts.local.stripe_standin.process import StripeStandIn
from tests.local.stripe_receiver import Receiver, eventually
from tests.local.test_stripe_standin_api import SALE, client_of


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def process(receiver: Receiver) -> Iterator[StripeStandIn]:
    with StripeStandIn(webhook_url=receiver.url, settle_seconds=0.1, retry_seconds=0.1) as running:
        yield running


@pytest.fixture
def standin(process: StripeStandIn, receiver: Receiver) -> StripeStandIn:
    process.wait_until_idle()
    process.control("reset", {})
    receiver.forget()
    receiver.statuses.clear()
    return process


def buy(standin: StripeStandIn, email: str = "ada@example.com") -> str:
    session = client_of(standin).v1.checkout.sessions.create({**SALE, "customer_email": email})
    return str(standin.pay(session.id)["session"]["payment_intent"])


def test_the_signature_is_one_that_the_library_accepts(standin: StripeStandIn, receiver: Receiver) -> None:
    buy(standin, "käthe@example.com")
    standin.wait_until_idle()
    assert set(receiver.types) == {
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    }
    for body, signature in zip(receiver.bodies, receiver.signatures, strict=True):
        assert stripe.WebhookSignature.verify_header(body, signature, standin.webhook_secret, tolerance=300)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(body + b" ", signature, standin.webhook_secret, tolerance=300)
    event = receiver.events[0]
    assert event["object"] == "event"
    assert event["id"].startswith("evt_")
    assert (event["livemode"], event["pending_webhooks"], event["api_version"]) == (False, 1, "2026-10-28.endive")


def test_an_endpoint_that_fails_is_tried_again(standin: StripeStandIn, receiver: Receiver) -> None:
    receiver.statuses.extend([500, 302])
    standin.control("payment_link", {"amount": 1000, "email": "a@example.com"})
    standin.wait_until_idle()
    tried = [delivery["attempts"] for delivery in standin.control("deliveries")["deliveries"]]
    statuses = [[attempt["status"] for attempt in attempts] for attempts in tried]
    assert sum(len(found) for found in statuses) == 4 + 2
    assert all(found[-1] == 200 for found in statuses)


def test_withheld_webhooks_wait_for_release(standin: StripeStandIn, receiver: Receiver) -> None:
    standin.control("webhooks", {"mode": "withhold"})
    buy(standin)
    standin.wait_until_idle()
    assert receiver.bodies == []
    assert standin.control("webhooks")["deliveries"] == {"withheld": 4}
    standin.control("webhooks", {"mode": "deliver"})
    assert standin.control("release", {"order": "reversed"})["released"] == 4
    standin.wait_until_idle()
    assert receiver.types[0] == "checkout.session.completed"
    assert receiver.types[-1] == "payment_intent.created"


def test_withheld_webhooks_can_be_lost(standin: StripeStandIn, receiver: Receiver) -> None:
    standin.control("webhooks", {"mode": "withhold"})
    buy(standin)
    assert standin.control("release", {"discard": True})["discarded"] == 4
    standin.control("webhooks", {"mode": "deliver"})
    assert standin.control("release", {})["released"] == 0
    standin.wait_until_idle()
    assert receiver.bodies == []


def test_webhooks_can_be_late(standin: StripeStandIn, receiver: Receiver) -> None:
    standin.control("webhooks", {"mode": "delay", "seconds": 0.4})
    buy(standin)
    assert receiver.bodies == []
    standin.wait_until_idle()
    assert len(receiver.bodies) == 4


def test_an_event_can_come_again_and_under_a_new_id(standin: StripeStandIn, receiver: Receiver) -> None:
    buy(standin)
    standin.wait_until_idle()
    event = standin.events("checkout.session.completed")[0]
    receiver.forget()
    standin.control("deliver", {"event": event["id"], "times": 2})
    [twin] = standin.control("deliver", {"event": event["id"], "as_new": True})["events"]
    standin.wait_until_idle()
    ids = [received["id"] for received in receiver.events]
    assert sorted(ids) == sorted([event["id"], event["id"], twin])
    assert twin != event["id"]
    assert {received["created"] for received in receiver.events} == {event["created"]}
    assert all(received["data"] == event["data"] for received in receiver.events)
    page = httpx.post(f"{standin.url}/events/{event['id']}/deliver", data={"how": "again"}, follow_redirects=True)
    assert "Sent again." in page.text


def test_all_of_it_survives_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    receiver.forget()
    standin = StripeStandIn(webhook_url=receiver.url, state_dir=tmp_path, settle_seconds=0.5)
    try:
        intent = buy(standin)
        standin.wait_until_idle()
        client = client_of(standin)
        session = client.v1.checkout.sessions.create(SALE, {"idempotency_key": "once"})
        waiting = client.v1.checkout.sessions.create({**SALE, "customer_email": "bank@example.com"})
        standin.pay(waiting.id, method="bank")
        standin.control("webhooks", {"mode": "withhold"})
        refund = client.v1.refunds.create({"payment_intent": intent, "amount": 100})
        standin.kill()
        receiver.forget()
        standin.start()
        assert client.v1.refunds.list({"payment_intent": intent}).data[0].id == refund.id
        assert client.v1.checkout.sessions.create(SALE, {"idempotency_key": "once"}).id == session.id
        assert standin.control("webhooks")["mode"] == "withhold"
        standin.control("webhooks", {"mode": "deliver"})
        # The bank's answer was planned before the kill, and the withheld events were kept.
        eventually(lambda: client.v1.checkout.sessions.retrieve(waiting.id).payment_status == "paid")
        assert standin.control("release", {})["released"] >= 2
        eventually(lambda: {"refund.created", "checkout.session.async_payment_succeeded"} <= set(receiver.types))
    finally:
        standin.close()


def test_nothing_happens_while_nothing_is_due(standin: StripeStandIn) -> None:
    """Its own writes used to wake its sender: a core was busy for ever after the first event."""
    buy(standin)
    standin.wait_until_idle()
    before = standin.control("idle")["rounds"]

    time.sleep(2)

    assert standin.control("idle")["rounds"] - before <= 2
