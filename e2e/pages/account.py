"""The account, and its second factor: an authenticator app, passkeys, recovery codes."""

from __future__ import annotations

import pyotp
from playwright.sync_api import Page, expect

from e2e.pages.screen import Screen
from scripts.local.states.made import PASSWORD


class AccountPage(Screen):
    endpoints = ("account.show",)
    path = "/account"

    def __init__(self, page: Page):
        super().__init__(page)
        self.shortcuts = page.get_by_label("Single keys work as shortcuts")

    def ask_for_address(self, new: str, password: str) -> None:
        section = self.page.locator("#email")
        section.locator("summary").click()
        section.get_by_label("New e-mail address").fill(new)
        section.get_by_label("Your password", exact=True).fill(password)
        section.get_by_role("button", name="Send both links").click()

    def save_settings(self) -> None:
        self.button("Save settings").click()

    def sign_out_everywhere(self) -> None:
        """Ends this session too: from a browser of its own it ends another's in the middle of something."""
        self.page.locator("#sessions summary").click()
        self.page.locator("#sessions").get_by_role("button", name="Sign out everywhere").click()
        expect(self.heading("Sign in")).to_be_visible()


class Webhooks(Screen):
    endpoints = ("webhooks.show", "webhooks.one", "webhooks.delivery")
    path = "/account/webhooks"


class ApiKeys(Screen):
    endpoints = ("keys.show",)
    path = "/account/keys"

    def __init__(self, page: Page):
        super().__init__(page)
        self.alive = page.locator("#keys li")
        self.ended = page.locator("#ended li")
        self.secret = page.locator("#api-key code")

    def make(self, name: str, *scopes: str, password: str = PASSWORD) -> str:
        """The key, as it is shown this once; back on the list."""
        self.page.get_by_label("Name", exact=True).fill(name)
        for scope in scopes:
            self.page.get_by_label(scope).check()
        self.page.get_by_label("Your password", exact=True).fill(password)
        self.button("Make the key").click()
        secret = self.secret.inner_text()
        self.page.get_by_role("link", name="I have kept it").click()
        return secret

    def revoke(self, name: str) -> None:
        row = self.alive.filter(has_text=name)
        row.locator("summary").click()
        row.get_by_role("button", name="Revoke it").click()


class SecondFactor(Screen):
    endpoints = ("second_factor.show", "second_factor.totp")
    path = "/account/second-factor"

    def __init__(self, page: Page):
        super().__init__(page)
        self.recovery_codes = self.heading("Recovery codes")
        self.passkeys = page.locator("#passkeys b")

    def prove(self) -> None:
        """An operator changes nothing before a second factor is set up: here, an authenticator app."""
        self.open()
        form = self.page.locator("form[action$='/second-factor/totp']")
        form.locator("[name=password]").fill(PASSWORD)
        form.get_by_role("button").click()
        secret = self.page.locator("#totp-secret").inner_text()
        code = self.page.locator("form[action$='/totp/code'] [name=code]")
        code.fill(pyotp.TOTP(secret.replace(" ", "")).now())
        code.press("Enter")
        expect(self.page.get_by_text("recovery codes").first).to_be_visible()

    def begin_app(self, password: str = PASSWORD) -> None:
        self.page.locator("#totp").get_by_label("Your password").fill(password)
        self.button("Set up an app").click()

    def add_passkey(self, password: str = PASSWORD) -> None:
        self.open()
        form = self.page.locator("form[data-passkey=create]")
        form.get_by_label("A name for it").fill("Blue key")
        form.get_by_label("Your password").fill(password)
        form.get_by_role("button", name="Add a passkey").click()

    def keep_codes(self) -> None:
        self.page.get_by_role("link", name="I have kept them").click()
