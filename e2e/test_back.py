"""The back-forward cache on, as in a real browser: after sign-out, Back shows nothing private."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from e2e.browsers import launch
from e2e.pages import Dashboard, SignIn


@pytest.fixture
def cached_page(site, playwright_driver, pytestconfig) -> Iterator[Page]:
    """Playwright switches the cache off, which would prove nothing here."""
    browser = launch(pytestconfig, playwright_driver, ignore_default_args=["--disable-back-forward-cache"])
    yield browser.new_page(base_url=site.url)
    browser.close()


@pytest.mark.threat(66)
@pytest.mark.chromium("the cache is switched on by an option of its own")
@pytest.mark.parametrize("path", ["/dashboard", "/account", "/transactions"])
def test_back_shows_nothing_private_when_the_browser_keeps_pages(site, cached_page, path):
    ada = site.states.account(credits=100)
    page = cached_page
    SignIn(page).enter(ada)
    page.goto(path)
    expect(page.get_by_text(f"Signed in as {ada.email}")).to_be_visible()

    Dashboard(page).sign_out()
    page.wait_for_url("**/login?out=1")
    for _ in range(2):
        page.go_back()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.get_by_text("Signed in as")).to_have_count(0)
