"""The product under test: made in this process (the default), or a server that runs already (BASE_URL)."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from bs4 import BeautifulSoup
from flask import Flask
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
from e2e.api import Api
from e2e.pages.world import World, furnish
from scripts.local.aws import LocalAws, keep_or_put_back
from scripts.local.control_call import ControlError
from scripts.local.ports import free_port
from scripts.local.sender_identity import verify_sender
from scripts.local.settings import PORTS, app_settings
from scripts.local.states.here import is_here
from scripts.local.states.made import PASSWORD, Made
from scripts.local.states.makers import States
from scripts.local.states.over_http import DistantStates
from scripts.local.stripe_standin.process import ControlClient, StripeStandIn
from tests.support import assert_books_agree, signed

MAIL_SECONDS = 30.0
FRESH_SECONDS = 600  # an operator's session ends after half an hour without a request
PANEL_PORT = PORTS["LOCAL_STRIPE_PORT"]


class Site:
    """What every journey may use, wherever the product runs: `states` to begin with, `stripe` for the outside world."""

    url: str
    states: Any
    stripe: Any
    inside: InProcess | None = None  # to look into, for what no page and no answer shows

    def __init__(self) -> None:
        self._apis: list[Api] = []

    def api(self, who: Made | str, password: str = PASSWORD) -> Api:
        self._apis.append(Api(self.url, who, password))
        return self._apis[-1]

    def hang_up(self) -> None:
        """After a test: close the connections of its calls."""
        while self._apis:
            self._apis.pop().close()

    def address(self, name: str) -> str:
        """One that has no account yet."""
        return f"{name}-{secrets.token_hex(4)}@example.com"

    def mails_to(self, email: str) -> list[dict[str, str]]:
        """What was sent to this address so far, oldest first: subject, text, html."""
        raise NotImplementedError

    def mail_to(self, email: str, words: str = "") -> dict[str, str]:
        """The only mail to this address with these words in it, once it has been sent."""
        deadline = time.monotonic() + MAIL_SECONDS
        while not (found := [mail for mail in self.mails_to(email) if words in mail["subject"] + mail["text"]]):
            assert time.monotonic() < deadline, f"no mail to {email} with {words!r}"
            time.sleep(0.2)
        (mail,) = found
        return mail

    @contextmanager
    def visit(self) -> Iterator[Site]:
        """The site for one test."""
        yield self


class InProcess(Site):
    """A running product: `url` for a browser, `store` and `app` to look into."""

    def __init__(self, url: str, app: Flask, store: Store, stripe: StripeStandIn, aws: LocalAws):
        super().__init__()
        self.url, self.app, self.store, self.stripe, self.aws = url, app, store, stripe, aws
        self.inside = self
        self.deps = app.extensions["impacteragi"]
        self.states = States(self.deps, stripe.control)
        self.world: World | None = None  # furnished here, and kept
        self.furnished_at = 0.0

    @contextmanager
    def visit(self) -> Iterator[Site]:
        """Empty tables and an empty Stripe; afterwards every balance must be what its ledger says."""
        self.empty()
        yield self
        assert_books_agree(self.store)

    def empty(self) -> None:
        """Empty tables, an empty Stripe, and no mail that was sent."""
        self.world = None
        self.aws.reset()
        self.stripe.control("reset", {})
        if not keep_or_put_back(self.aws.port, "back", "empty"):
            create_tables(self.store.client, self.store.prefix)
            keep_or_put_back(self.aws.port, "keep", "empty")
        verify_sender(self.deps.config.mail_from, self.aws.endpoint_url, self.deps.config.aws_region)
        self.deps.files.create_bucket()

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
        payload = json.dumps(event).encode()
        headers = {"Stripe-Signature": signed(payload), "Content-Type": "application/json"}
        return httpx.post(
            f"{self.url}/api/stripe/webhook", content=payload, headers=headers, trust_env=False
        ).status_code

    def mails(self) -> list[dict[str, Any]]:
        """Send what the outbox holds through SES, and read back what SES took, oldest first."""
        deliver_due(self.store, self.deps.mail_room, self.deps.sender, now=utcnow())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.aws.endpoint_url}/_ministack/ses/messages") as answer:
            accounts = json.load(answer)["messages"].values()
        return [
            {"to": mail["To"][0], "subject": mail["Subject"], "text": mail["BodyText"], "html": mail["BodyHtml"]}
            for mails in accounts
            for mail in mails
        ]

    def mails_to(self, email: str) -> list[dict[str, Any]]:
        return [mail for mail in self.mails() if mail["to"] == email]


@contextmanager
def in_process() -> Iterator[InProcess]:
    """Started once for many tests: processes cost seconds, wiping them costs milliseconds."""
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
        with served(app, port):
            yield InProcess(url, app, store, stripe, aws)


@contextmanager
def served(app: Flask, port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield
    server.shutdown()
    thread.join()


class Panel(ControlClient):
    """The stand-in for Stripe of a run that is running: its control API, its states, its mails."""

    def __init__(self, url: str):
        self.url = url


class Recorded:
    """Makes states, and remembers whose: what is open of them is closed in the end."""

    def __init__(self, panel: str):
        self._distant = DistantStates(panel)
        self.emails: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def make(**given: Any) -> Made:
            made: Made = getattr(self._distant, name)(**given)
            self.emails.append(made.email)
            return made

        return make

    def leave(self) -> None:
        for email in self.emails:
            self._distant.leave(email)
        self.emails.clear()


class Missing:
    """Skips the test that asks for what this server has not."""

    def __init__(self, why: str):
        self._why = why

    def __getattr__(self, name: str) -> Any:
        pytest.skip(self._why)


class Distant(Site):
    """A server at BASE_URL: `scripts/run` of any folder, or staging. Nothing of it is emptied: it may be in use."""

    def __init__(self, url: str):
        super().__init__()
        self.url = url.rstrip("/")
        panel = find_panel(self.url)
        self.panel = panel
        why = f"{self.url} is no scripts/run whose panel is known (PANEL_URL): nobody there {{}}"
        self.stripe = Panel(panel) if panel else Missing(why.format("plays Stripe, a bank or a mailbox"))
        self.states = Recorded(panel) if panel else Missing(why.format("makes a state to begin with"))

    @contextmanager
    def visit(self) -> Iterator[Site]:
        """Afterwards what it made is closed, and Stripe's stand-in behaves as in the beginning."""
        yield self
        if self.panel:
            self.states.leave()
            self.stripe.control("release", {"discard": True})
            self.stripe.control("webhooks", {"mode": "deliver"})
            self.stripe.control("settings", {"settle_seconds": 4})
            self.stripe.control("faults", {})

    def address(self, name: str) -> str:
        address = super().address(name)
        if self.panel:
            self.states.emails.append(address)
        return address

    def mails_to(self, email: str) -> list[dict[str, str]]:
        return list(self.stripe.control(f"mails?to={email}")["mails"])


def find_panel(url: str) -> str | None:
    """Where the panel of that run is: told by PANEL_URL, in its usual place, or where its payment page leads."""
    if given := os.environ.get("PANEL_URL"):
        return given.rstrip("/")
    if not is_here(url):
        return None
    usual = f"http://127.0.0.1:{PANEL_PORT}"
    return usual if _tells(usual, url) else next(filter(lambda found: _tells(found, url), _payment_page(url)), None)


def _tells(panel: str, url: str) -> bool:
    """Whether the panel sends its webhooks to that server."""
    with suppress(OSError, ControlError, ValueError):
        told = Panel(panel).control("webhooks")["url"]
        return urlsplit(told or "").port == urlsplit(url).port
    return False


def _payment_page(url: str) -> Iterator[str]:
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        form = BeautifulSoup(client.get("/").text, "html5lib").select("form#buy input")
        fields = {str(field["name"]): str(field["value"]) for field in form}
        answer = client.post("/buy", data=fields, headers={"Origin": url})
        place = urlsplit(answer.headers.get("Location", ""))
        if place.netloc:
            yield f"{place.scheme}://{place.netloc}"
