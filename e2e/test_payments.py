"""Buying in a real browser, against the stand-in for Stripe: declined, paid, delayed, withheld, refunded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from app.domain.clock import utcnow
from app.services import books
from app.web.deps import named_sales
from e2e.pages import Credits, CreditsReturn, Dashboard, SignIn, Transactions
from e2e.pages.checkout import DECLINED

pytestmark = pytest.mark.money


@pytest.fixture
def ada(site):
    return site.states.account(credits=5)


@pytest.fixture
def dashboard(ada, page) -> Dashboard:
    """A signed-in browser of a customer who has 5 credits."""
    dashboard = SignIn(page).enter(ada)
    expect(page.locator("#balance")).to_contain_text("5 credits")
    return dashboard


@pytest.fixture
def balance(site, ada):
    return lambda: site.api(ada).credits


def buy_by_card(page) -> None:
    Credits(page).open().choose_pack().pay_by_card()


def reconcile(inside) -> books.Reconciliation:
    since = utcnow() - timedelta(days=1)
    with inside.app.app_context():
        named = named_sales()
    return books.reconcile(inside.store, inside.deps.stripe, since=since, livemode=False, now=utcnow(), named=named)


@pytest.mark.smoke
def test_short_of_credits_then_declined_then_paid_then_the_draft_submits(site, ada, dashboard, balance):
    dashboard.submit("Summarise the report\nin five points")
    expect(dashboard.refusal).to_contain_text("You have 5 credits, a task costs 10.")
    expect(dashboard.text).to_have_value("Summarise the report\nin five points")

    dashboard.buy_and_keep_the_text()
    credits = Credits(dashboard.page)
    expect(credits.kept_draft).to_be_visible()
    checkout = credits.choose_pack()
    checkout.pay_by_card(DECLINED)
    expect(checkout.alert).to_contain_text("declined")
    assert balance() == 5
    checkout.pay_by_card()

    back = CreditsReturn(dashboard.page).arrived()
    expect(back.chip).to_contain_text("1,005")
    back.submit_draft()
    expect(back.main).to_contain_text("Summarise the report")
    expect(back.chip).to_contain_text("995")
    assert balance() == 995
    assert site.mail_to(ada.email, "1,000 credits added")["subject"] == "1,000 credits added"


def test_the_page_turns_by_itself_when_a_delayed_payment_settles(site, dashboard, balance):
    site.stripe.control("settings", {"settle_seconds": 2})
    Credits(dashboard.page).open().choose_pack().pay_by_bank()

    back = CreditsReturn(dashboard.page)
    expect(back.waiting).to_be_visible()
    assert balance() == 5
    back.arrived()
    assert balance() == 1005


def test_the_way_back_credits_when_the_webhook_is_withheld(site, dashboard, balance):
    site.stripe.control("webhooks", {"mode": "withhold"})
    buy_by_card(dashboard.page)

    CreditsReturn(dashboard.page).arrived()
    site.stripe.control("release", {"order": "shuffled"})
    site.stripe.control("webhooks", {"mode": "deliver"})
    site.stripe.wait_until_idle()
    assert balance() == 1005


@pytest.mark.inside("reconciling is a command of the machine on which the app runs (flask books reconcile)")
def test_reconciling_credits_what_neither_webhook_nor_way_back_brought(site, inside, ada, dashboard, balance):
    site.stripe.control("webhooks", {"mode": "withhold"})
    for number in range(3):
        sale = {"amount": 1000, "email": ada.email, "name": f"Buyer {number}", "pay": True}
        site.stripe.control("payment_link", sale)
    assert balance() == 5

    assert len(reconcile(inside).missing) == 3
    assert reconcile(inside).missing == []

    transactions = Transactions(dashboard.page).open()
    expect(transactions.rows).to_have_count(4)
    expect(transactions.chip).to_contain_text("3,005")
    site.stripe.control("release", {"discard": True})
    site.stripe.control("webhooks", {"mode": "deliver"})


def test_leaving_the_payment_page_charges_nothing_and_keeps_the_draft(dashboard, balance):
    dashboard.text.fill("Not now")
    dashboard.buy_and_keep_the_text()
    credits = Credits(dashboard.page)
    credits.choose_pack().go_back()

    expect(credits.kept_draft).to_be_visible()
    dashboard.open()
    expect(dashboard.text).to_have_value("Not now")
    assert balance() == 5


def test_a_refund_after_spending_stops_spending_and_a_purchase_lifts_it(site, ada, dashboard):
    page = dashboard.page
    buy_by_card(page)
    CreditsReturn(page).arrived()
    dashboard.open()
    dashboard.submit("Spend a little")
    expect(page.locator("#balance")).to_contain_text("995")

    site.stripe.control("refunds", {"payment_intent": site.api(ada).payment()})
    site.stripe.wait_until_idle()

    dashboard.open()
    expect(dashboard.notices).to_contain_text("refunded or disputed")
    expect(page.locator("#balance")).to_contain_text("−5")
    dashboard.submit("One more")
    expect(dashboard.refusal).to_be_visible()
    buy_by_card(page)
    expect(dashboard.chip).to_contain_text("995")


def test_a_dispute_holds_and_winning_it_gives_back_what_was_held(site, ada, dashboard, balance):
    buy_by_card(dashboard.page)
    CreditsReturn(dashboard.page).arrived()
    intent = {"payment_intent": site.api(ada).payment()}

    site.stripe.control("disputes", intent | {"status": "needs_response"})
    site.stripe.wait_until_idle()
    assert balance() == 5
    site.stripe.control("disputes", intent | {"status": "won"})
    site.stripe.wait_until_idle()

    assert balance() == 1005
    transactions = Transactions(dashboard.page).open()
    expect(transactions.rows.first).to_contain_text("+1,000")
    told = "A payment is disputed: 1,000 credits are held"
    assert site.mail_to(ada.email, told)["subject"] == told


def test_buying_works_without_javascript(ada, open_browser, balance):
    page = open_browser(java_script_enabled=False)
    SignIn(page).enter(ada)
    buy_by_card(page)

    CreditsReturn(page).arrived()
    assert balance() == 1005


def test_who_owes_is_told_and_spends_nothing(site, page):
    owing = site.states.owing()
    dashboard = SignIn(page).enter(owing)

    expect(dashboard.notices).to_contain_text("refunded or disputed")
    dashboard.submit("One more")
    expect(dashboard.refusal).to_be_visible()
    assert site.api(owing).credits == -10
