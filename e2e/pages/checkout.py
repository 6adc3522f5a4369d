"""The payment page of the stand-in for Stripe, which is where Checkout's own would be."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from e2e.pages.screen import Screen

CARD, DECLINED = "4242 4242 4242 4242", "4000 0000 0000 0002"


class Checkout(Screen):
    path = "{url}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.email = page.get_by_label("E-mail")
        self.pay_button = page.get_by_role("button", name=re.compile("^Pay"))

    @property
    def session(self) -> str:
        """The Checkout Session, by the address of the page."""
        return self.page.url.rstrip("/").rpartition("/")[2]

    def arrived(self) -> Checkout:
        expect(self.page.get_by_text("This is not Stripe")).to_be_visible()
        return self

    def pay_by_card(self, number: str = CARD) -> None:
        self.page.get_by_label("Card number").fill(number)
        self.page.get_by_label(re.compile("Expiry")).fill("12 / 34")
        self.page.get_by_label("CVC").fill("123")
        self.page.get_by_label("Full name").fill("Ada Lovelace")
        self.pay_button.click()

    def pay_by_bank(self, account: str = "000123456789") -> None:
        self.page.get_by_label(re.compile("Bank debit")).check()
        self.page.get_by_label("Account number").fill(account)
        self.page.get_by_label("Full name").fill("Ada Lovelace")
        self.pay_button.click()

    def go_back(self) -> None:
        """Leave without paying."""
        self.page.get_by_role("link", name=re.compile("Back")).click()
