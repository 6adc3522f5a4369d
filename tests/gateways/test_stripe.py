"""The Stripe gateway against the stand-in, and the proof of a webhook's origin."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe

from app.domain.errors import InvalidPayload, InvalidSignature, PaymentsUnavailable
from app.domain.payments import READERS
from app.gateways.stripe import KeyLacksRight, PaymentNotFound, PaymentRefused, StripeGateway, verify_webhook
from scripts.local.stripe_standin.process import StripeStandIn
from tests.gateways.portal import ANSWERS, portal

SECRET = "whsec_current"
OLD_SECRET = "whsec_previous"
NOW = 1_800_000_000
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "data": {"object": {"id": "cs_test_1", "amount_total": 1000}},
}


@pytest.fixture(scope="module")
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as process:
        yield process


@pytest.fixture
def gateway(standin: StripeStandIn) -> StripeGateway:
    standin.control("reset", {})
    return StripeGateway(standin.secret_key, standin.api_base)


def checkout(gateway: StripeGateway, **changes: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "account_id": "acc_1",
        "email": "ada@example.com",
        "customer_id": None,
        "pack_id": "base",
        "credits": 1000,
        "price_cents": 1000,
        "idempotency_key": "order-1",
        "success_url": "http://127.0.0.1:8000/credits/return?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:8000/credits",
        "product_name": "1,000 credits",
    }
    return gateway.create_checkout(**{**wanted, **changes})


def test_a_checkout_carries_what_was_sold_on_session_intent_and_charge(
    gateway: StripeGateway, standin: StripeStandIn
) -> None:
    opened = checkout(gateway)
    assert opened.keys() == {"id", "url"}
    before = gateway.get_session(opened["id"])
    assert (before["status"], before["payment_status"], before["payment_intent"]) == ("open", "unpaid", None)
    standin.pay(opened["id"])
    session = gateway.get_session(opened["id"])
    assert isinstance(session, dict)
    sold = {
        "sold_by": "impacteragi-credits",
        "account_id": "acc_1",
        "account_email": "ada@example.com",
        "pack_id": "base",
        "credits": "1000",
        "price_cents": "1000",
    }
    charge = session["payment_intent"]["latest_charge"]
    assert type(charge) is dict
    assert session["metadata"] == session["payment_intent"]["metadata"] == charge["metadata"] == sold
    assert (session["payment_status"], session["amount_subtotal"], session["currency"]) == ("paid", 1000, "usd")
    assert session["customer_details"]["email"] == "ada@example.com"
    assert session["customer"].startswith("cus_")
    assert session["invoice"].startswith("in_")
    assert charge["amount"] == 1000
    assert gateway.receipt_url(session["payment_intent"]["id"]) == charge["receipt_url"]
    json.dumps(session)


def test_the_same_order_opens_one_checkout(gateway: StripeGateway) -> None:
    assert checkout(gateway) == checkout(gateway)
    with pytest.raises(PaymentRefused, match=r"^Stripe did not take this order\. .* nothing was charged\.$"):
        checkout(gateway, price_cents=2000)
    assert checkout(gateway, idempotency_key="order-2") != checkout(gateway)


def test_a_customer_is_made_once(gateway: StripeGateway) -> None:
    customer = gateway.ensure_customer("acc_1", "ada@example.com")
    assert customer == gateway.ensure_customer("acc_1", "ada@example.com")
    assert customer != gateway.ensure_customer("acc_2", "ada@example.com")
    session = gateway.get_session(checkout(gateway, customer_id=customer)["id"])
    assert (session["customer"], session["customer_details"]["email"]) == (customer, "ada@example.com")


def test_a_customer_that_stripe_lost_does_not_stop_the_sale(gateway: StripeGateway) -> None:
    session = gateway.get_session(checkout(gateway, customer_id="cus_of_another_account")["id"])
    assert (session["customer"], session["customer_email"]) == (None, "ada@example.com")


def test_refunds_whole_and_in_part(gateway: StripeGateway, standin: StripeStandIn) -> None:
    opened = checkout(gateway)
    intent = standin.pay(opened["id"])["session"]["payment_intent"]
    part = gateway.refund(intent, 300, "refund-1")
    assert (part["amount"], part["status"]) == (300, "succeeded")
    assert gateway.refund(intent, 300, "refund-1")["id"] == part["id"]
    assert gateway.refund(intent, None, "refund-2")["amount"] == 700
    with pytest.raises(PaymentRefused) as refusal:
        gateway.refund(intent, None, "refund-3")
    assert refusal.value.stripe_code == "charge_already_refunded"
    assert gateway.get_session(opened["id"])["payment_intent"]["latest_charge"]["amount_refunded"] == 1000


def test_lists_go_through_all_pages_as_plain_dicts(
    gateway: StripeGateway, standin: StripeStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateways.stripe.PAGE_SIZE", 2)
    intents = []
    for number in range(5):
        opened = checkout(gateway, idempotency_key=f"order-{number}")
        intents.append(standin.pay(opened["id"])["session"]["payment_intent"])
    for number, intent in enumerate(intents[:3]):
        gateway.refund(intent, 100, f"refund-{number}")
    standin.control("disputes", {"payment_intent": intents[4], "status": "needs_response"})
    yesterday, tomorrow = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    assert [session["payment_intent"] for session in gateway.list_sessions(yesterday)] == intents[::-1]
    assert [refund["payment_intent"] for refund in gateway.list_refunds(yesterday)] == intents[2::-1]
    [dispute] = gateway.list_disputes(int(yesterday.timestamp()))
    assert type(dispute) is dict
    assert dispute["status"] == "needs_response"
    assert list(gateway.list_sessions(tomorrow)) == []


def test_what_stripe_told_is_listed_by_type_and_time(gateway: StripeGateway, standin: StripeStandIn) -> None:
    session = standin.pay(checkout(gateway)["id"])["session"]
    gateway.refund(session["payment_intent"], 100, "refund-1")
    yesterday, tomorrow = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))

    told = [(event["type"], event["data"]["object"]["id"]) for event in gateway.list_events(yesterday, READERS)]

    assert ("checkout.session.completed", session["id"]) in told
    assert {"refund.created", "charge.refunded"} <= {kind for kind, _ in told} <= READERS.keys()
    assert list(gateway.list_events(yesterday, ["refund.failed"])) == list(gateway.list_events(tomorrow, READERS)) == []


def test_the_endpoint_says_where_it_leads_and_what_it_is_told(gateway: StripeGateway, standin: StripeStandIn) -> None:
    assert list(gateway.list_webhook_endpoints()) == []

    standin.control("settings", {"webhook_url": "http://127.0.0.1:9/hook", "endpoint": {"status": "disabled"}})
    (endpoint,) = gateway.list_webhook_endpoints()
    standin.control("settings", {"webhook_url": None, "endpoint": {}})

    assert (endpoint["url"], endpoint["status"]) == ("http://127.0.0.1:9/hook", "disabled")
    assert endpoint["enabled_events"] == ["*"]


def test_a_right_that_the_key_lacks_is_named_to_whoever_can_give_it() -> None:
    said = "The provided key 'rk_live_***' lacks permissions. Having the 'rak_event_read' permission would allow this."
    body = json.dumps({"error": {"message": said, "type": "invalid_request_error"}}).encode()
    with portal(403, "application/json", body) as address:
        gateway = StripeGateway("sk_test_12345", address)
        with pytest.raises(KeyLacksRight, match="rak_event_read") as refused:
            list(gateway.list_events(0, READERS))
        assert "rk_live" not in refused.value.message
        with pytest.raises(PaymentsUnavailable) as customers:
            gateway.get_session("cs_test_1")
        assert type(customers.value) is PaymentsUnavailable


@pytest.mark.parametrize(
    "session_id", ["cs_test_unknown", "", "../customers", "cs_test_1?expand[]=customer", "pi_1", "cs_ä"]
)
def test_an_unknown_session_is_not_found(gateway: StripeGateway, session_id: str) -> None:
    with pytest.raises(PaymentNotFound):
        gateway.get_session(session_id)


def test_a_short_outage_is_ridden_out(gateway: StripeGateway, standin: StripeStandIn) -> None:
    standin.control("faults", {"status": 503, "count": 2})
    assert checkout(gateway)["id"].startswith("cs_test_")


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_an_outage_is_payments_unavailable(gateway: StripeGateway, standin: StripeStandIn, status: int) -> None:
    standin.control("faults", {"status": status})
    with pytest.raises(PaymentsUnavailable):
        gateway.get_session("cs_test_1")
    if status == 401:
        with pytest.raises(PaymentsUnavailable):
            next(gateway.list_sessions(0))


def test_nobody_listening_is_payments_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gateway = StripeGateway("sk_test_12345", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(PaymentsUnavailable):
            gateway.get_session("cs_test_1")


GUEST_ORDER: dict[str, Any] = {
    "pack_id": "base",
    "credits": 1000,
    "price_cents": 1000,
    "idempotency_key": "order-1",
    "success_url": "http://127.0.0.1:8000/buy/return",
    "cancel_url": "http://127.0.0.1:8000/",
    "product_name": "1,000 credits",
}
CALLS: dict[str, Callable[[StripeGateway], object]] = {
    "ensure_customer": lambda gateway: gateway.ensure_customer("acc_1", "ada@example.com"),
    "create_checkout": checkout,
    "create_guest_checkout": lambda gateway: gateway.create_guest_checkout(**GUEST_ORDER),
    "get_session": lambda gateway: gateway.get_session("cs_test_1"),
    "line_items": lambda gateway: gateway.line_items("cs_test_1"),
    "a link": lambda gateway: gateway.find_catalogue_item("plink_1"),
    "a price": lambda gateway: gateway.find_catalogue_item("price_1"),
    "a product": lambda gateway: gateway.find_catalogue_item("prod_1"),
    "list_sessions": lambda gateway: list(gateway.list_sessions(0)),
    "list_refunds": lambda gateway: list(gateway.list_refunds(0)),
    "list_disputes": lambda gateway: list(gateway.list_disputes(0)),
    "list_events": lambda gateway: list(gateway.list_events(0, READERS)),
    "list_webhook_endpoints": lambda gateway: list(gateway.list_webhook_endpoints()),
    "refund": lambda gateway: gateway.refund("pi_1", None, "refund-1"),
    "receipt_url": lambda gateway: gateway.receipt_url("pi_1"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_what_answers_in_the_place_of_stripe_is_not_believed(answer: str, call: str) -> None:
    with portal(*ANSWERS[answer]) as address, pytest.raises(PaymentsUnavailable):
        CALLS[call](StripeGateway("sk_test_12345", address))


@pytest.mark.parametrize(
    "rows", ['[{"id": "re_1", "object": "charge"}]', '[{"object": "refund"}]', "{}", "null", '["x"]']
)
def test_a_list_that_holds_something_else_is_not_believed(rows: str) -> None:
    body = f'{{"object": "list", "has_more": false, "data": {rows}}}'.encode()
    with portal(200, "application/json", body) as address, pytest.raises(PaymentsUnavailable):
        list(StripeGateway("sk_test_12345", address).list_refunds(0))


def test_a_wrong_key_is_payments_unavailable_and_stays_out_of_the_log(
    gateway: StripeGateway, standin: StripeStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PaymentsUnavailable):
        StripeGateway("sk_test_wrong_key_0123456789", standin.api_base).get_session("cs_test_1")
    assert "AuthenticationError" in caplog.text
    assert "wrong_key" not in caplog.text


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert checkout(gateway)["id"].startswith("cs_test_")


def test_the_client_is_pinned_and_tells_nothing_about_this_machine(
    gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    checkout(gateway)
    assert stripe.enable_telemetry is False
    assert list(tmp_path.iterdir()) == []
    options = gateway._client._requestor._options
    assert (options.stripe_version, options.max_network_retries) == ("2026-10-28.endive", 2)
    assert StripeGateway("sk_test_12345")._client._requestor.base_addresses["api"] == "https://api.stripe.com"


def test_many_threads_share_one_gateway(gateway: StripeGateway) -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(checkout(gateway, idempotency_key=f"t-{n}")["id"]))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8


# Webhooks


def signed(payload: bytes, secret: str = SECRET, at: int = NOW) -> str:
    return stripe.WebhookSignature.generate_signature_header(payload.decode(), secret, at)


def test_a_signed_event_comes_back_as_plain_dict() -> None:
    payload = json.dumps(EVENT | {"note": "Käthe 😀"}, ensure_ascii=False).encode()
    event = verify_webhook(payload, signed(payload), (SECRET,), now=NOW)
    assert event == EVENT | {"note": "Käthe 😀"}
    assert type(event["data"]["object"]) is dict


def test_an_event_is_taken_when_it_does_not_say_that_it_is_one() -> None:
    event = {name: value for name, value in EVENT.items() if name != "object"}
    payload = json.dumps(event).encode()
    assert verify_webhook(payload, signed(payload), (SECRET,), now=NOW) == event


def test_the_clock_is_the_real_one_by_default() -> None:
    payload = json.dumps(EVENT).encode()
    assert verify_webhook(payload, signed(payload, at=int(time.time())), (SECRET,))
    with pytest.raises(InvalidSignature):
        verify_webhook(payload, signed(payload, at=1_000_000_000), (SECRET,))


def test_any_configured_secret_and_any_of_the_signatures_will_do() -> None:
    payload = json.dumps(EVENT).encode()
    for secret in (SECRET, OLD_SECRET):
        assert verify_webhook(payload, signed(payload, secret), (SECRET, OLD_SECRET), now=NOW)
    both = f"{signed(payload, 'whsec_unknown')},{signed(payload).partition(',')[2]}"
    assert verify_webhook(payload, both, (SECRET,), now=NOW)


@pytest.mark.threat(34, 35)
@pytest.mark.parametrize("age", [-301, 301])
def test_the_tolerance_holds_both_ways(age: int) -> None:
    payload = json.dumps(EVENT).encode()
    within = NOW - (300 if age > 0 else -300)
    assert verify_webhook(payload, signed(payload, at=within), (SECRET,), now=NOW)
    with pytest.raises(InvalidSignature):
        verify_webhook(payload, signed(payload, at=NOW - age), (SECRET,), now=NOW)


PAYLOAD = json.dumps(EVENT).encode()
GOOD = signed(PAYLOAD)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        "t=,v1=",
        f"t={NOW}",
        GOOD.replace("v1=", "v0="),
        GOOD.replace("t=", "x="),
        GOOD.replace(str(NOW), str(NOW + 1)),
        GOOD.replace(str(NOW), "9" * 5000),
        GOOD + "ä",
        f"t={NOW},v1=ééé",
        f"t={NOW},v1=\ud800",
        signed(PAYLOAD, "whsec_somebody_else"),
        GOOD.replace("v1=", "v1=0"),
    ],
)
def test_a_header_that_proves_nothing(header: str | None) -> None:
    with pytest.raises(InvalidSignature):
        verify_webhook(PAYLOAD, header, (SECRET,), now=NOW)


def test_a_changed_body_or_no_secret_proves_nothing() -> None:
    for payload, secrets in ((PAYLOAD + b" ", (SECRET,)), (PAYLOAD, ()), (PAYLOAD, ("",))):
        with pytest.raises(InvalidSignature):
            verify_webhook(payload, GOOD, secrets, now=NOW)
    # Signed with no secret at all, as an attacker could.
    with pytest.raises(InvalidSignature):
        verify_webhook(PAYLOAD, signed(PAYLOAD, ""), ("",), now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "null",
        "[]",
        '"text"',
        "1e999999",
        "[" * 50_000,
        "[" * 50_000 + "]" * 50_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "9" * 5000,
        "\ufeff" + json.dumps(EVENT),
        json.dumps(EVENT | {"object": "v2.core.event"}),
        json.dumps(EVENT | {"type": None}),
        json.dumps(EVENT | {"data": []}),
        json.dumps(EVENT | {"data": {"object": "cs_test_1"}}),
        json.dumps(EVENT | {"amount": float("nan")}),
        json.dumps(EVENT | {"amount": 1}).replace("1}", "1e999}"),
        json.dumps(EVENT | {"name": "\ud800"}),
    ],
)
def test_what_is_signed_but_no_event(text: str) -> None:
    payload = text.encode()
    with pytest.raises(InvalidPayload):
        verify_webhook(payload, signed(payload), (SECRET,), now=NOW)


def test_a_body_that_is_not_utf_8() -> None:
    with pytest.raises(InvalidPayload):
        verify_webhook(b'{"a": "\xff"}', GOOD, (SECRET,), now=NOW)


def test_what_the_stand_in_sends_is_accepted(standin: StripeStandIn) -> None:
    from scripts.local.stripe_standin.webhooks import signature_header

    standin.control("payment_link", {"amount": 1000, "email": "käthe@example.com"})
    event = standin.events("checkout.session.completed")[-1]
    payload = json.dumps(event, indent=2, ensure_ascii=False).encode()
    assert verify_webhook(payload, signature_header(payload, SECRET, NOW), (SECRET,), now=NOW) == event
