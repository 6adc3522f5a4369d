"""Buying without an account: from the front page to the first password, with JavaScript and without."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from e2e.test_payments import pay_by_card

EMAIL = "guest@example.com"


@pytest.mark.parametrize("javascript", [True, False])
def test_a_guest_buys_from_the_front_page_and_sets_a_password_by_mail(site, open_browser, javascript):
    page = open_browser(java_script_enabled=javascript)
    page.goto("/")
    page.get_by_role("button", name="Buy 1,000 credits without an account").click()
    page.get_by_label("E-mail").fill(EMAIL)
    pay_by_card(page)

    expect(page.get_by_role("heading", name="Paid: look in your mail")).to_be_visible()
    assert EMAIL not in page.content()
    site.stripe.wait_until_idle()
    assert site.store.accounts.get(EMAIL).credits_balance == 1000
    (mail,) = (mail for mail in site.mails() if mail["to"] == EMAIL)
    page.goto(re.search(r"https?://\S+/set-password/\S+", mail["text"])[0])
    page.locator("main input[name=password]").fill("a long enough phrase")
    page.locator("main input[name=password]").press("Enter")
    page.wait_for_load_state()
    page.goto("/dashboard")
    expect(page.locator("#balance")).to_contain_text("1,000")


def test_going_back_from_the_payment_page_leads_to_the_front_page(site, open_browser):
    page = open_browser()
    page.goto("/")
    page.get_by_role("button", name="Buy 1,000 credits without an account").click()
    page.get_by_role("link", name=re.compile("Back")).click()

    expect(page.get_by_role("button", name="Buy 1,000 credits without an account")).to_be_visible()


def test_the_page_turns_by_itself_once_the_payment_is_booked(site, open_browser):
    page = open_browser()
    page.goto("/")
    page.get_by_role("button", name="Buy 1,000 credits without an account").click()
    session = page.url.rstrip("/").rpartition("/")[2]
    page.goto(f"/buy/return?session_id={session}")
    expect(page.get_by_role("heading", name="Waiting for Stripe")).to_be_visible()

    site.stripe.pay(session, email=EMAIL)

    expect(page.get_by_role("heading", name="Paid: look in your mail")).to_be_visible()
