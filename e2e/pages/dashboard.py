"""The dashboard: balance, composer, history."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from e2e.pages.screen import Screen

POLL = "**/dashboard/live**"


class Dashboard(Screen):
    endpoints = ("dashboard.show",)
    path = "/dashboard"

    def __init__(self, page: Page):
        super().__init__(page)
        self.balance = page.locator("#balance .sum")
        self.notices = page.locator("#notices")
        self.composer = page.locator("#composer")
        self.text = page.get_by_label("What should we do?")
        self.text_error = page.locator("#description-error")
        self.draft_kept = self.composer.get_by_text("Draft kept.")
        self.submit_button = self.button("Submit task (10 credits)")
        self.refusal = page.locator("#composer [role=alert]")
        self.rows = page.locator("#task-rows li")
        self.live = page.locator("#live")
        self.status = page.get_by_label("Status")
        self.search = page.get_by_label("Search your tasks")

    def arrived(self) -> Dashboard:
        """Wait until it is there: before its scripts have run, a form goes the plain way."""
        expect(self.composer).to_be_visible()
        self.page.wait_for_load_state()
        return self

    def submit(self, text: str) -> None:
        self.text.fill(text)
        self.submit_button.click()

    def buy_and_keep_the_text(self) -> None:
        """What a refusal for want of credits offers."""
        self.composer.get_by_role("button", name="Buy credits and keep this text").click()

    def row(self, text: str) -> Locator:
        return self.rows.filter(has_text=text)

    def expect_balance(self, credits: str) -> None:
        expect(self.balance).to_have_text(f"{credits} credits")
        expect(self.chip).to_contain_text(credits)
