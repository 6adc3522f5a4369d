"""The operators' screens of money: finance, one payment, what is sold beside the app, promotional codes."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from e2e.pages.screen import Screen


class Finance(Screen):
    endpoints = ("admin_finance.index",)
    path = "/admin/finance"

    def __init__(self, page: Page):
        super().__init__(page)
        self.checks = page.get_by_role("region", name="Checks")
        self.check_button = self.checks.get_by_role("button", name="Check the books now")
        self.reconcile_button = self.checks.get_by_role("button", name="Reconcile with Stripe now")

    def card(self, title: str) -> Locator:
        """What the last one of a kind has found, and its button."""
        return self.checks.locator(".card", has=self.page.get_by_role("heading", name=title))


class Payments(Screen):
    """Every payment, with its filter and its sums."""

    endpoints = ("admin_finance.list_payments",)
    path = "/admin/finance/payments"


class ParkedPayment(Screen):
    """Any payment; a parked one has the forms that decide on it."""

    endpoints = ("admin_finance.payment",)
    path = "/admin/finance/payments/{payment}"

    def credit(self, email: str, credits: str, reason: str) -> None:
        self.page.get_by_label("Account (e-mail)").fill(email)
        self.page.get_by_label("Credits", exact=True).fill(credits)
        self.page.get_by_label("Reason").first.fill(reason)
        self.page.get_by_role("button", name="Credit", exact=True).click()


class Sale(Screen):
    """What a link or product sells that is not the app's."""

    endpoints = ("admin_finance.sale",)
    path = "/admin/finance/sales/{source}"


class Codes(Screen):
    endpoints = ("admin_finance.list_codes",)
    path = "/admin/finance/codes"

    def send_unchecked(self, code: str, credits: str) -> None:
        """Past the browser's own checks, for what the server says; the other fields stay empty."""
        form = self.page.locator("form", has=self.page.get_by_role("button", name="Make the code"))
        form.evaluate("form => form.noValidate = true")
        form.get_by_label("Code", exact=True).fill(code)
        form.get_by_label("Credits for each account").fill(credits)
        form.get_by_role("button", name="Make the code").click()
