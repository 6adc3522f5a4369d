"""The hosted page and the control panel, as a payer and an operator use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from scripts.local.control_call import ControlError
from scripts.local.stripe_standin.process import StripeStandIn
from tests.local.stripe_receiver import Receiver, eventually
from tests.local.test_stripe_standin_api import SALE, client_of

CARD = {"method": "card", "card_number": "4242 4242 4242 4242", "expiry": "12 / 34", "cvc": "123", "name": "Ada"}
BANNER = "a stand-in for local use; no money moves"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def process(receiver: Receiver) -> Iterator[StripeStandIn]:
    with StripeStandIn(webhook_url=receiver.url, settle_seconds=0.3) as running:
        yield running


@pytest.fixture
def standin(process: StripeStandIn, receiver: Receiver) -> StripeStandIn:
    process.control("reset", {})
    receiver.forget()
    receiver.wait_seconds = 0
    return process


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


def new_session(client: stripe.StripeClient, **more: Any) -> tuple[str, str]:
    session = client.v1.checkout.sessions.create({"customer_email": "ada@example.com", **SALE, **more})
    assert session.url
    return session.id, session.url


def test_a_card_pays_and_leads_back_to_the_shop(client: stripe.StripeClient, receiver: Receiver) -> None:
    session_id, url = new_session(client)
    page = httpx.get(url)
    assert BANNER in page.text
    assert "ada@example.com" in page.text
    assert "$10.00" in page.text
    paid = httpx.post(url, data=CARD)
    assert paid.status_code == 303
    assert paid.headers["Location"] == f"http://127.0.0.1:9/return?session_id={session_id}"
    # The redirect waited for the webhook.
    assert "checkout.session.completed" in receiver.types
    again = httpx.post(url, data=CARD, follow_redirects=True)
    assert "Thanks for your payment" in again.text


def test_the_redirect_waits_for_a_slow_webhook(client: stripe.StripeClient, receiver: Receiver) -> None:
    _, url = new_session(client)
    receiver.wait_seconds = 0.4
    assert httpx.post(url, data=CARD).elapsed.total_seconds() >= 0.4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"card_number": "4000 0000 0000 0002"}, "Your card was declined."),
        ({"card_number": "4000000000009995"}, "Your card has insufficient funds."),
        ({"card_number": "4242 4242 4242 4241"}, "Your card number is invalid."),
        ({"card_number": ""}, "Your card number is incomplete."),
        ({"expiry": "12 / 19"}, "Your card&#39;s expiration date is in the past."),
        ({"cvc": "1"}, "Your card&#39;s security code is incomplete."),
        ({"method": "bank", "account": "12"}, "4 to 17 digits"),
    ],
)
def test_a_refused_payment_keeps_the_form(
    client: stripe.StripeClient, standin: StripeStandIn, change: dict[str, str], words: str
) -> None:
    session_id, url = new_session(client)
    refused = httpx.post(url, data={**CARD, **change, "name": "Ada Lovelace"})
    assert 'role="alert"' in refused.text
    assert words in refused.text
    assert "Ada Lovelace" in refused.text
    assert client.v1.checkout.sessions.retrieve(session_id).status == "open"
    assert not standin.events("checkout.session.completed")
    assert httpx.post(url, data=CARD).status_code == 303


def test_a_decline_is_told_as_failed_payment(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    session_id, _ = new_session(client)
    assert standin.pay(session_id, card="4000000000000002")["code"] == "generic_decline"
    kinds = [event["type"] for event in standin.events()]
    assert kinds == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]


def test_a_number_that_is_no_test_card_is_not_shown_again(client: stripe.StripeClient) -> None:
    _, url = new_session(client)
    refused = httpx.post(url, data={**CARD, "card_number": "4111 1111 1111 1111"})
    assert "used a non test card" in refused.text
    assert "4111" not in refused.text


@pytest.mark.parametrize(
    ("account", "told", "status"),
    [
        ("000123456789", "checkout.session.async_payment_succeeded", "paid"),
        ("000222222227", "checkout.session.async_payment_failed", "unpaid"),
    ],
)
def test_a_bank_debit_settles_or_fails_later(
    client: stripe.StripeClient, receiver: Receiver, standin: StripeStandIn, account: str, told: str, status: str
) -> None:
    session_id, url = new_session(client)
    sent = httpx.post(url, data={"method": "bank", "account": account, "name": "Ada"})
    assert sent.status_code == 303
    completed = next(event for event in receiver.events if event["type"] == "checkout.session.completed")
    assert completed["data"]["object"]["payment_status"] == "unpaid"
    assert completed["data"]["object"]["status"] == "complete"
    eventually(lambda: told in receiver.types)
    session = client.v1.checkout.sessions.retrieve(session_id)
    assert (session.payment_status, session.status) == (status, "complete")


def test_a_page_without_an_address_asks_for_one(client: stripe.StripeClient) -> None:
    session_id, url = new_session(client, customer_email=None)
    assert "Enter an e-mail address" in httpx.post(url, data=CARD).text
    assert httpx.post(url, data={**CARD, "email": "Grace@Example.com"}).status_code == 303
    details = client.v1.checkout.sessions.retrieve(session_id).customer_details
    assert details is not None
    assert details.email == "Grace@Example.com"


def test_a_promotion_code_may_leave_nothing_to_pay(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    session_id, url = new_session(client, allow_promotion_codes=True)
    assert "This code is invalid." in httpx.post(url, data={"promotion": "NOPE", "action": "apply"}).text
    assert "Pay $5.00" in httpx.post(url, data={"promotion": "half", "action": "apply"}).text
    assert httpx.post(url, data={"promotion": "FREE", "action": "pay"}).status_code == 303
    session = client.v1.checkout.sessions.retrieve(session_id)
    assert (session.payment_status, session.amount_subtotal, session.amount_total) == ("no_payment_required", 1000, 0)
    assert session.payment_intent is None


def test_the_back_link_cancels(client: stripe.StripeClient) -> None:
    _, url = new_session(client)
    assert 'href="http://127.0.0.1:9/credits"' in httpx.get(url).text


def test_a_payment_no_app_made(standin: StripeStandIn, receiver: Receiver) -> None:
    form = {"email": "link@example.com", "amount": "2500", "currency": "usd", "how": "pay"}
    shown = httpx.post(f"{standin.url}/payment-link", data=form, follow_redirects=True)
    assert "Paid: pi_" in shown.text
    eventually(lambda: "checkout.session.completed" in receiver.types)
    session = next(e for e in receiver.events if e["type"] == "checkout.session.completed")["data"]["object"]
    assert (session["metadata"], session["amount_total"], session["success_url"]) == ({}, 2500, None)
    assert session["payment_link"].startswith("plink_")
    assert session["customer_details"]["email"] == "link@example.com"


def test_a_payment_of_any_shape(standin: StripeStandIn) -> None:
    odd = standin.control(
        "payment_link", {"amount": 1000, "currency": "idr", "tax": 19, "override": {"mode": "subscription"}}
    )["session"]
    assert (odd["currency"], odd["mode"], odd["amount_subtotal"], odd["amount_total"]) == (
        "idr",
        "subscription",
        1000,
        1019,
    )
    assert odd["customer_details"]["email"] is None
    with pytest.raises(ControlError):
        standin.control("payment_link", {"amount": "1000"})


def test_the_panel_refunds_and_disputes(client: stripe.StripeClient, standin: StripeStandIn) -> None:
    session_id, _ = new_session(client)
    intent = standin.pay(session_id)["session"]["payment_intent"]
    with httpx.Client(base_url=standin.url, follow_redirects=True) as browser:
        assert "Refund all $10.00" in browser.get("/").text
        assert "Refunded." in browser.post(f"/payments/{intent}/refund", data={"amount": "2.50"}).text
        assert "Give the amount" in browser.post(f"/payments/{intent}/refund", data={"amount": "x"}).text
        assert "Win the dispute" in browser.post(f"/payments/{intent}/dispute", data={"status": "needs_response"}).text
        assert "cannot go from" in browser.post(f"/payments/{intent}/dispute", data={"status": "prevented"}).text
        won = browser.post(f"/payments/{intent}/dispute", data={"status": "won"}).text
        assert "Refund all $7.50" in won
    assert [refund.amount for refund in client.v1.refunds.list().data] == [250]


def test_another_site_cannot_press_the_buttons(standin: StripeStandIn) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.test"}):
        assert httpx.post(f"{standin.url}/webhooks", data={"how": "withhold"}, headers=headers).status_code == 403
        assert httpx.post(f"{standin.url}/_control/reset", json={}, headers=headers).status_code == 403
    assert httpx.post(f"{standin.url}/_control/webhooks", content='{"mode": "withhold"}').status_code == 415
    assert httpx.get(standin.url, headers={"Host": "evil.test"}).status_code == 403
    assert standin.control("webhooks")["mode"] == "deliver"
    own = {"Origin": standin.url, "Sec-Fetch-Site": "same-origin"}
    assert httpx.post(f"{standin.url}/webhooks", data={"how": "deliver"}, headers=own).status_code == 303
