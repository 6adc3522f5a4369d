"""Passkeys, in Chromium with a virtual authenticator, and the look of the pages of the second factor."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from app import create_app
from e2e.pages.eyes import RULES, problems
from tests.conftest import (  # noqa: F401
    app,
    client,
    config,
    dynamodb,
    dynamodb_url,
    empty_store,
    fresh_tables,
    sender,
    setting_up,
    store,
    stripe,
)
from tests.support import PASSWORD, make_account

SET_UP = "/account/second-factor"


@pytest.fixture
def site(config, store, sender, stripe) -> Iterator[str]:  # noqa: F811
    """The app under a host name: browsers give no passkeys to 127.0.0.1."""
    server = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
    url = f"http://localhost:{server.port}"
    server.app = create_app(
        replace(config, app_url=url, require_operator_2fa=True), store=store, sender=sender, stripe=stripe
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield url
    server.shutdown()


@pytest.fixture
def page(site: str, chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(base_url=site)
    page = context.new_page()
    page.problems = []
    page.on("console", lambda m: page.problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    yield page
    context.close()


def authenticator(page: Page) -> tuple:
    """A security key of Chromium's own: https://chromedevtools.github.io/devtools-protocol/tot/WebAuthn/"""
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
    return cdp, cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]


def sign_in(page: Page) -> None:
    page.goto("/login")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def add_passkey(page: Page, password: str = PASSWORD) -> None:
    page.goto(SET_UP)
    form = page.locator("form[data-passkey=create]")
    form.get_by_label("A name for it").fill("Blue key")
    form.get_by_label("Your password").fill(password)
    form.get_by_role("button", name="Add a passkey").click()


def test_a_passkey_is_made_and_opens_the_account(page, store):  # noqa: F811
    make_account(store)
    authenticator(page)
    sign_in(page)

    add_passkey(page, "wrong")
    expect(page.get_by_text("That is not your current password.")).to_be_visible()
    page.problems.clear()  # Chromium reports each 422 on the console
    add_passkey(page)
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.locator("#passkeys b", has_text="Blue key")).to_be_visible()

    page.get_by_role("banner").get_by_role("button", name="Sign out").click()
    sign_in(page)
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    page.goto("/dashboard")
    assert "/login" in page.url
    sign_in(page)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/dashboard")

    account = store.accounts.get("ada@example.com")
    passkey = next(iter(account.passkeys.values()))
    assert passkey.used_at is not None
    assert account.challenge is None
    assert page.problems == []


def test_another_authenticator_opens_nothing(page, store):  # noqa: F811
    make_account(store)
    cdp, key = authenticator(page)
    sign_in(page)
    add_passkey(page)
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.context.clear_cookies()
    sign_in(page)
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()

    # The same credential id, as a thief of our table knows it, over a key of the thief's own.
    credential = cdp.send("WebAuthn.getCredentials", {"authenticatorId": key})["credentials"][0]
    cdp.send("WebAuthn.clearCredentials", {"authenticatorId": key})
    forged = {**credential, "privateKey": foreign_key()}
    cdp.send("WebAuthn.addCredential", {"authenticatorId": key, "credential": forged})
    page.get_by_role("button", name="Use a passkey").click()

    expect(page.get_by_text("That passkey was not accepted.")).to_be_visible()
    page.goto("/dashboard")
    assert "/login" in page.url


def test_a_cloned_passkey_is_noticed_when_its_counter_runs_back(page, store):  # noqa: F811
    make_account(store)
    authenticator(page)
    sign_in(page)
    add_passkey(page)
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    account = store.accounts.get("ada@example.com")
    ahead = {key: replace(passkey, sign_count=1000) for key, passkey in account.passkeys.items()}
    store.updates.accounts.change(account, passkeys=ahead)
    page.context.clear_cookies()
    sign_in(page)

    page.get_by_role("button", name="Use a passkey").click()

    expect(page.get_by_text("That passkey was not accepted.")).to_be_visible()


def test_the_pages_are_accessible_and_fit(page, store):  # noqa: F811
    make_account(store)
    authenticator(page)
    page.emulate_media(reduced_motion="reduce")
    sign_in(page)
    page.goto("/account")
    check(page, "account")
    page.goto(SET_UP)
    page.locator("#totp").get_by_label("Your password").fill("wrong")
    page.get_by_role("button", name="Set up an app").click()
    check(page, "set-up-error")
    page.locator("#totp").get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Set up an app").click()
    check(page, "totp")
    add_passkey(page)
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    check(page, "recovery")
    page.get_by_role("link", name="I have kept them").click()
    check(page, "set-up")
    page.context.clear_cookies()
    sign_in(page)
    check(page, "ask")


def check(page: Page, name: str) -> None:
    assert problems(page, name, dark=RULES) == []


def foreign_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(der).decode()
