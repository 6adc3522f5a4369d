"""Passkeys, in Chromium with a virtual authenticator, and the look of the pages of the second factor."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.sync_api import CDPSession, Page, expect

from app import create_app
from app.gateways.ses import SesGateway
from e2e.pages import AccountPage, Dashboard, SecondFactor, SecondStep, SignIn
from e2e.pages.eyes import RULES, problems
from e2e.site import served
from scripts.local.ports import free_port

pytestmark = pytest.mark.chromium("its virtual authenticator")


@pytest.fixture
def url(site) -> Iterator[str]:
    """The product under a host name: browsers give no passkeys to 127.0.0.1."""
    if not site.inside:
        if urlsplit(site.url).hostname == "127.0.0.1":
            pytest.skip(
                "browsers give passkeys to host names: let that server have APP_URL=BASE_URL=http://localhost:…"
            )
        yield site.url
        return
    port = free_port()
    url = f"http://localhost:{port}"
    config = replace(site.inside.deps.config, app_url=url, require_operator_2fa=True)
    with served(create_app(config, store=site.inside.store, sender=SesGateway(config)), port):
        yield url


@pytest.fixture
def page(url: str, open_browser) -> Page:
    return open_browser(base_url=url)


@pytest.fixture
def ada(site):
    return site.states.account(credits=0)


@dataclass
class Authenticator:
    """A security key of Chromium's own: https://chromedevtools.github.io/devtools-protocol/tot/WebAuthn/"""

    cdp: CDPSession
    key: str

    def credential(self) -> dict[str, Any]:
        return self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.key})["credentials"][0]

    def hold_instead(self, credential: dict[str, Any]) -> None:
        self.cdp.send("WebAuthn.clearCredentials", {"authenticatorId": self.key})
        self.cdp.send("WebAuthn.addCredential", {"authenticatorId": self.key, "credential": credential})


@pytest.fixture
def authenticator(page: Page) -> Authenticator:
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    return Authenticator(cdp, cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"])


@pytest.fixture
def sign_in(page: Page, ada):
    """With the password alone, which may be half of it."""
    return lambda: SignIn(page).open().fill(ada.email)


@pytest.fixture
def with_passkey(page: Page, authenticator, sign_in) -> SecondFactor:
    """Signed in, and a passkey made."""
    sign_in()
    second_factor = SecondFactor(page)
    second_factor.add_passkey()
    expect(second_factor.recovery_codes).to_be_visible()
    return second_factor


def test_a_passkey_is_made_and_opens_the_account(site, page, ada, authenticator, sign_in):
    sign_in()
    second_factor = SecondFactor(page)

    second_factor.add_passkey("wrong")
    expect(page.get_by_text("That is not your current password.")).to_be_visible()
    lines = []  # from here on none at all: Chromium reports each 4xx on the console
    page.on("console", lambda line: lines.append(line.text) if line.type in ("error", "warning") else None)
    second_factor.add_passkey()
    expect(second_factor.recovery_codes).to_be_visible()
    second_factor.keep_codes()
    expect(second_factor.passkeys.filter(has_text="Blue key")).to_be_visible()

    second_factor.sign_out()
    sign_in()
    step = SecondStep(page)
    expect(step.title).to_be_visible()
    Dashboard(page).open()
    assert "/login" in page.url
    sign_in()
    step.use_passkey()
    page.wait_for_url("**/dashboard")

    assert lines == []
    if site.inside:
        account = site.inside.store.accounts.get(ada.email)
        passkey = next(iter(account.passkeys.values()))
        assert passkey.used_at is not None
        assert account.challenge is None


def test_another_authenticator_opens_nothing(page, with_passkey, authenticator, sign_in):
    page.context.clear_cookies()
    sign_in()
    expect(SecondStep(page).title).to_be_visible()

    # The same credential id, as a thief of our table knows it, over a key of the thief's own.
    authenticator.hold_instead({**authenticator.credential(), "privateKey": foreign_key()})
    SecondStep(page).use_passkey()

    expect(page.locator("#code-error", has_text="That passkey was not accepted.")).to_be_visible()
    Dashboard(page).open()
    assert "/login" in page.url


def test_a_cloned_passkey_is_noticed_when_its_counter_runs_back(page, with_passkey, authenticator, sign_in):
    page.context.clear_cookies()
    copy = authenticator.credential()
    sign_in()
    SecondStep(page).use_passkey()
    page.wait_for_url("**/dashboard")
    assert authenticator.credential()["signCount"] > copy["signCount"]
    page.context.clear_cookies()
    authenticator.hold_instead(copy)
    sign_in()

    SecondStep(page).use_passkey()

    expect(page.locator("#code-error", has_text="That passkey was not accepted.")).to_be_visible()


def test_the_pages_are_accessible_and_fit(page, authenticator, sign_in):
    page.emulate_media(reduced_motion="reduce")
    sign_in()
    AccountPage(page).open()
    check(page, "account")
    second_factor = SecondFactor(page).open()
    second_factor.begin_app("wrong")
    check(page, "set-up-error")
    second_factor.begin_app()
    check(page, "totp")
    second_factor.add_passkey()
    expect(second_factor.recovery_codes).to_be_visible()
    check(page, "recovery")
    second_factor.keep_codes()
    check(page, "set-up")
    page.context.clear_cookies()
    sign_in()
    check(page, "ask")


def check(page: Page, name: str) -> None:
    assert problems(page, name, dark=RULES) == []


def foreign_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(der).decode()
