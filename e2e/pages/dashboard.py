"""The dashboard: balance, composer, history."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


class Dashboard:
    def __init__(self, page: Page):
        self.page = page
        self.balance = page.locator("#balance .sum")
        self.chip = page.locator("#balance-chip")
        self.text = page.get_by_label("What should we do?")
        self.button = page.get_by_role("button", name="Submit task (10 credits)")
        self.alert = page.locator("#composer [role=alert]")
        self.rows = page.locator("#task-rows li")

    def open(self) -> Dashboard:
        self.page.goto("/dashboard")
        return self

    def submit(self, text: str) -> None:
        self.text.fill(text)
        self.button.click()

    def row(self, text: str) -> Locator:
        return self.rows.filter(has_text=text)

    def expect_balance(self, credits: str) -> None:
        expect(self.balance).to_have_text(f"{credits} credits")
        expect(self.chip).to_contain_text(credits)

    def sign_out(self) -> None:
        self.page.get_by_role("button", name="Sign out").click()
        expect(self.page.get_by_role("heading", name="Sign in")).to_be_visible()
