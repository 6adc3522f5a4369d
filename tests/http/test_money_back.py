"""Refunds and disputes as signed webhooks at two workers at once: the ledger ends the same whatever comes first."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.services import books
from tests.support import event, ledger, session_event, signed

SECOND = 1_800_000_000
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 1000,
    "currency": "usd",
    "presentment_details": {"presentment_amount": 860, "presentment_currency": "eur"},
}


def told(kind: str, at: int, **thing) -> dict:
    return event(kind, {"payment_intent": "pi_cs_9"} | thing) | {"created": SECOND + at}


def refund(kind: str, at: int, name: str, status: str = "succeeded", *, made: int) -> dict:
    thing = {"id": name, "object": "refund", "amount": 300, "currency": "usd", "created": SECOND + made}
    return told(f"refund.{kind}", at, **thing, status=status)


def charge(at: int, refunded: int) -> dict:
    return told("charge.refunded", at, **CHARGE, amount_refunded=refunded)


def dispute(kind: str, at: int, amount: int, status: str = "needs_response", currency: str = "eur") -> dict:
    thing = {"id": "du_1", "object": "dispute", "amount": amount, "currency": currency, "status": status}
    return told(f"charge.dispute.{kind}", at, **thing)


REFUNDS = [
    refund("created", 1, "re_1", made=1),
    charge(1, 300),
    refund("created", 2, "re_2", made=2),
    charge(2, 600),
    refund("failed", 3, "re_2", "failed", made=2),
]
STORIES = {
    "a third refund that the charge alone tells of": ([*REFUNDS, charge(4, 600)], 400),
    "a third refund that is told singly": ([*REFUNDS, refund("created", 4, "re_3", made=4)], 400),
    "a dispute in a currency that nobody knows": ([dispute("created", 1, 430)], 0),
    "a dispute in the payer's currency": ([dispute("created", 1, 430), charge(1, 0)], 500),
    "a dispute that was lowered": (
        [dispute("created", 1, 1000, currency="usd"), dispute("updated", 2, 600, currency="usd")],
        400,
    ),
    "a lowered dispute that was lost": (
        [dispute("created", 1, 860), dispute("updated", 2, 215), dispute("closed", 3, 215, "lost"), charge(3, 0)],
        750,
    ),
    "a dispute that was won": ([dispute("created", 1, 860), dispute("closed", 2, 860, "won")], 1000),
}


@pytest.mark.threat(32)
@pytest.mark.parametrize("story", STORIES)
def test_the_ledger_ends_the_same_when_webhooks_race_in_any_order_and_again(server, store, story):
    events, credits = STORIES[story]
    deliveries = [session_event(session="cs_9"), *events] * 2
    random.Random(story).shuffle(deliveries)

    def deliver(what: dict) -> int:
        payload = json.dumps(what).encode()
        headers = {"Stripe-Signature": signed(payload), "Content-Type": "application/json"}
        address = f"{server.url}/api/stripe/webhook"
        while True:
            answer = httpx.post(address, content=payload, headers=headers, timeout=30, trust_env=False)
            if answer.status_code != 503:
                return answer.status_code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(deliver, deliveries))

    assert set(answers) == {200}
    assert store.accounts.get("ada@example.com").credits_balance == credits
    assert sum(entry.amount for entry in ledger(store, "ada@example.com")) == credits
    assert books.check(store) == []
