"""The stand-in's API, through the real library of Stripe."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from scripts.local.control_call import ControlError
from scripts.local.stripe_standin.params import parse
from scripts.local.stripe_standin.process import StripeStandIn

LINE = {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "Credits"}}}
SALE: dict[str, Any] = {
    "mode": "payment",
    "line_items": [LINE],
    "success_url": "http://127.0.0.1:9/return?session_id={CHECKOUT_SESSION_ID}",
    "cancel_url": "http://127.0.0.1:9/credits",
}


@pytest.fixture(scope="module")
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn(settle_seconds=0.1) as process:
        yield process


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    standin.control("reset", {})
    return client_of(standin)


def client_of(standin: StripeStandIn, key: str | None = None, **options: Any) -> stripe.StripeClient:
    return stripe.StripeClient(key or standin.secret_key, base_addresses={"api": standin.api_base}, **options)


def paid_intent(client: stripe.StripeClient, standin: StripeStandIn, **how: Any) -> str:
    session = client.v1.checkout.sessions.create({**SALE, "customer_email": "ada@example.com"})
    return str(standin.pay(session.id, **how)["session"]["payment_intent"])


def test_a_new_session_is_open_and_unpaid(client: stripe.StripeClient) -> None:
    metadata = {"account_id": "acc_1", "credits": "1000"}
    session = client.v1.checkout.sessions.create(
        {**SALE, "customer_email": "ada@example.com", "metadata": metadata, "client_reference_id": "acc_1"}
    )
    assert session.id.startswith("cs_test_")
    assert session.url
    assert session.url.endswith(f"/c/pay/{session.id}")
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert (session.amount_subtotal, session.amount_total, session.currency) == (1000, 1000, "usd")
    assert session.livemode is False
    assert session.metadata is not None
    assert session.metadata.to_dict() == metadata


def test_a_paid_session_shows_intent_charge_customer_and_invoice(
    client: stripe.StripeClient, standin: StripeStandIn
) -> None:
    made = client.v1.checkout.sessions.create(
        {
            **SALE,
            "customer_email": "ada@example.com",
            "customer_creation": "always",
            "payment_intent_data": {"metadata": {"account_id": "acc_1"}},
            "invoice_creation": {"enabled": True},
        }
    )
    assert standin.pay(made.id)["outcome"] == "paid"
    session = client.v1.checkout.sessions.retrieve(
        made.id, {"expand": ["payment_intent.latest_charge", "customer", "invoice", "line_items"]}
    ).to_dict()
    charge = session["payment_intent"]["latest_charge"]
    assert (session["status"], session["payment_status"], session["url"]) == ("complete", "paid", None)
    assert session["customer"]["email"] == session["customer_details"]["email"] == "ada@example.com"
    assert session["invoice"]["total"] == 1000
    assert session["line_items"]["data"][0]["amount_total"] == 1000
    assert (charge["amount"], charge["paid"], charge["metadata"]) == (1000, True, {"account_id": "acc_1"})
    receipt = httpx.get(charge["receipt_url"])
    assert receipt.status_code == 200
    assert "$10.00" in receipt.text


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"success_url": None}, "success_url", "parameter_missing"),
        ({"line_items": None}, "line_items", "parameter_missing"),
        ({"mode": "subscription"}, "mode", None),
        ({"customer": "cus_nobody"}, "customer", "resource_missing"),
        ({"customer_email": "not an address"}, "customer_email", "email_invalid"),
        ({"customer_mail": "ada@example.com"}, "customer_mail", "parameter_unknown"),
        ({"metadata": {"k" * 41: "v"}}, "metadata", None),
        ({"expires_at": 1}, "expires_at", None),
    ],
)
def test_a_session_that_stripe_would_refuse(
    client: stripe.StripeClient, change: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.checkout.sessions.create({**SALE, **change})  # type: ignore[typeddict-item]
    assert (refusal.value.param, refusal.value.code, refusal.value.http_status) == (param, code, 400)


def test_only_the_configured_test_key_is_accepted(standin: StripeStandIn) -> None:
    for key in ("sk_test_of_somebody_else", "sk_live_of_somebody"):
        with pytest.raises(stripe.AuthenticationError) as refusal:
            client_of(standin, key).v1.charges.list()
        assert key not in str(refusal.value)
    assert httpx.get(f"{standin.url}/v1/charges").status_code == 401
    assert httpx.get(f"{standin.url}/v1/charges", auth=(standin.secret_key, "")).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ["--secret-key", "sk_live_real"],
        ["--webhook-url", "https://dashboard.impacteragi.com/api/stripe/webhook"],
        ["--webhook-url", "http://10.0.0.1/hook"],
        ["--webhook-url", "http://127.0.0.1.example.com/hook"],
        ["--webhook-secret", "secret"],
    ],
)
def test_it_refuses_to_start_on_a_live_key_or_an_address_elsewhere(tmp_path: Path, arguments: list[str]) -> None:
    base = ["--state", str(tmp_path), "--port", "0", "--secret-key", "sk_test_12345", "--webhook-secret", "whsec_1"]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.local.stripe_standin", *base, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 2
    assert "stripe stand-in:" in done.stderr


def test_an_idempotency_key_makes_one_object(client: stripe.StripeClient) -> None:
    made = [client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "k1"}).id for _ in range(3)]
    assert len(set(made)) == 1
    with pytest.raises(stripe.IdempotencyError) as refusal:
        client.v1.customers.create({"email": "b@example.com"}, {"idempotency_key": "k1"})
    assert refusal.value.http_status == 400
    # Without one of ours, the library makes a new key for each call.
    assert client.v1.customers.create({"email": "a@example.com"}).id not in made


def test_one_key_used_at_once_by_many_makes_one_object(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    intent = paid_intent(client, standin)
    made: list[str] = []

    def refund() -> None:
        made.append(client.v1.refunds.create({"payment_intent": intent, "amount": 100}, {"idempotency_key": "r"}).id)

    threads = [threading.Thread(target=refund) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_lists_are_newest_first_filtered_and_paged_by_the_library(
    client: stripe.StripeClient, standin: StripeStandIn
) -> None:
    made = [client.v1.checkout.sessions.create(SALE).id for _ in range(5)]
    standin.pay(made[2], email="ada@example.com")
    sessions = client.v1.checkout.sessions
    page = sessions.list({"limit": 2})
    assert [item.id for item in page.data] == [made[4], made[3]]
    assert page.has_more
    assert [item.id for item in page.auto_paging_iter()] == made[::-1]
    back = sessions.list({"limit": 2, "ending_before": made[0]})
    assert [item.id for item in back.auto_paging_iter()] == made[1:]
    assert [item.id for item in sessions.list({"status": "complete"}).data] == [made[2]]
    assert [item.id for item in sessions.list({"created": {"gte": 4_000_000_000}}).data] == []
    with pytest.raises(stripe.InvalidRequestError):
        sessions.list({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError) as missing:
        sessions.retrieve("cs_test_unknown")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_an_expired_session_cannot_be_paid(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    session = client.v1.checkout.sessions.create(SALE)
    assert session.url
    assert client.v1.checkout.sessions.expire(session.id).status == "expired"
    assert [event["data"]["object"]["id"] for event in standin.events("checkout.session.expired")] == [session.id]
    assert httpx.get(session.url).status_code == 410
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.expire(session.id)


def test_refunds_add_up_and_stop_at_the_charge(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    intent = paid_intent(client, standin)
    first = client.v1.refunds.create({"payment_intent": intent, "amount": 300, "reason": "requested_by_customer"})
    assert (first.status, first.amount, first.payment_intent) == ("succeeded", 300, intent)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.v1.refunds.create({"payment_intent": intent, "amount": 701})
    rest = client.v1.refunds.create({"charge": str(first.charge)})
    assert rest.amount == 700
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.refunds.create({"payment_intent": intent})
    assert refusal.value.code == "charge_already_refunded"
    charge = client.v1.charges.retrieve(str(first.charge))
    assert (charge.amount_refunded, charge.refunded) == (1000, True)
    assert [r.id for r in client.v1.refunds.list({"payment_intent": intent}).data] == [rest.id, first.id]
    assert [event["type"] for event in standin.events("charge.refunded", "refund.created")] == [
        "charge.refunded",
        "refund.created",
    ] * 2
    refunded = [event["data"]["object"]["amount_refunded"] for event in standin.events("charge.refunded")]
    assert refunded == [300, 1000]


def test_a_refund_that_fails_later_gives_the_money_back_to_the_merchant(
    client: stripe.StripeClient, standin: StripeStandIn
) -> None:
    intent = paid_intent(client, standin)
    refund = standin.control("refunds", {"payment_intent": intent, "fail_after": 0.1})
    assert refund["status"] == "succeeded"
    standin.wait_until_idle()
    failed = client.v1.refunds.retrieve(refund["id"])
    assert (failed.status, failed.failure_reason) == ("failed", "lost_or_stolen_card")
    charge = client.v1.charges.retrieve(refund["charge"])
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    kinds = [event["type"] for event in standin.events()][-4:]
    assert kinds == ["charge.updated", "refund.updated", "charge.refund.updated", "refund.failed"]
    assert client.v1.refunds.create({"payment_intent": intent}).amount == 1000


@pytest.mark.parametrize(
    ("steps", "events"),
    [
        (["needs_response", "won"], "created funds_withdrawn funds_reinstated closed"),
        (["needs_response", "under_review", "lost"], "created funds_withdrawn updated closed"),
        (["warning_needs_response", "warning_closed"], "created closed"),
        (["warning_needs_response", "needs_response", "lost"], "created updated funds_withdrawn closed"),
        (["prevented"], "created"),
    ],
)
def test_the_stages_of_a_dispute(
    client: stripe.StripeClient, standin: StripeStandIn, steps: list[str], events: str
) -> None:
    intent = paid_intent(client, standin)
    for status in steps:
        dispute = standin.control("disputes", {"payment_intent": intent, "status": status})
    assert dispute["id"].startswith("du_")
    listed = client.v1.disputes.list({"payment_intent": intent}).data
    assert [(item.id, item.status, item.amount) for item in listed] == [(dispute["id"], steps[-1], 1000)]
    told = [event for event in standin.events() if event["type"].startswith("charge.dispute.")]
    assert [event["type"].removeprefix("charge.dispute.") for event in told] == events.split()
    assert client.v1.charges.retrieve(dispute["charge"]).disputed


def test_a_dispute_can_be_lowered_and_be_in_another_currency(
    client: stripe.StripeClient, standin: StripeStandIn
) -> None:
    intent = paid_intent(client, standin)
    opened = standin.control(
        "disputes", {"payment_intent": intent, "status": "needs_response", "amount": 8600, "currency": "eur"}
    )
    assert (opened["amount"], opened["currency"]) == (8600, "eur")
    standin.control("disputes", {"payment_intent": intent, "status": "needs_response", "amount": 430})
    lowered = standin.control("disputes", {"payment_intent": intent, "status": "under_review", "amount": 400})
    assert (lowered["id"], lowered["status"], lowered["amount"]) == (opened["id"], "under_review", 400)
    told = standin.events("charge.dispute.updated")
    assert [event["data"]["object"]["amount"] for event in told] == [430, 400]
    assert told[0]["data"]["previous_attributes"] == {"amount": 8600}
    for wrong in ({"amount": 0}, {"amount": -5}, {}):
        with pytest.raises(ControlError):
            standin.control("disputes", {"payment_intent": intent, "status": "under_review"} | wrong)


def test_a_disputed_charge_cannot_be_refunded(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    intent = paid_intent(client, standin)
    standin.control("disputes", {"payment_intent": intent, "status": "needs_response"})
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.refunds.create({"payment_intent": intent})
    assert refusal.value.code == "charge_disputed"


def test_events_are_listed_by_type_and_carry_a_snapshot(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    intent = paid_intent(client, standin)
    client.v1.refunds.create({"payment_intent": intent})
    found = client.v1.events.list({"types": ["payment_intent.succeeded", "charge.succeeded"]}).data
    assert [event.type for event in found] == ["payment_intent.succeeded", "charge.succeeded"]
    event = client.v1.events.retrieve(found[1].id)
    # The charge as it was then, before its refund.
    assert event.data.object["amount_refunded"] == 0
    assert event.api_version == "2026-10-28.endive"
    refunded = client.v1.events.list({"type": "charge.refunded"}).data[0].to_dict()
    assert refunded["data"]["previous_attributes"] == {"amount_refunded": 0, "refunded": False}


def test_faults_can_be_asked_for(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    standin.control("faults", {"status": 500, "count": 1})
    with pytest.raises(stripe.APIError):
        client.v1.charges.list()
    assert client.v1.charges.list().data == []
    standin.control("faults", {"status": 429, "count": 1})
    with pytest.raises(stripe.RateLimitError):
        client.v1.charges.list()


def test_what_is_not_offered_says_so(standin: StripeStandIn) -> None:
    answer = httpx.get(f"{standin.url}/v1/subscriptions", headers={"Authorization": f"Bearer {standin.secret_key}"})
    assert answer.status_code == 404
    assert "Unrecognized request URL" in answer.json()["error"]["message"]
    assert answer.headers["Request-Id"].startswith("req_")


def test_bracket_notation() -> None:
    assert parse([("a[b][0][c]", "1"), ("a[b][1][c]", "2"), ("d[]", "3"), ("d[]", "4"), ("e", "5")]) == {
        "a": {"b": [{"c": "1"}, {"c": "2"}]},
        "d": ["3", "4"],
        "e": "5",
    }
