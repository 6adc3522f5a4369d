"""Buying credits: the page, the hand-over, the way back, drafts and codes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from bs4 import BeautifulSoup

from app.domain.clock import utcnow
from app.services import tasks
from tests.services.test_codes import make_code
from tests.support import NOW, PASSWORD, make_account, post_webhook, session_event

EMAIL = "ada@example.com"


@pytest.fixture
def browser(app, store):
    """A browser that is signed in, CSRF switched off: those rules have tests of their own."""
    app.config["WTF_CSRF_ENABLED"] = False
    make_account(store, EMAIL, credits=5)
    client = app.test_client()
    client.post("/login", data={"email": EMAIL, "password": PASSWORD})
    return client


def page(response) -> BeautifulSoup:
    return BeautifulSoup(response.data, "html.parser")


def own_session(store, **fields) -> dict:
    account = store.accounts.get(EMAIL)
    sold = {"account_id": account.account_id, "account_email": EMAIL, "credits": "5250", "price_cents": "5000"}
    session = session_event(EMAIL, session="cs_test_mine", cents=5000, metadata=sold)["data"]["object"]
    return session | fields


def test_the_packs_show_price_saving_and_balance_after(browser):
    cards = page(browser.get("/credits")).select(".pack")

    assert [card.select_one("h2").text.split()[0] for card in cards] == ["1,000", "5,250"]
    words = " ".join(cards[1].text.split())
    for part in ("$50.00", "0.95¢ a credit", "250 free", "4% saved", "Balance after: 5,255"):
        assert part in words


def test_buying_hands_over_to_stripe_with_all_it_needs(browser, stripe, store):
    response = browser.post("/credits/checkout", data={"pack": "pack-5250", "request_id": "r-1"})

    assert (response.status_code, response.location) == (303, "https://checkout.stripe.com/c/pay/cs_test_new")
    (checkout,) = stripe.checkouts
    account = store.accounts.get(EMAIL)
    assert checkout["account_id"] == account.account_id
    assert (checkout["credits"], checkout["price_cents"], checkout["pack_id"]) == (5250, 5000, "pack-5250")
    assert re.fullmatch("checkout-[0-9a-f]{64}", checkout["idempotency_key"])
    assert checkout["success_url"] == "http://dashboard.test/credits/return?session_id={CHECKOUT_SESSION_ID}"
    assert checkout["customer_id"] == account.stripe_customer_id


def test_the_price_comes_from_the_settings_when_the_form_says_otherwise(browser, stripe):
    browser.post("/credits/checkout", data={"pack": "pack-1000", "credits": "999999", "price_cents": "1"})

    assert (stripe.checkouts[0]["credits"], stripe.checkouts[0]["price_cents"]) == (1000, 1000)


def test_an_unknown_pack_is_not_sold(browser, stripe):
    assert browser.post("/credits/checkout", data={"pack": "pack-1"}).status_code == 404
    assert stripe.checkouts == []


def test_the_page_says_so_when_stripe_is_down(browser, stripe):
    stripe.down = True

    response = browser.post("/credits/checkout", data={"pack": "pack-1000"})

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "Payments are not available" in page(response).select_one("[role=alert]").text


def test_the_way_back_fulfils_when_the_webhook_has_not_come(browser, stripe, store):
    stripe.sessions["cs_test_mine"] = own_session(store)

    response = browser.get("/credits/return?session_id=cs_test_mine")

    assert "5,250 credits added" in page(response).select_one("#status-title").text
    assert store.accounts.get(EMAIL).credits_balance == 5255


def test_the_credits_count_once_when_the_webhook_comes_after_the_way_back(browser, stripe, store, client):
    stripe.sessions["cs_test_mine"] = own_session(store)
    browser.get("/credits/return?session_id=cs_test_mine")

    event = session_event(session="cs_test_mine")
    event["data"]["object"] = own_session(store)
    assert post_webhook(client, event).status_code == 200

    assert store.accounts.get(EMAIL).credits_balance == 5255


def test_the_way_back_waits_and_polls_while_the_money_is_on_its_way(browser, stripe, store):
    stripe.sessions["cs_test_mine"] = own_session(store, payment_status="unpaid")

    status = page(browser.get("/credits/return?session_id=cs_test_mine")).select_one("#status")

    assert "Waiting" in status.text
    assert status["data-hx-trigger"].startswith("every")
    stripe.sessions["cs_test_mine"] = own_session(store)
    fragment = browser.get("/credits/return/status?session_id=cs_test_mine", headers={"HX-Request": "true"})
    assert "5,250 credits added" in fragment.text
    assert "data-hx-trigger" not in page(fragment).select_one("#status").attrs
    assert "5,255" in page(fragment).select_one("#balance-chip").text


@pytest.mark.parametrize(("status", "words"), [("expired", "not finished"), ("open", "Waiting")])
def test_the_way_back_tells_when_nothing_was_paid(browser, stripe, store, status, words):
    stripe.sessions["cs_test_mine"] = own_session(store, status=status, payment_status="unpaid")

    assert words in browser.get("/credits/return?session_id=cs_test_mine").text


def test_the_way_back_only_waits_when_stripe_is_down(browser, stripe):
    stripe.down = True

    assert "Waiting" in browser.get("/credits/return?session_id=cs_test_mine").text


def test_a_session_of_somebody_else_is_not_found(browser, stripe, store, client):
    stripe.sessions["cs_test_other"] = own_session(store, metadata={"account_id": "acc_other"})
    post_webhook(client, session_event("bob@example.com", session="cs_test_bob"))

    for session in ("cs_test_other", "cs_test_bob", "cs_test_unknown", ""):
        assert browser.get(f"/credits/return?session_id={session}").status_code == 404


def test_a_draft_survives_the_purchase_and_is_one_click_to_submit(browser, stripe, store):
    text = 'Translate "this"\n\n<b>please</b>'
    response = browser.post("/credits/draft", data={"description": text.replace("\n", "\r\n")})
    assert response.location == "/credits"
    assert "Translate" in page(browser.get("/credits")).select_one(".note.good").text
    stripe.sessions["cs_test_mine"] = own_session(store)

    form = page(browser.get("/credits/return?session_id=cs_test_mine")).select_one('form[action="/tasks"]')
    fields = {field["name"]: field.get("value") or field.text.removeprefix("\n") for field in form.select("[name]")}
    assert fields["description"].replace("\r\n", "\n") == text
    submitted = browser.post("/tasks", data=fields)

    assert submitted.status_code == 303
    assert text in page(browser.get(submitted.location)).get_text()
    assert page(browser.get("/dashboard")).select_one("#description").text.strip() == ""


@pytest.mark.parametrize("by", ["a batch", "a program"])
def test_a_draft_stays_when_something_else_is_submitted(store, by):
    account = make_account(store, EMAIL, credits=100)
    store.updates.accounts.change(account, visible=False, draft="Written while short of credits")
    account = store.accounts.get(EMAIL)

    if by == "a batch":
        _, after = tasks.submit_batch(store, account, ["One", "Two"], now=utcnow(), idempotency_key="r-1")
    else:
        done = tasks.submit(store, account, "One", now=utcnow(), idempotency_key="r-1", by_program=True)
        after = done.account

    assert after.draft == store.accounts.get(EMAIL).draft == "Written while short of credits"


def test_a_code_adds_its_credits_once(browser, store):
    make_code(store, expires_at=datetime(2099, 1, 1, tzinfo=UTC))

    first = browser.post("/credits/redeem", data={"code": "spring-2026"}, follow_redirects=True)
    again = browser.post("/credits/redeem", data={"code": "spring-2026"})

    assert "50 credits added" in page(first).select_one("[role=status]").text
    assert again.status_code == 422
    assert "already" in page(again).select_one("#code-error").text
    assert page(again).select_one("#code")["value"] == "spring-2026"
    assert store.accounts.get(EMAIL).credits_balance == 55


def test_a_code_waits_until_the_address_is_confirmed(browser, store):
    make_code(store, expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    store.updates.accounts.change(store.accounts.get(EMAIL), confirmed_at=None)

    shown = page(browser.get("/credits")).select_one(".note.warn")
    refused = browser.post("/credits/redeem", data={"code": "spring-2026"})

    assert "once your e-mail address is confirmed" in shown.text
    assert refused.status_code == 403
    note = page(refused).select_one("[role=alert]")
    assert "Nothing was added" in note.text
    assert note.select_one("form")["action"] == "/account/resend-confirmation"
    assert page(refused).select_one("#code")["value"] == "spring-2026"
    assert store.accounts.get(EMAIL).credits_balance == 5
    store.updates.accounts.change(store.accounts.get(EMAIL), confirmed_at=NOW)
    assert browser.post("/credits/redeem", data={"code": "spring-2026"}).status_code == 303
    assert page(browser.get("/credits")).select_one(".note.warn") is None


def test_guessing_codes_is_throttled(browser):
    answers = [browser.post("/credits/redeem", data={"code": f"GUESS-{n}"}).status_code for n in range(12)]

    assert answers[0] == 422
    assert answers[-1] == 429
