"""Buying in a real browser, against the stand-in for Stripe: declined, paid, delayed, withheld, refunded."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from app.domain.clock import utcnow
from app.services import books
from app.web.deps import named_sales
from tests.support import PASSWORD, make_account

EMAIL = "ada@example.com"


@pytest.fixture
def customer(site, page) -> Page:
    """A signed-in browser of a customer who has 5 credits."""
    make_account(site.store, EMAIL, credits=5)
    page.goto("/login")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#balance")).to_contain_text("5 credits")
    return page


def choose_pack(page: Page) -> None:
    page.goto("/credits")
    page.get_by_role("button", name="Buy for $10.00").click()
    expect(page.get_by_text("This is not Stripe")).to_be_visible()


def pay_by_card(page: Page, number: str = "4242 4242 4242 4242") -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label(re.compile("Expiry")).fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Full name").fill("Ada Lovelace")
    page.get_by_role("button", name=re.compile("^Pay")).click()


def balance(site) -> int:
    return site.store.accounts.get(EMAIL).credits_balance


def reconcile(site) -> books.Reconciliation:
    stripe = site.app.extensions["impacteragi"].stripe
    since = utcnow() - timedelta(days=1)
    with site.app.app_context():
        named = named_sales()
    return books.reconcile(site.store, stripe, since=since, livemode=False, now=utcnow(), named=named)


def test_short_of_credits_then_declined_then_paid_then_the_draft_submits(site, customer):
    customer.get_by_label("What should we do?").fill("Summarise the report\nin five points")
    customer.get_by_role("button", name="Submit task (10 credits)").click()
    alert = customer.locator("#composer [role=alert]")
    expect(alert).to_contain_text("You have 5 credits, a task costs 10.")
    expect(customer.get_by_label("What should we do?")).to_have_value("Summarise the report\nin five points")

    alert.get_by_role("button", name="Buy credits and keep this text").click()
    expect(customer.get_by_text("We keep the task you wrote")).to_be_visible()
    customer.get_by_role("button", name="Buy for $10.00").click()
    pay_by_card(customer, "4000 0000 0000 0002")
    expect(customer.get_by_role("alert")).to_contain_text("declined")
    assert balance(site) == 5
    pay_by_card(customer)

    expect(customer.get_by_role("heading", name="1,000 credits added")).to_be_visible()
    expect(customer.locator("#balance-chip")).to_contain_text("1,005")
    customer.get_by_role("button", name="Submit task (10 credits)").click()
    expect(customer.locator("main")).to_contain_text("Summarise the report")
    expect(customer.locator("#balance-chip")).to_contain_text("995")
    assert balance(site) == 995
    assert "1,000 credits added" in [mail["subject"] for mail in site.mails()]


def test_the_page_turns_by_itself_when_a_delayed_payment_settles(site, customer):
    site.stripe.control("settings", {"settle_seconds": 2})
    choose_pack(customer)
    customer.get_by_label(re.compile("Bank debit")).check()
    customer.get_by_label("Account number").fill("000123456789")
    customer.get_by_label("Full name").fill("Ada Lovelace")
    customer.get_by_role("button", name=re.compile("^Pay")).click()

    expect(customer.get_by_role("heading", name="Waiting for Stripe")).to_be_visible()
    assert balance(site) == 5
    expect(customer.get_by_role("heading", name="1,000 credits added")).to_be_visible()
    assert balance(site) == 1005


def test_the_way_back_credits_when_the_webhook_is_withheld(site, customer):
    site.stripe.control("webhooks", {"mode": "withhold"})
    choose_pack(customer)
    pay_by_card(customer)

    expect(customer.get_by_role("heading", name="1,000 credits added")).to_be_visible()
    site.stripe.control("release", {"order": "shuffled"})
    site.stripe.control("webhooks", {"mode": "deliver"})
    site.stripe.wait_until_idle()
    assert balance(site) == 1005


def test_reconciling_credits_what_neither_webhook_nor_way_back_brought(site, customer):
    site.stripe.control("webhooks", {"mode": "withhold"})
    for number in range(3):
        site.stripe.control("payment_link", {"amount": 1000, "email": EMAIL, "name": f"Buyer {number}", "pay": True})
    assert balance(site) == 5

    assert len(reconcile(site).missing) == 3
    assert reconcile(site).missing == []

    customer.goto("/transactions")
    expect(customer.locator("tbody tr")).to_have_count(4)
    expect(customer.locator("#balance-chip")).to_contain_text("3,005")
    site.stripe.control("release", {"discard": True})
    site.stripe.control("webhooks", {"mode": "deliver"})


def test_leaving_the_payment_page_charges_nothing_and_keeps_the_draft(site, customer):
    customer.get_by_label("What should we do?").fill("Not now")
    customer.get_by_role("button", name="Buy credits and keep this text").click()
    customer.get_by_role("button", name="Buy for $10.00").click()
    customer.get_by_role("link", name=re.compile("Back")).click()

    expect(customer.get_by_text("We keep the task you wrote")).to_be_visible()
    customer.goto("/dashboard")
    expect(customer.get_by_label("What should we do?")).to_have_value("Not now")
    assert balance(site) == 5


def test_a_refund_after_spending_stops_spending_and_a_purchase_lifts_it(site, customer):
    choose_pack(customer)
    pay_by_card(customer)
    expect(customer.get_by_role("heading", name="1,000 credits added")).to_be_visible()
    customer.goto("/dashboard")
    customer.get_by_label("What should we do?").fill("Spend a little")
    customer.get_by_role("button", name="Submit task (10 credits)").click()
    expect(customer.locator("#balance")).to_contain_text("995")
    purchase = next(entry for entry in site.store.ledger.every() if entry.type == "purchase")

    site.stripe.control("refunds", {"payment_intent": purchase.stripe_payment_intent})
    site.stripe.wait_until_idle()

    customer.goto("/dashboard")
    expect(customer.locator("#notices")).to_contain_text("refunded or disputed")
    expect(customer.locator("#balance")).to_contain_text("−5")
    customer.get_by_label("What should we do?").fill("One more")
    customer.get_by_role("button", name="Submit task (10 credits)").click()
    expect(customer.locator("#composer [role=alert]")).to_be_visible()
    choose_pack(customer)
    pay_by_card(customer)
    expect(customer.locator("#balance-chip")).to_contain_text("995")


def test_a_dispute_holds_and_winning_it_gives_back_what_was_held(site, customer):
    choose_pack(customer)
    pay_by_card(customer)
    expect(customer.get_by_role("heading", name="1,000 credits added")).to_be_visible()
    purchase = next(entry for entry in site.store.ledger.every() if entry.type == "purchase")
    intent = {"payment_intent": purchase.stripe_payment_intent}

    site.stripe.control("disputes", intent | {"status": "needs_response"})
    site.stripe.wait_until_idle()
    assert balance(site) == 5
    site.stripe.control("disputes", intent | {"status": "won"})
    site.stripe.wait_until_idle()

    assert balance(site) == 1005
    customer.goto("/transactions")
    expect(customer.locator("tbody tr").first).to_contain_text("+1,000")
    assert {mail["subject"] for mail in site.mails()} >= {"A payment is disputed: 1,000 credits are held"}


def test_buying_works_without_javascript(site, open_browser):
    make_account(site.store, EMAIL, credits=5)
    page = open_browser(java_script_enabled=False)
    page.goto("/login")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    choose_pack(page)
    pay_by_card(page)

    expect(page.get_by_role("heading", name="1,000 credits added")).to_be_visible()
    assert balance(site) == 1005
