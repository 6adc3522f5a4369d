"""Buying: the packs, and the page on the way back from Stripe, of customers and of guests."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from e2e.pages.checkout import Checkout
from e2e.pages.screen import Screen


class Credits(Screen):
    endpoints = ("credits.show",)
    path = "/credits"

    def __init__(self, page: Page):
        super().__init__(page)
        self.packs = page.get_by_role("button", name=re.compile("Buy for"))
        self.kept_draft = page.get_by_text("We keep the task you wrote")

    def choose_pack(self) -> Checkout:
        self.button("Buy for $10.00").click()
        return Checkout(self.page).arrived()


class CreditsReturn(Screen):
    endpoints = ("credits.returned",)
    path = "/credits/return?session_id={session}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.added = self.heading("1,000 credits added")
        self.waiting = self.heading("Waiting for Stripe")

    def arrived(self) -> CreditsReturn:
        """Paid and booked."""
        expect(self.added).to_be_visible()
        return self

    def submit_draft(self) -> None:
        self.button("Submit task (10 credits)").click()


class GuestReturn(Screen):
    endpoints = ("buy.returned",)
    path = "/buy/return?session_id={session}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.paid = self.heading("Paid: look in your mail")
        self.waiting = self.heading("Waiting for Stripe")
