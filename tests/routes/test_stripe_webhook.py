"""The webhook over HTTP: what is signed becomes credits once, what is odd is kept, nothing is a 500."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.errors import StoreUnavailable
from app.gateways.stripe import API_VERSION
from app.routes import stripe_webhook
from app.services import heartbeats
from tests.support import NOW, all_mails, event, ledger, make_account, post_webhook, session_event, signed

URL = "/api/stripe/webhook"


def payload(**fields) -> bytes:
    return json.dumps(session_event(**fields)).encode()


def post_signed(client, body: bytes, header: str | None):
    headers = {} if header is None else {"Stripe-Signature": header}
    return client.post(URL, data=body, headers=headers, content_type="application/json")


def test_paid_session_makes_an_account_with_its_credits_and_mail(client, store):
    answer = post_webhook(client, session_event("New@Example.com ", cents=1000, session="cs_1", customer="cus_1"))

    assert (answer.status_code, answer.get_json()) == (200, {"received": True})
    account = store.accounts.get("new@example.com")
    assert (account.credits_balance, account.password_hash, account.stripe_customer_id) == (1000, None, "cus_1")
    assert not account.confirmed
    rows = ledger(store, account.email)
    assert [(r.transaction_id, r.type, r.amount, r.stripe_payment_intent) for r in rows] == [
        ("purchase#cs_1", "purchase", 1000, "pi_cs_1")
    ]
    assert [(mail.kind, mail.to) for mail in all_mails(store)] == [("welcome", "new@example.com")]
    assert store.payments.find("pi_cs_1").granted == 1000


@pytest.mark.threat(43)
def test_paid_session_adds_to_the_account_that_is_there(client, store):
    make_account(store, credits=50)

    post_webhook(client, session_event("ADA@example.com", cents=2500))

    assert store.accounts.get("ada@example.com").credits_balance == 2550
    assert [mail.kind for mail in all_mails(store)] == ["receipt"]


@pytest.mark.threat(28)
def test_one_credit_when_twelve_deliveries_race(app, store):
    body = session_event(session="cs_1")

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: post_webhook(app.test_client(), body).status_code, range(12)))

    assert answers == [200] * 12
    assert store.accounts.get("ada@example.com").credits_balance == 1000
    assert len(ledger(store, "ada@example.com")) == 1
    assert len(all_mails(store)) == 1


@pytest.mark.threat(29)
def test_one_credit_when_two_events_tell_of_one_session(app, store):
    events = [session_event(session="cs_1") for _ in range(2)]
    assert events[0]["id"] != events[1]["id"]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda e: post_webhook(app.test_client(), e).status_code, events))

    assert answers == [200, 200]
    assert store.accounts.get("ada@example.com").credits_balance == 1000


@pytest.mark.threat(44)
def test_both_count_when_a_new_customer_pays_twice_at_once(app, store):
    events = [session_event(session=f"cs_{number}") for number in range(6)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda e: post_webhook(app.test_client(), e).status_code, events))

    assert answers == [200] * 6
    assert store.accounts.get("ada@example.com").credits_balance == 6000


@pytest.mark.threat(30)
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1, 1)])
def test_one_credit_when_a_delayed_payment_settles_in_any_order(client, store, order):
    events = [
        session_event(session="cs_1", payment_status="unpaid"),
        session_event(session="cs_1", type="checkout.session.async_payment_succeeded"),
    ]

    answers = [post_webhook(client, events[number]).status_code for number in order]

    assert set(answers) == {200}
    assert store.accounts.get("ada@example.com").credits_balance == 1000


def test_nothing_is_credited_while_a_session_is_unpaid(client, store):
    post_webhook(client, session_event(session="cs_1", payment_status="unpaid"))

    assert store.accounts.find("ada@example.com") is None


@pytest.mark.threat(36)
def test_second_secret_is_good_while_the_first_is_rolled(client, store):
    body = payload(session="cs_1")

    answer = post_signed(client, body, signed(body, secret="whsec_older"))

    assert answer.status_code == 200
    assert store.accounts.get("ada@example.com").credits_balance == 1000


@pytest.mark.threat(36)
def test_any_of_two_signatures_is_enough(client, store):
    body = payload(session="cs_1")
    good = signed(body).partition(",")

    answer = post_signed(client, body, f"{good[0]},v1={'0' * 64},{good[2]}")

    assert answer.status_code == 200


def bad_headers(body: bytes) -> dict[str, str | None]:
    good = signed(body)
    moment, _, digest = good.partition(",v1=")
    return {
        "none": None,
        "empty": "",
        "wrong secret": signed(body, secret="whsec_somebody_else"),
        "only v0": f"{moment},v0={digest}",
        "garbage": "garbage",
        "no timestamp": f"v1={digest}",
        "timestamp is no number": f"t=yesterday,v1={digest}",
        "not ASCII": f"{moment},v1=é{digest[1:]}",
        "too old": signed(body, at=time.time() - 301),
        "from the future": signed(body, at=time.time() + 330),
        "timestamp changed": f"t={int(moment[2:]) + 1},v1={digest}",
        "upper case digest": f"{moment},v1={digest.upper()}",
        "huge": f"{moment},v1={'0' * 7000}",
    }


@pytest.mark.threat(33)
@pytest.mark.parametrize("case", bad_headers(b"{}"))
def test_refused_without_detail_when_the_signature_is_bad(client, store, case):
    body = payload(session="cs_1")

    answer = post_signed(client, body, bad_headers(body)[case])

    assert answer.status_code == 400
    assert answer.get_json() == {"error": "The signature does not match.", "code": "invalid_signature"}
    assert store.accounts.find("ada@example.com") is None


@pytest.mark.threat(33)
def test_refused_when_the_signed_body_was_changed(client, store):
    body = payload(session="cs_1")
    header = signed(body)

    bodies = (body.replace(b"1000", b"9000"), json.dumps(json.loads(body), indent=1).encode(), body + b" ")
    answers = [post_signed(client, changed, header).status_code for changed in bodies]

    assert answers == [400, 400, 400]
    assert store.accounts.find("ada@example.com") is None


MALFORMED = {
    "not JSON": b"{not json",
    "empty": b"",
    "list": b"[]",
    "null": b"null",
    "number": b"1",
    "text": b'"evt"',
    "brackets": b"[" * 50_000,
    "nested objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "NaN": b'{"type": NaN}',
    "not UTF-8": b'{"type": "\xff"}',
    "UTF-16": '{"type": "x"}'.encode("utf-16"),
    "lone surrogate": b'{"type": "x", "data": {"object": {"id": "\\ud800"}}}',
    "no type": b"{}",
    "type is a list": b'{"type": [], "data": {"object": {}}}',
    "no data": b'{"type": "checkout.session.completed"}',
    "data is a list": b'{"type": "checkout.session.completed", "data": []}',
    "object is text": b'{"type": "checkout.session.completed", "data": {"object": "cs_1"}}',
    "object is null": b'{"type": "checkout.session.completed", "data": {"object": null}}',
    "no id": b'{"type": "checkout.session.completed", "data": {"object": {}}}',
    "id is a number": b'{"type": "checkout.session.completed", "data": {"object": {"id": 5}}}',
    "endless number": b'{"type": "checkout.session.completed", "data": {"object": {"id": ' + b"9" * 5000 + b"}}}",
}


@pytest.mark.threat(37)
@pytest.mark.parametrize("case", MALFORMED)
def test_refused_when_a_signed_body_is_no_event(client, store, case):
    body = MALFORMED[case]

    answer = post_signed(client, body, signed(body))

    assert answer.status_code == 400
    assert answer.get_json()["code"] in ("invalid_payload", "invalid_signature")
    assert list(store.accounts.every()) == []


def test_what_comes_with_a_signature_and_is_no_event_rings(client, caplog):
    thin = b'{"object": "v2.core.event", "type": "v1.refund.created", "related_object": {"id": "re_1"}}'

    assert post_signed(client, thin, signed(thin)).get_json()["code"] == "invalid_payload"

    assert [line.message for line in caplog.records if getattr(line, "alert", "") == "webhook"] == [
        "a webhook that is no event"
    ]


ODD_VALUES = [None, True, -1, 0, 1.5, 10**50, "", "x" * 300, "\u0000", "é", [], ["x"], {}, {"id": []}]
SESSION_FIELDS = [
    "amount_subtotal",
    "amount_total",
    "currency",
    "customer",
    "customer_details",
    "customer_email",
    "livemode",
    "metadata",
    "mode",
    "payment_intent",
    "payment_status",
]


@pytest.mark.threat(37)
@pytest.mark.parametrize("field", SESSION_FIELDS)
def test_no_crash_when_a_field_of_a_session_has_a_wrong_type(client, store, field):
    answers = {
        repr(value)[:20]: post_webhook(client, session_event(**{field: value})).status_code for value in ODD_VALUES
    }

    assert set(answers.values()) <= {200, 400}, answers
    for row in store.accounts.every():
        assert row.credits_balance % 1000 == 0


@pytest.mark.parametrize("value", ODD_VALUES)
def test_no_crash_when_metadata_has_wrong_types(client, store, value):
    metadata = {"account_id": value, "account_email": value, "pack_id": value, "credits": value, "price_cents": value}

    answer = post_webhook(client, session_event(metadata=metadata))

    assert answer.status_code == 200


@pytest.mark.parametrize("value", ODD_VALUES)
@pytest.mark.parametrize("kind", ["refund.created", "charge.refunded", "charge.dispute.created"])
def test_no_crash_when_a_refund_or_dispute_has_wrong_types(client, store, kind, value):
    good = {"id": "re_1", "payment_intent": "pi_1", "amount": 100, "amount_refunded": 100, "status": "succeeded"}

    answers = {field: post_webhook(client, event(kind, good | {field: value})).status_code for field in good}

    assert set(answers.values()) <= {200, 400}, answers
    assert list(store.accounts.every()) == []


PARKED = {
    "no e-mail": {"email": None},
    "unusable e-mail": {"email": "not an address"},
    "rupiah": {"currency": "idr"},
    "subscription": {"mode": "subscription"},
    "live mode": {"livemode": True},
    "nothing to pay": {"cents": 0},
    "negative": {"cents": -1000},
    "no amount": {"amount_subtotal": None},
    "amount as text": {"amount_subtotal": "1000"},
    "a cent": {"cents": 1},
    "unknown payment status": {"payment_status": "perhaps"},
    "another amount than was sold": {
        "metadata": {"account_id": "acc_1", "account_email": "ada@example.com", "credits": "9000", "price_cents": "1"}
    },
}


@pytest.mark.threat(38, 39)
@pytest.mark.parametrize("case", PARKED)
def test_kept_for_an_operator_and_not_credited_when_a_session_is_odd(client, store, case):
    fields = {"session": "cs_1"} | PARKED[case]

    answers = [post_webhook(client, session_event(**fields)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert list(store.accounts.every()) == []
    (record,) = store.payments.list_parked(limit=10).items
    assert record.session_id == "cs_1"
    assert record.parked_reason
    assert record.granted == 0


@pytest.mark.threat(31)
def test_ignored_when_the_event_is_not_for_us(client, store):
    events = [
        event("invoice.paid", {"id": "in_1"}),
        event("checkout.session.expired", {"id": "cs_1"}),
        session_event() | {"account": "acct_connected"},
    ]

    answers = [post_webhook(client, e).status_code for e in events]

    assert answers == [200, 200, 200]
    assert list(store.accounts.every()) == []


@pytest.mark.threat(40)
def test_refused_when_the_body_is_larger_than_256_kib(client, store):
    body = b" " * (256 * 1024 + 1)

    answer = post_signed(client, body, signed(body))

    assert answer.status_code == 413


def test_taken_when_the_body_is_just_below_256_kib(client, store):
    body = json.dumps(session_event(metadata={"note": "x" * 250_000})).encode()

    assert post_signed(client, body, signed(body)).status_code == 200


def test_a_delivery_is_noted_when_the_last_note_is_a_minute_old(client, store, monkeypatch):
    moments = [NOW, NOW + timedelta(seconds=59), NOW + timedelta(seconds=60)]
    clock, noted = iter(moments), []
    monkeypatch.setattr(heartbeats, "_noted_at", NOW - timedelta(seconds=60))
    monkeypatch.setattr(stripe_webhook, "utcnow", lambda: next(clock))
    monkeypatch.setattr(store.updates.heartbeats, "note_webhook", noted.append)

    for _ in moments:
        post_webhook(client, event("invoice.paid", {"id": "in_1"}))

    assert noted == [moments[0], moments[2]]


def test_credited_all_the_same_when_the_delivery_cannot_be_noted(client, store, monkeypatch, caplog):
    def down(now):
        raise StoreUnavailable

    monkeypatch.setattr(heartbeats, "_noted_at", NOW - timedelta(days=10_000))
    monkeypatch.setattr(store.updates.heartbeats, "note_webhook", down)

    assert post_webhook(client, session_event()).status_code == 200

    assert store.accounts.get("ada@example.com").credits_balance == 1000
    assert "webhook delivery not noted" in caplog.messages


def alerts(caplog):
    return [(record.alert, getattr(record, "why", "")) for record in caplog.records if hasattr(record, "alert")]


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("wrong secret", "its secret"),
        ("garbage", "its secret"),
        ("too old", "its time"),
        ("from the future", "its time"),
    ],
)
def test_a_signature_that_is_none_of_ours_rings_at_the_first(client, caplog, case, why):
    """With a wrong secret every payment was answered 400, and nobody was told before three checkouts."""
    body = payload()

    assert post_signed(client, body, bad_headers(body)[case]).status_code == 400

    assert alerts(caplog) == [("webhook", why)]


@pytest.mark.parametrize("case", ["none", "empty"])
def test_what_carries_no_signature_is_not_stripe_and_wakes_nobody(client, caplog, case):
    assert post_signed(client, payload(), bad_headers(b"{}")[case]).status_code == 400

    assert alerts(caplog) == []


@pytest.mark.parametrize(
    ("fields", "rings"),
    [
        ({}, False),
        ({"api_version": API_VERSION, "livemode": False}, False),
        ({"api_version": "2019-05-16"}, True),
        ({"livemode": True}, True),
    ],
)
def test_an_event_of_another_version_or_mode_is_told_to_somebody_who_can_act(client, store, caplog, fields, rings):
    answer = post_webhook(client, session_event() | fields)

    assert answer.status_code == 200
    assert (alerts(caplog) == [("webhook", "")]) is rings
    assert store.accounts.get("ada@example.com").credits_balance == 1000


def test_no_other_method_is_answered(client):
    assert client.get(URL).status_code == 405


@pytest.mark.threat(31)
def test_refund_before_its_purchase_leaves_the_net(client, store):
    refund = {"id": "re_1", "payment_intent": "pi_cs_1", "amount": 400, "status": "succeeded"}

    first = post_webhook(client, event("refund.created", refund))
    then = post_webhook(client, session_event(session="cs_1", cents=1000))

    assert (first.status_code, then.status_code) == (200, 200)
    assert store.accounts.get("ada@example.com").credits_balance == 600


@pytest.fixture
def selling(app, stripe):
    """Settings that name what sells credits."""

    def name(**settings):
        found = app.extensions["impacteragi"]
        app.extensions["impacteragi"] = replace(found, config=replace(found.config, **settings))

    return name


def sold(product: str) -> list[dict]:
    return [{"description": product, "price": {"id": f"price_{product}", "product": f"prod_{product}", "active": True}}]


@pytest.mark.threat(103)
def test_production_credits_no_sale_that_nobody_names(app, client, store, stripe, selling):
    selling(env="production")
    stripe.lines["cs_1"] = sold("book")

    answers = [post_webhook(client, session_event(session="cs_1", metadata={})).status_code for _ in range(2)]

    assert answers == [200, 200]
    assert store.accounts.find("ada@example.com") is None
    assert [sale.source for sale in store.sales.every()] == ["prod_book"]
    assert stripe.asked == ["cs_1"]


@pytest.mark.threat(103)
def test_a_product_that_settings_name_is_credited_once_stripe_has_said_what_was_sold(client, store, stripe, selling):
    selling(env="production", credit_products=("prod_credits",))
    stripe.lines["cs_1"] = sold("credits")
    told = session_event(session="cs_1", metadata={})
    stripe.down = True
    assert post_webhook(client, told).status_code == 503
    assert store.accounts.find("ada@example.com") is None

    stripe.down = False
    assert post_webhook(client, told).status_code == 200

    assert store.accounts.get("ada@example.com").credits_balance == 1000


@pytest.mark.threat(103)
@pytest.mark.parametrize(
    "metadata", [{"account_id": "acc_of_another_program"}, {"credits": "99999", "price_cents": "1000"}]
)
def test_metadata_of_another_program_makes_no_sale_ours(client, store, selling, metadata):
    selling(env="production")

    post_webhook(client, session_event(metadata=metadata))

    assert list(store.ledger.every()) == []


@pytest.mark.threat(103)
def test_development_with_nothing_named_credits_all(client, store):
    post_webhook(client, session_event(metadata={}, payment_link="plink_of_a_newcomer"))

    assert store.accounts.get("ada@example.com").credits_balance == 1000
