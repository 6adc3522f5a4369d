"""The way in: the front page, signing in and up, the second step, and the links in mails."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from e2e.pages.checkout import Checkout
from e2e.pages.dashboard import Dashboard
from e2e.pages.screen import Screen
from scripts.local.states.made import PASSWORD, Made


class FrontPage(Screen):
    endpoints = ("home.index",)
    path = "/"

    def __init__(self, page: Page):
        super().__init__(page)
        self.guest_button = self.button("Buy 1,000 credits without an account")

    def buy_as_guest(self) -> Checkout:
        self.guest_button.click()
        return Checkout(self.page)


class About(Screen):
    """Who runs this installation, and what holds: three pages that every footer leads to."""

    endpoints = ("texts.contact", "texts.terms", "texts.privacy", "documents.docs")
    path = "/{name}"

    def of_footer(self, name: str) -> About:
        self.page.get_by_role("contentinfo").get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", level=1, name=name)).to_be_visible()
        return self


class Design(Screen):
    """Every component in each state, for whoever builds."""

    endpoints = ("design.show",)
    path = "/design"


class SignIn(Screen):
    endpoints = ("auth.login",)
    path = "/login"

    def __init__(self, page: Page):
        super().__init__(page)
        self.email = page.get_by_label("E-mail", exact=True)
        self.password = page.get_by_label("Password", exact=True)
        self.sign_in_button = self.main.get_by_role("button", name="Sign in")

    def fill(self, email: str, password: str = PASSWORD) -> None:
        """Type both and send them, whatever comes of it."""
        self.email.fill(email)
        self.password.fill(password)
        self.sign_in_button.click()

    def enter(self, who: Made | str, password: str = PASSWORD) -> Dashboard:
        """From the address of the sign-in to the dashboard; operators come to the queue."""
        self.open().again(who if isinstance(who, str) else who.email, password)
        self.page.wait_for_load_state()
        return Dashboard(self.page)

    def again(self, email: str, password: str = PASSWORD) -> None:
        """In a tab that has led to the sign-in; it leads on to where it came from."""
        self.fill(email, password)
        expect(self.button("Sign out")).to_be_visible()


class SignUp(Screen):
    endpoints = ("auth.signup",)
    path = "/signup"

    def __init__(self, page: Page):
        super().__init__(page)
        self.email = page.get_by_label("E-mail", exact=True)
        self.password = page.get_by_label("Password", exact=True)
        self.password_error = page.locator("#password-error")

    def enter(self, email: str, password: str = PASSWORD) -> Dashboard:
        self.open()
        self.email.fill(email)
        self.password.fill(password)
        self.button("Sign up").click()
        return Dashboard(self.page).arrived()

    def send_unchecked(self, email: str) -> None:
        """Past the browser's own checks, for what the server says."""
        self.page.locator("form.card").evaluate("form => form.noValidate = true")
        self.email.fill(email)
        self.page.locator("form.card .button").click()


class Forgot(Screen):
    endpoints = ("auth.forgot",)
    path = "/forgot"

    def ask(self, email: str) -> None:
        self.page.get_by_label("E-mail", exact=True).fill(email)
        self.page.locator("main form button").click()
        expect(self.heading("Look in your mailbox")).to_be_visible()


class SetPassword(Screen):
    """Behind the link of a mail: of the welcome, which sets the first one, or of a reset."""

    endpoints = ("auth.open_set_password", "auth.set_password", "auth.open_reset", "auth.reset")
    path = "{link}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.password = page.locator("main input[name=password]")

    def first(self, link: str, password: str) -> Dashboard:
        self.open(link=link)
        expect(self.heading("Set your password")).to_be_visible()
        self.page.get_by_label("New password", exact=True).fill(password)
        self.button("Set password").click()
        return Dashboard(self.page).arrived()

    def by_enter(self, link: str, password: str) -> Dashboard:
        """The same from the keyboard."""
        self.open(link=link)
        self.password.fill(password)
        self.password.press("Enter")
        self.page.wait_for_load_state()
        return Dashboard(self.page)

    def anew(self, link: str, password: str) -> Dashboard:
        self.open(link=link)
        self.page.locator("input[type=password]").first.fill(password)
        self.page.locator("main form button[type=submit], main form .act button").first.click()
        return Dashboard(self.page)


class Confirm(Screen):
    """Behind the link that proves a mailbox."""

    endpoints = ("auth.open_confirm", "auth.confirm")
    path = "{link}"


class NewAddress(Screen):
    """Behind the links by which mailboxes agree to another address of an account, or the present one refuses it."""

    endpoints = ("address.open_agree", "address.agree", "address.open_refuse", "address.refuse")
    path = "{link}"

    def agree(self, link: str) -> None:
        self.open(link=link)
        self.button("Yes, change it").click()

    def refuse(self, link: str) -> None:
        self.open(link=link)
        self.button("Stop it and sign everybody out").click()


class Unsubscribe(Screen):
    """Behind the link in the header of an optional mail."""

    endpoints = ("unsubscribe.one_kind",)
    path = "{link}"


class SecondStep(Screen):
    """After the password of an account that has a second factor."""

    endpoints = ("second_factor.ask",)
    path = "/login/second-factor"

    def __init__(self, page: Page):
        super().__init__(page)
        self.title = self.heading("One more step")

    def use_passkey(self) -> None:
        self.button("Use a passkey").click()
