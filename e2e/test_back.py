"""The back-forward cache on, as in a real browser: after sign-out, Back shows nothing private."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import launch
from tests.support import PASSWORD, make_account


@pytest.fixture
def cached_page(site, playwright_driver) -> Iterator[Page]:
    """Playwright switches the cache off, which would prove nothing here."""
    browser = launch(playwright_driver, ignore_default_args=["--disable-back-forward-cache"])
    yield browser.new_page(base_url=site.url)
    browser.close()


@pytest.mark.threat(66)
@pytest.mark.parametrize("path", ["/dashboard", "/account", "/transactions"])
def test_back_shows_nothing_private_when_the_browser_keeps_pages(site, cached_page, path):
    make_account(site.store, credits=100)
    page = cached_page
    page.goto("/login")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")
    page.goto(path)
    expect(page.get_by_text("Signed in as ada@example.com")).to_be_visible()

    page.get_by_role("banner").get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login?out=1")
    for _ in range(2):
        page.go_back()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.get_by_text("Signed in as")).to_have_count(0)
