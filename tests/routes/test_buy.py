"""Buying without an account: one checkout for one press, one answer whoever paid, and nobody signed in by it."""

from __future__ import annotations

import re

import pytest
from limits import parse

from app.domain.errors import NotFound
from app.services import throttle
from app.services.accounts import sign_up
from app.services.passwords import Passwords
from tests.routes.browser import Browser, soup
from tests.support import NOW, PASSWORD, all_mails, make_account, post_webhook, session_event

GUEST = {"pack": "pack-1000", "request_id": "r-1"}
RETURN = "/buy/return?session_id=cs_g"


@pytest.fixture
def browser(app) -> Browser:
    return Browser(app)


def session_of(told: dict) -> dict:
    return told["data"]["object"]


def guest_pays(stripe, email: str = "new@example.com", **fields) -> dict:
    """Stripe knows the paid session; its webhook has not come."""
    told = session_event(email, session="cs_g", **fields)
    stripe.sessions["cs_g"] = session_of(told)
    return told


def front_form(browser: Browser) -> dict[str, str]:
    form = browser.page("/").select_one("form#buy")
    assert (form["method"], form["action"]) == ("post", "/buy")
    return {str(field["name"]): str(field["value"]) for field in form.select("input[type=hidden]")}


@pytest.mark.threat(103)
def test_the_front_page_sells_without_an_account_and_without_script(browser, stripe):
    page = browser.page("/")
    assert "Buy 1,000 credits without an account" in page.select_one("form#buy button").text
    assert not page.select("script")

    answer = browser.client.post("/buy", data=front_form(browser))

    assert answer.status_code == 303
    assert answer.location.startswith("https://checkout.stripe.com/")
    (sold,) = stripe.checkouts
    assert (sold["pack_id"], sold["credits"], sold["price_cents"]) == ("pack-1000", 1000, 1000)
    assert sold["success_url"] == "http://dashboard.test/buy/return?session_id={CHECKOUT_SESSION_ID}"
    assert sold["cancel_url"] == "http://dashboard.test/"


def test_pressing_twice_is_one_checkout_and_another_browser_has_its_own(app, browser, stripe):
    form = front_form(browser)
    for _ in range(2):
        browser.client.post("/buy", data=form)
    Browser(app).post("/buy", GUEST | {"request_id": form["request_id"]})

    first, second, other = (sold["idempotency_key"] for sold in stripe.checkouts)
    assert first == second != other


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_opens_no_checkout(browser, stripe, method):
    for path in ("/", "/buy", "/buy/return", "/buy/return/status"):
        browser.client.open(path, method=method, headers={"Purpose": "prefetch"})

    assert stripe.checkouts == []


def test_nothing_is_opened_without_the_forms_token(app, stripe):
    assert app.test_client().post("/buy", data=GUEST).status_code == 400
    assert stripe.checkouts == []


def test_who_is_signed_in_is_led_to_the_credits(app, store, browser, stripe):
    make_account(store)
    browser.sign_in()

    answer = browser.post("/buy", GUEST)

    assert (answer.status_code, answer.location) == (303, "/credits")
    assert stripe.checkouts == []
    assert not browser.page("/").select("form#buy")


def test_the_page_says_so_when_stripe_is_down(browser, stripe):
    stripe.down = True

    answer = browser.post("/buy", GUEST)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "Payments are not available right now" in soup(answer).select_one("form#buy [role=alert]").text


def test_one_address_opens_some_checkouts_an_hour(app, browser, stripe, monkeypatch):
    monkeypatch.setattr("app.routes.buy.CHECKOUT_BY_ADDRESS", parse("2 per hour"))
    answers = [browser.post("/buy", GUEST | {"request_id": f"r-{number}"}) for number in range(3)]

    assert [answer.status_code for answer in answers] == [303, 303, 429]
    assert answers[2].headers["Retry-After"]
    assert len(stripe.checkouts) == 2
    assert throttle.CHECKOUT_BY_ADDRESS.amount <= 30


def test_a_pack_that_is_not_for_sale_is_not_found(browser, stripe):
    assert browser.post("/buy", GUEST | {"pack": "pack-1"}).status_code == 404
    assert stripe.checkouts == []


# The way back


def test_the_page_waits_and_turns_once_the_webhook_has_booked(browser, stripe, client):
    told = guest_pays(stripe)
    stripe.sessions["cs_g"] = session_of(told) | {"status": "open", "payment_status": "unpaid"}
    page = browser.page(RETURN)
    section = page.select_one("#status")
    assert "Waiting for Stripe" in section.text
    assert section["data-hx-get"].startswith("/buy/return/status?")
    assert page.select_one("noscript meta[http-equiv=refresh]") or 'http-equiv="refresh"' in str(page.noscript)
    assert page.find("a", string="Look again")

    post_webhook(client, told)

    assert "Paid: look in your mail" in browser.get(section["data-hx-get"], fragment=True).text
    assert "data-hx-get" not in browser.get(RETURN).text


@pytest.mark.threat(103)
def test_the_page_credits_by_itself_when_no_webhook_has_come(browser, stripe, store, client):
    told = guest_pays(stripe)

    assert "Paid: look in your mail" in browser.get(RETURN).text
    post_webhook(client, told)
    browser.get(RETURN)

    assert store.accounts.get("new@example.com").credits_balance == 1000
    assert [mail.kind for mail in all_mails(store)] == ["welcome"]


