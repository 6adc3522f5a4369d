"""The finance page's buttons: what is asked for runs beside the web server, and the page tells how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from app.domain import checks as runs
from app.domain.clock import utcnow
from app.services import checks
from app.web.deps import named_sales
from e2e.pages import Finance, SignIn
from e2e.site import InProcess
from scripts.local.states.made import Made

pytestmark = [
    pytest.mark.operators,
    pytest.mark.money,
    pytest.mark.inside("attends in a process of its own, and holds it"),
]
on_and_off = pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])


class Attendant:
    """`flask books attend`, in a thread: it says how far it is once, and goes on when it is let."""

    def __init__(self, inside: InProcess) -> None:
        self._inside = inside
        self._said, self._may_go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._attend, daemon=True)

    def begin(self) -> None:
        """Returns once it holds, or has nothing more to say."""
        self._thread.start()
        assert self._said.wait(60), "it has not begun"

    def end(self) -> None:
        self._may_go_on.set()
        if self._thread.is_alive():
            self._thread.join(60)

    def _attend(self) -> None:
        found, stopping = self._inside.deps, self._stopping()
        with self._inside.app.app_context():
            how = {"named": named_sales(), "livemode": False, "clock": utcnow, "stopping": stopping}
            while not checks.attend(found.store, found.stripe, **how):
                time.sleep(0.1)
        self._said.set()

    def _stopping(self) -> Callable[[], bool]:
        looks = iter([False])

        def hold() -> bool:
            if next(looks, True):
                self._said.set()
                self._may_go_on.wait(60)
            return False

        return hold


@pytest.fixture
def attendant(inside, monkeypatch) -> Iterator[Attendant]:
    monkeypatch.setattr(checks, "NOTE_SECONDS", 0.0)
    attending = Attendant(inside)
    yield attending
    attending.end()


@pytest.fixture
def op(site) -> Made:
    return site.states.operator()


@pytest.fixture
def finance(op, open_browser, script) -> Finance:
    return opened(op, open_browser(java_script_enabled=script))


def opened(op: Made, page: Page) -> Finance:
    SignIn(page).enter(op)
    finance = Finance(page).open()
    page.wait_for_load_state()
    return finance


def look_again(finance: Finance, script: bool) -> None:
    """The open page asks by itself; without JavaScript one loads it."""
    if not script:
        finance.open()


@on_and_off
def test_the_books_are_checked_and_what_differs_is_named(site, inside, op, finance, attendant, open_browser, script):
    ada = site.states.account(credits=100)
    colleague = opened(site.states.operator(), open_browser(java_script_enabled=script))
    expect(finance.card("Check of the books")).to_contain_text("It has not run yet.")
    account = inside.store.accounts.get(ada.email)
    inside.store.updates.accounts.change(account, credits_balance=99)

    finance.check_button.click()
    expect(finance.checks).to_contain_text(f"Check of the books: asked for by {op.email}")
    expect(finance.check_button).to_be_disabled()
    expect(finance.reconcile_button).to_be_disabled()
    attendant.begin()
    look_again(finance, script)
    expect(finance.checks).to_contain_text("Check of the books: running since")
    expect(finance.checks).to_contain_text("at the ")

    colleague.reconcile_button.click()  # of a page that was opened before
    expect(colleague.main).to_contain_text(f"Check of the books: asked for already, by {op.email}. One at a time.")

    attendant.end()
    inside.store.updates.accounts.change(inside.store.accounts.get(ada.email), credits_balance=100)
    look_again(finance, script)
    card = finance.card("Check of the books")
    expect(card).to_contain_text("difference")
    card.get_by_text("Differences", exact=True).click()
    expect(card).to_contain_text(ada.email)
    expect(card).to_contain_text("100 expected, 99 found")
    expect(finance.check_button).to_be_enabled()
    expect(finance.checks).not_to_contain_text("running since")


@on_and_off
def test_a_payment_that_never_reached_us_is_found_and_recorded(site, finance, attendant, script):
    ada = site.states.account(credits=0)
    site.stripe.control("webhooks", {"mode": "withhold"})
    site.stripe.control("payment_link", {"amount": 1000, "email": ada.email, "sells": "credits", "pay": True})
    assert site.api(ada).credits == 0

    finance.reconcile_button.click()
    expect(finance.checks).to_contain_text("Reconciliation with Stripe: asked for by")
    attendant.begin()
    attendant.end()
    look_again(finance, script)

    card = finance.card("Reconciliation with Stripe")
    expect(card).to_contain_text("1 finding")
    assert site.api(ada).credits == 1000
    site.stripe.control("release", {"discard": True})
    site.stripe.control("webhooks", {"mode": "deliver"})


@on_and_off
def test_nobody_attends(finance, attendant, monkeypatch, script):
    """It says so, and begins all the same once somebody does."""
    monkeypatch.setattr(runs, "TAKEN_WITHIN", timedelta(0))

    finance.check_button.click()
    expect(finance.checks).to_contain_text("Nobody has begun it.")
    expect(finance.checks).to_contain_text("flask books attend --watch")
    expect(finance.check_button).to_be_enabled()

    attendant.begin()
    attendant.end()
    look_again(finance, script)
    expect(finance.card("Check of the books")).to_contain_text("They agree, just now.")
    expect(finance.checks).not_to_contain_text("Nobody has begun it.")
