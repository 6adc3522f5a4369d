"""Buying without an account: from the front page to the first password, with JavaScript and without."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from e2e.pages import FrontPage, GuestReturn, SetPassword

pytestmark = pytest.mark.money
NEW_PASSWORD = "a long enough phrase"


@pytest.fixture
def email(site) -> str:
    return site.address("guest")


@pytest.mark.smoke
@pytest.mark.parametrize("javascript", [True, False])
def test_a_guest_buys_from_the_front_page_and_sets_a_password_by_mail(site, open_browser, email, javascript):
    page = open_browser(java_script_enabled=javascript)
    checkout = FrontPage(page).open().buy_as_guest()
    checkout.email.fill(email)
    checkout.pay_by_card()

    expect(GuestReturn(page).paid).to_be_visible()
    assert email not in page.content()
    site.stripe.wait_until_idle()
    mail = site.mail_to(email)
    dashboard = SetPassword(page).by_enter(re.search(r"https?://\S+/set-password/\S+", mail["text"])[0], NEW_PASSWORD)
    dashboard.open()
    expect(dashboard.page.locator("#balance")).to_contain_text("1,000")
    assert site.api(email, NEW_PASSWORD).credits == 1000


def test_going_back_from_the_payment_page_leads_to_the_front_page(site, page):
    front = FrontPage(page).open()
    front.buy_as_guest().go_back()

    expect(front.guest_button).to_be_visible()


def test_the_page_turns_by_itself_once_the_payment_is_booked(site, page, email):
    session = FrontPage(page).open().buy_as_guest().session
    back = GuestReturn(page).open(session=session)
    expect(back.waiting).to_be_visible()

    site.stripe.pay(session, email=email)

    expect(back.paid).to_be_visible()
