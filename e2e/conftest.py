"""The whole product in one process, and a browser before it: local AWS, the stand-in for Stripe, the app, the mails."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect, sync_playwright
from werkzeug.serving import make_server

from app import create_app
from app.config import Config
from app.data import Store
from app.data.client import make_client
from app.data.table_setup import create_tables
from app.domain.clock import utcnow
from app.gateways.ses import SesGateway
from app.services.mail import deliver_due
from app.web.visitors import adopter
from e2e.pages.world import World, furnish
from scripts.local.aws import LocalAws, keep_or_put_back
from scripts.local.ports import free_port
from scripts.local.sender_identity import verify_sender
from scripts.local.settings import CREDENTIALS, NO_OTHER_AWS, app_settings, forget_other_aws, past_any_proxy
from scripts.local.stripe_standin.process import StripeStandIn
from tests.support import assert_books_agree, post_webhook

known = forget_other_aws(os.environ) | CREDENTIALS | NO_OTHER_AWS | past_any_proxy(os.environ)
os.environ.clear()
os.environ.update(known)

expect.set_options(timeout=15_000)  # for a slow machine; a locator that is there is not waited for
CHROMIUM = "/usr/bin/chromium"
FRESH_SECONDS = 600  # an operator's session ends after half an hour without a request
# What Chromium itself writes for an answer that a test asked for.
EXPECTED_LINES = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


@dataclass
class Site:
    """A running product: `url` for a browser, `store` to look into, `stripe` to act as the outside world."""

    url: str
    app: Flask
    store: Store
    stripe: StripeStandIn
    aws: LocalAws
    world: World | None = None  # furnished here, and kept
    furnished_at: float = 0.0

    def empty(self) -> None:
        """Empty tables, an empty Stripe, and no mail that was sent."""
        self.world = None
        self.aws.reset()
        self.stripe.control("reset", {})
        if not keep_or_put_back(self.aws.port, "back", "empty"):
            create_tables(self.store.client, self.store.prefix)
            keep_or_put_back(self.aws.port, "keep", "empty")
        deps = self.app.extensions["impacteragi"]
        verify_sender(deps.config.mail_from, self.aws.endpoint_url, deps.config.aws_region)
        deps.files.create_bucket()

    def furnish(self) -> World:
        """A product in use, made once for all that begin with it: putting its tables back takes milliseconds."""
        fresh = self.world is not None and time.monotonic() - self.furnished_at < FRESH_SECONDS
        if self.world is None or not fresh or not keep_or_put_back(self.aws.port, "back", "furnished"):
            self.empty()
            self.furnished_at = time.monotonic()
            self.world = furnish(self)
            keep_or_put_back(self.aws.port, "keep", "furnished")
        return self.world

    def webhook(self, event: dict[str, Any]) -> int:
        """Deliver a signed event over HTTP; returns the status."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            return post_webhook(_Poster(client), event).status_code

    def mails(self) -> list[dict[str, Any]]:
        """Send what the outbox holds through SES, and read back what SES took, oldest first."""
        deps = self.app.extensions["impacteragi"]
        deliver_due(self.store, deps.mail_room, deps.sender, now=utcnow())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.aws.endpoint_url}/_ministack/ses/messages") as answer:
            accounts = json.load(answer)["messages"].values()
        return [
            {"to": mail["To"][0], "subject": mail["Subject"], "text": mail["BodyText"], "html": mail["BodyHtml"]}
            for mails in accounts
            for mail in mails
        ]


class _Poster:
    """Lets the tests' maker of webhooks post through a real connection."""

    def __init__(self, client: httpx.Client):
        self._client = client

    def post(self, path: str, *, data: bytes, headers: dict[str, str], content_type: str) -> httpx.Response:
        return self._client.post(path, content=data, headers=headers | {"Content-Type": content_type})


@pytest.fixture(scope="session")
def running() -> Iterator[Site]:
    """Started once: processes cost seconds, wiping them costs milliseconds."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with LocalAws() as aws, StripeStandIn(webhook_url=f"{url}/api/stripe/webhook") as stripe:
        settings = app_settings(url, aws.endpoint_url) | {
            "JWT_SECRET": "signing-key-of-the-browser-tests-only",
            "STRIPE_SECRET_KEY": stripe.secret_key,
            "STRIPE_WEBHOOK_SECRET": f"{stripe.webhook_secret},whsec_newest",
            "STRIPE_API_BASE": stripe.api_base,
            "BCRYPT_ROUNDS": "4",
            "CREDIT_PACKS": "1000:1000,5250:5000",
            "SIGNUPS_PER_HOUR": "1000",
        }
        config = Config.from_env(settings)
        store = Store(make_client(config, endpoint_url=aws.endpoint_url), config.table_prefix, adopter())
        app = create_app(config, store=store, sender=SesGateway(config))
        server = make_server("127.0.0.1", port, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Site(url, app, store, stripe, aws)
        server.shutdown()
        thread.join()


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """Empty tables and an empty Stripe; afterwards every balance must be what its ledger says."""
    running.empty()
    yield running
    assert_books_agree(running.store)


@pytest.fixture
def world(running: Site) -> Iterator[World]:
    """A product in use (e2e/pages/world.py). It shares its payments at Stripe: what changes these has `site`."""
    yield running.furnish()
    assert_books_agree(running.store)


@pytest.fixture(scope="session")
def playwright_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playwright]:
    """One for all: a second one in the same thread refuses to start.

    What it and its browsers put aside lies in the run's own folder, which the next run removes after a kill.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("browser")))
        driver = sync_playwright().start()
    yield driver
    driver.stop()


def launch(playwright: Playwright, **options: Any) -> Browser:
    """Debian's Chromium, or Playwright's own where that is missing; root needs it without its sandbox."""
    return playwright.chromium.launch(
        executable_path=CHROMIUM if os.path.exists(CHROMIUM) else None,
        args=["--no-sandbox"] if os.geteuid() == 0 else [],
        **options,
    )


@pytest.fixture(scope="session")
def chromium(playwright_driver: Playwright) -> Iterator[Browser]:
    browser = launch(playwright_driver)
    yield browser
    browser.close()


@pytest.fixture
def open_browser(chromium: Browser, running: Site) -> Iterator[Any]:
    """Opens browsers that share nothing; a line on any console that was not to be expected fails the test."""
    contexts: list[BrowserContext] = []
    lines: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED_LINES.search(message.text):
            lines.append(message.text)

    def new(**options: Any) -> Page:
        context = chromium.new_context(base_url=running.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", note)
        page.on("pageerror", lambda error: lines.append(str(error)))
        return page

    yield new
    for context in contexts:
        context.close()
    assert lines == []


@pytest.fixture
def page(open_browser) -> Page:
    return open_browser()
