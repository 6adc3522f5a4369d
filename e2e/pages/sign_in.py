"""Signing in and up, and setting a first password."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from e2e.pages.dashboard import Dashboard
from tests.support import PASSWORD


def _fill(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail", exact=True).fill(email)
    page.get_by_label("Password", exact=True).fill(password)


def sign_in(page: Page, email: str = "ada@example.com", password: str = PASSWORD) -> Dashboard:
    page.goto("/login")
    _fill(page, email, password)
    page.get_by_role("button", name="Sign in").click()
    return _arrived(page)


def sign_up(page: Page, email: str, password: str = PASSWORD) -> Dashboard:
    page.goto("/signup")
    _fill(page, email, password)
    page.get_by_role("button", name="Sign up").click()
    return _arrived(page)


def set_password(page: Page, link: str, password: str) -> Dashboard:
    page.goto(link)
    expect(page.get_by_role("heading", name="Set your password")).to_be_visible()
    page.get_by_label("New password", exact=True).fill(password)
    page.get_by_role("button", name="Set password").click()
    return _arrived(page)


def _arrived(page: Page) -> Dashboard:
    expect(page.locator("#composer")).to_be_visible()
    page.wait_for_load_state()  # before its scripts have run, a form goes the plain way
    return Dashboard(page)