@pytest.mark.threat(110)
def test_a_link_scanner_credits_nothing_on_the_way_back(browser, stripe, store):
    guest_pays(stripe)

    browser.client.head(RETURN)
    browser.client.get(RETURN, headers={"Sec-Purpose": "prefetch"})

    assert list(store.ledger.every()) == []
    assert "Paid: look in your mail" in browser.get(RETURN).text


@pytest.mark.threat(45)
@pytest.mark.parametrize("who", ["nobody", "confirmed", "unconfirmed", "made by a payment"])
def test_the_same_page_whoever_paid_and_nobody_is_signed_in(app, browser, stripe, store, client, who):
    if who == "confirmed":
        make_account(store, "new@example.com")
    elif who == "unconfirmed":
        sign_up(store, Passwords(4), "new@example.com", PASSWORD, label="a stranger", kind="browser", now=NOW)
    elif who == "made by a payment":
        post_webhook(client, session_event("new@example.com", session="cs_before"))
    guest_pays(stripe)

    answer = browser.get(RETURN)

    text = " ".join(soup(answer).select_one("main").text.split())
    assert (answer.status_code, text) == (200, PAID)
    assert "new@example.com" not in answer.text
    assert browser.get("/dashboard").status_code in (302, 303)
    account = store.accounts.get("new@example.com")
    assert account.credits_balance >= 1000
    last = max(all_mails(store), key=lambda mail: mail.context.get("balance", -1))
    assert last.kind == ("receipt" if who == "confirmed" else "welcome")
    if who == "unconfirmed":
        assert (account.password_hash, account.sessions) == (None, {})


PAID = (
    "Paid: look in your mail We have written to the address that you gave to Stripe. The mail says how to get to your "
    "credits. Nothing there after some minutes? Look among the unwanted mail, then ask for a new link with that "
    "address. Front page"
)


@pytest.mark.threat(103)
@pytest.mark.parametrize("session_id", ["", "cs_unknown", "x" * 300, "cs_\u00e9", "cs_customer", "cs_book"])
def test_a_forged_or_foreign_session_is_not_found(browser, stripe, store, session_id):
    mine = {"account_id": "acc_1", "credits": "1000", "price_cents": "1000"}
    stripe.sessions["cs_customer"] = session_of(session_event(session="cs_customer", metadata=mine))
    stripe.sessions["cs_book"] = session_of(session_event(session="cs_book", metadata={}, mode="subscription"))

    answer = browser.get(f"/buy/return?session_id={session_id}")

    assert answer.status_code == 404
    assert list(store.ledger.every()) == []


def test_a_book_is_not_found_by_the_guests_page_where_something_is_named(config, app, browser, stripe, store):
    app.extensions["impacteragi"] = replaced(app, credit_payment_links=("plink_credits",))
    told = session_event(session="cs_book", metadata={}, payment_link="plink_book")
    stripe.sessions["cs_book"] = session_of(told)

    assert browser.get("/buy/return?session_id=cs_book").status_code == 404
    assert list(store.ledger.every()) == []


def test_a_link_that_is_named_may_lead_back_here_too(app, browser, stripe, store):
    app.extensions["impacteragi"] = replaced(app, credit_payment_links=("plink_credits",))
    told = session_event("new@example.com", session="cs_link", metadata={}, payment_link="plink_credits")
    stripe.sessions["cs_link"] = session_of(told)

    assert "Paid: look in your mail" in browser.get("/buy/return?session_id=cs_link").text
    assert store.accounts.get("new@example.com").credits_balance == 1000


def test_asking_stripe_is_limited_and_the_page_then_waits(browser, stripe, monkeypatch):
    monkeypatch.setattr("app.routes.buy.GUEST_LOOKS_BY_ADDRESS", parse("2 per hour"))
    calls = []
    monkeypatch.setattr(stripe, "get_session", lambda session_id: calls.append(session_id) or missing())

    answers = [browser.get(RETURN) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [404, 404, 200, 200]
    assert "Waiting for Stripe" in answers[3].text
    assert len(calls) == 2


def missing():
    raise NotFound


def test_the_page_asks_less_often_the_longer_it_waits(browser, stripe):
    stripe.sessions["cs_g"] = session_of(guest_pays(stripe)) | {"status": "open"}

    waits = [
        int(re.search(r"every (\d+)s", browser.get(f"{RETURN}&looks={looks}").text)[1]) for looks in (0, 5, 20, 99, "x")
    ]

    assert waits == [2, 5, 15, 60, 2]


def test_stripe_down_means_waiting(browser, stripe):
    stripe.down = True

    assert "Waiting for Stripe" in browser.get(RETURN).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "expired"}, "This checkout was not finished"),
        ({"customer_details": None}, "Paid: a person looks at it"),
        ({"amount_subtotal": 900, "metadata": {"sold_by": "impacteragi-credits", "buyer": "guest", "credits": "9000",
          "price_cents": "1000"}}, "Paid: a person looks at it"),
    ],
)  # fmt: skip
def test_what_went_otherwise_is_said(browser, stripe, store, fields, words):
    guest_pays(stripe, **fields)

    assert words in browser.get(RETURN).text
    assert list(store.ledger.every()) == []


def test_opening_and_leaving_checkouts_raises_no_alarm(browser, store, stripe):
    for number in range(5):
        browser.post("/buy", GUEST | {"request_id": f"r-{number}"})

    assert store.heartbeats.stripe_contact().sessions_since == 0


def replaced(app, **settings):
    """The app's parts with other settings."""
    from dataclasses import replace

    found = app.extensions["impacteragi"]
    return replace(found, config=replace(found.config, **settings))
