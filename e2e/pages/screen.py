"""What every page object has: the browser's tab, where the screen is, and the frame around it."""

from __future__ import annotations

from typing import ClassVar, Self

from playwright.sync_api import Locator, Page, expect


class Screen:
    """A screen of the product. `endpoints` are the views that serve it: test_look.py knows whether one has none."""

    endpoints: ClassVar[tuple[str, ...]] = ()
    path: ClassVar[str] = ""

    def __init__(self, page: Page):
        self.page = page
        self.main = page.locator("main")
        self.chip = page.locator("#balance-chip")
        self.status = page.get_by_role("status")
        self.alert = page.get_by_role("alert")
        self.toasts = page.locator("#toasts")

    def open(self, **parts: str) -> Self:
        """Type its address; `parts` are what the path names in braces."""
        self.page.goto(self.path.format(**parts))
        return self

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def heading(self, name: str) -> Locator:
        return self.page.get_by_role("heading", name=name)

    def sign_out(self) -> None:
        """By the button in the head of every page of who is signed in."""
        self.page.get_by_role("banner").get_by_role("button", name="Sign out").click()
        expect(self.heading("Sign in")).to_be_visible()

    def mark(self) -> None:
        """Leave something in the page that a reload would lose."""
        self.page.evaluate("window.untouched = true")

    def is_the_same(self) -> bool:
        """Whether no reload has happened since `mark`."""
        return bool(self.page.evaluate("window.untouched === true"))


def every_screen(of: type[Screen] = Screen) -> list[type[Screen]]:
    return [each for screen in of.__subclasses__() for each in (screen, *every_screen(screen))]
