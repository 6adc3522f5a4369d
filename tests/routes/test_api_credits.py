"""Buying credits over JSON."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from limits import parse

from app.domain.clock import utcnow
from app.domain.errors import IdempotencyKeyReused
from app.routes import api_credits
from app.services import checkout, codes
from tests.services.test_codes import make_code
from tests.support import PASSWORD, make_account

EMAIL = "ada@example.com"


@pytest.fixture
def call(client, store):
    make_account(store, EMAIL)
    token = client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD}).json["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    return lambda method, path, headers=(), **body: client.open(
        path, method=method, headers=bearer | dict(headers), json=body or None
    )


def test_packs_are_listed(call):
    assert call("GET", "/api/packs").json["packs"][0] == {
        "pack_id": "pack-1000",
        "credits": 1000,
        "price_cents": 1000,
        "currency": "usd",
    }


def test_checkout_hands_out_stripes_address_under_the_callers_key(call, stripe, store):
    answer = call("POST", "/api/checkout", {"Idempotency-Key": "order-7"}, pack_id="pack-5250")

    assert (answer.status_code, answer.json["checkout_url"]) == (201, "https://checkout.stripe.com/c/pay/cs_test_new")
    assert re.fullmatch("checkout-[0-9a-f]{64}", stripe.checkouts[0]["idempotency_key"])
    assert stripe.checkouts[0]["price_cents"] == 5000


def test_a_repeated_checkout_is_the_first_page_and_counts_nothing(call, stripe, monkeypatch):
    monkeypatch.setattr(api_credits, "CHECKOUT_BY_ACCOUNT", parse("1 per hour"))

    first, again, other = (
        call("POST", "/api/checkout", {"Idempotency-Key": key}, pack_id="pack-1000") for key in ("a", "a", "b")
    )

    assert (again.status_code, again.json) == (first.status_code, first.json) == (201, first.json)
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert len(stripe.checkouts) == 1
    assert other.status_code == 429


def test_a_checkout_key_with_another_pack_is_a_409_of_ours(call, stripe):
    for pack, status in (("pack-1000", 201), ("pack-5250", 409)):
        answer = call("POST", "/api/checkout", {"Idempotency-Key": "order-7"}, pack_id=pack)
        assert answer.status_code == status

    assert answer.json["code"] == "idempotency_key_reused"
    assert [opened["pack_id"] for opened in stripe.checkouts] == ["pack-1000"]


def test_a_checkout_that_stripe_refused_can_be_tried_again_under_its_key(call, stripe):
    stripe.down = True
    assert call("POST", "/api/checkout", {"Idempotency-Key": "order-7"}, pack_id="pack-1000").status_code == 503
    stripe.down = False

    answer = call("POST", "/api/checkout", {"Idempotency-Key": "order-7"}, pack_id="pack-1000")

    assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (201, False)


def test_of_two_packs_at_once_under_one_key_one_is_opened(config, store, stripe):
    account = make_account(store, EMAIL)

    def open_pack(pack):
        try:
            return checkout.open_session(store, stripe, account, pack, idempotency_key="k", app_url="", now=utcnow())
        except IdempotencyKeyReused:
            return None

    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(open_pack, [config.packs[number % 2] for number in range(8)]))

    assert len({details["pack_id"] for details in stripe.checkouts}) == 1
    assert len({details["idempotency_key"] for details in stripe.checkouts}) == 1
    assert sum(one is None for one in opened) == 4


def test_a_page_that_has_run_out_is_followed_by_another(config, store, stripe):
    account, now = make_account(store, EMAIL), utcnow()
    for later in (timedelta(), timedelta(hours=24), timedelta(hours=24)):
        checkout.open_session(store, stripe, account, config.packs[0], idempotency_key="k", app_url="", now=now + later)

    assert len({details["idempotency_key"] for details in stripe.checkouts}) == len(stripe.checkouts) == 2


def test_checkout_is_a_503_when_stripe_is_down(call, stripe):
    stripe.down = True

    answer = call("POST", "/api/checkout", pack_id="pack-1000")

    assert (answer.status_code, answer.json["code"]) == (503, "payments_unavailable")
    assert answer.headers["Retry-After"]


def test_an_unknown_pack_is_a_404(call):
    assert call("POST", "/api/checkout", pack_id="pack-1").status_code == 404


def test_a_code_is_redeemed_once(call, store):
    make_code(store, expires_at=datetime(2099, 1, 1, tzinfo=UTC))

    assert call("POST", "/api/redeem", code="spring-2026").json == {"credits_added": 50, "credits": 50}
    assert call("POST", "/api/redeem", code="spring-2026").status_code == 422


def test_a_repeated_redeem_is_the_first_answer_again(call, store):
    for code in ("SPRING-2026", "AUTUMN-2026"):
        make_code(store, code, expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    key = {"Idempotency-Key": "gift-1"}
    first = call("POST", "/api/redeem", key, code="SPRING-2026")
    call("POST", "/api/redeem", code="AUTUMN-2026")

    again = call("POST", "/api/redeem", key, code="spring-2026")
    other = call("POST", "/api/redeem", key, code="AUTUMN-2026")

    assert (again.status_code, again.json) == (200, first.json) == (200, {"credits_added": 50, "credits": 50})
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert (other.status_code, other.json["code"]) == (409, "idempotency_key_reused")
    assert store.accounts.get(EMAIL).credits_balance == 100


def test_of_two_codes_at_once_under_one_key_one_is_redeemed(store):
    account = make_account(store, EMAIL)
    names = ("SPRING-2026", "AUTUMN-2026")
    for code in names:
        make_code(store, code, expires_at=datetime(2099, 1, 1, tzinfo=UTC))

    def redeem(code):
        try:
            return codes.redeem(store, account, code, now=utcnow(), idempotency_key="k").credits
        except IdempotencyKeyReused:
            return 0

    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(redeem, names * 2))

    assert sorted(added) == [0, 0, 50, 50]
    assert store.accounts.get(EMAIL).credits_balance == 50


def test_a_code_waits_until_the_address_is_confirmed(call, store):
    make_code(store, expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    store.updates.accounts.change(store.accounts.get(EMAIL), confirmed_at=None)

    answer = call("POST", "/api/redeem", code="spring-2026")

    assert (answer.status_code, answer.json["code"]) == (403, "email_not_confirmed")
    assert "/account" in answer.json["error"]
    assert store.accounts.get(EMAIL).credits_balance == 0


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/packs"), ("POST", "/api/checkout"), ("POST", "/api/redeem")]
)
def test_nothing_without_a_token(client, method, path):
    assert client.open(path, method=method, json={}).status_code == 401
