"""Buying credits over JSON."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

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
    account = store.accounts.get(EMAIL)
    assert stripe.checkouts[0]["idempotency_key"] == f"checkout-{account.account_id}-order-7"
    assert stripe.checkouts[0]["price_cents"] == 5000


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
