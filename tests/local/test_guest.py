"""Buying without an account on scripts/run itself: two workers, local AWS, the stand-in for Stripe, the mailbox."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from bs4 import BeautifulSoup

from app.config import Config
from app.data import Store
from app.data.client import make_client
from app.services.seed import CUSTOMER, OPERATOR
from scripts.local.ports import HOST
from scripts.local.settings import REPO, run_environment
from tests.local.local_run import Run
from tests.support import assert_books_agree, ledger

NEW = "guest@example.com"
PASSWORD = "a long enough phrase"
PATIENCE_SECONDS = 120.0


@dataclass
class Shop:
    """A run that is ready, as its visitors and as Stripe meet it, and its store to look into."""

    run: Run
    settings: dict[str, str]
    store: Store

    def stripe(self, path: str, **body: Any) -> dict[str, Any]:
        url = f"http://{HOST}:{self.run.ports['LOCAL_STRIPE_PORT']}/_control/{path}"
        answer = httpx.request("POST" if body else "GET", url, json=body or None, timeout=60, trust_env=False)
        assert answer.status_code < 300, answer.text
        return dict(answer.json())

    def until_told(self) -> None:
        """Until each webhook that is not withheld has been taken."""
        assert self.stripe("idle?seconds=60")["idle"]

    def mails(self, to: str) -> list[str]:
        url = f"http://{HOST}:{self.run.ports['LOCAL_AWS_PORT']}/_ministack/ses/messages"
        accounts = httpx.get(url, timeout=60, trust_env=False).json()["messages"].values()
        return [mail["BodyText"] for mails in accounts for mail in mails if mail["To"] == [to]]

    def mail(self, to: str, words: str) -> str:
        """The only mail to this address that has these words, once it has been sent."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := [text for text in self.mails(to) if words in text]):
            assert time.monotonic() < deadline, self.run.text()
            self.run.pause()
        (text,) = found
        return text

    def log(self) -> list[dict[str, Any]]:
        lines = (self.run.var_dir / "log" / "web.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def told_of_sales(self) -> list[str]:
        return [line["source"] for line in self.log() if line.get("alert") == "sale"]


@dataclass
class Visitor:
    """A browser without script, at an address of its own: limits by address do not join these tests."""

    shop: Shop
    address: str
    seen: list[tuple[int, list[str], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        transport = httpx.HTTPTransport(local_address=self.address)
        self.http = httpx.Client(base_url=self.shop.run.url, transport=transport, timeout=60, trust_env=False)

    def page(self, path: str, **headers: str) -> BeautifulSoup:
        answer = self.http.get(path, headers=headers, follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return BeautifulSoup(answer.text, "html5lib")

    def send(self, page: BeautifulSoup, form: str, **typed: str) -> httpx.Response:
        """Send this form of the page, as a browser does that knows no script."""
        found = page.select_one(form)
        assert found is not None, page
        assert found["method"] == "post"
        hidden = {str(given["name"]): str(given["value"]) for given in found.select("input[type=hidden]")}
        return self.http.post(str(found["action"]), data=hidden | typed, headers={"Origin": self.shop.run.url})

    def sign_in(self, email: str, password: str) -> None:
        answer = self.send(self.page("/login"), "form[action*='login']", email=email, password=password)
        assert answer.status_code == 303, answer.text

    def is_signed_in(self) -> bool:
        return self.http.get("/dashboard").status_code == 200

    def open_checkout(self) -> str:
        """Press the button of the front page; returns the Checkout Session at which that ends."""
        page = self.page("/")
        assert "Buy 1,000 credits without an account" in page.select_one("form#buy button").text
        answer = self.send(page, "form#buy")
        assert answer.status_code == 303, answer.text
        checkout = urlsplit(answer.headers["Location"])
        assert checkout.port == self.shop.run.ports["LOCAL_STRIPE_PORT"]
        return checkout.path.rpartition("/")[2]

    def look(self, session: str, *, poll: bool = False) -> str:
        """The return page, or what its own question gets; what can tell somebody something is kept in `seen`."""
        path = "/buy/return/status" if poll else "/buy/return"
        headers = {"HX-Request": "true"} if poll else {}
        answer = self.http.get(path, params={"session_id": session}, headers=headers)
        names = sorted(name for name in answer.headers if name not in ("date", "server"))
        told = re.sub(r'nonce="[^"]*"', "", answer.text.replace(session, "cs"))
        self.seen.append((answer.status_code, names, told))
        heading = BeautifulSoup(answer.text, "html5lib").select_one("h1")
        return heading.text if heading else answer.text


def buy(shop: Shop, visitor: Visitor, email: str, *, webhook_first: bool) -> str:
    """The whole way from the front page to "Paid"; returns the session, which Stripe has told twice by then."""
    session = visitor.open_checkout()
    assert [visitor.look(session, poll=poll) for poll in (False, True)] == ["Waiting for Stripe"] * 2
    shop.stripe("webhooks", mode="deliver" if webhook_first else "withhold")
    shop.stripe("pay", session=session, email=email)
    if webhook_first:
        shop.until_told()
    assert [visitor.look(session, poll=poll) for poll in (True, False)] == ["Paid: look in your mail"] * 2
    shop.stripe("webhooks", mode="deliver")
    shop.stripe("release", order="made")
    told = shop.stripe("events")["events"]
    paid = [event["id"] for event in told if event["data"]["object"]["id"] == session]
    for event in paid:
        shop.stripe("deliver", event=event, times=2)
    shop.until_told()
    assert paid
    return session


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    run = Run(tmp_path_factory.mktemp("guest") / "var").start()
    try:
        run.until_ready()
        settings = run_environment({"VAR_DIR": str(run.var_dir)})
        config = Config.from_env(settings)
        store = Store(make_client(config, endpoint_url=config.dynamodb_endpoint_url), config.table_prefix)
        yield Shop(run, settings, store)
    finally:
        run.end(signal.SIGTERM)


@pytest.fixture(autouse=True)
def books_agree(shop: Shop) -> Iterator[None]:
    yield
    assert_books_agree(shop.store)
    command = [sys.executable, "-m", "scripts.local.flask_command", "books", "check"]
    shell = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = shell | {"VAR_DIR": str(shop.run.var_dir)}
    check = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=300)
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.threat(103)
@pytest.mark.parametrize("webhook_first", [True, False])
def test_a_guest_pays_gets_the_mail_sets_a_password_and_has_the_credits(shop: Shop, webhook_first: bool) -> None:
    email = f"{webhook_first}-{NEW}".lower()
    visitor = Visitor(shop, f"127.0.1.{1 + webhook_first}")

    session = buy(shop, visitor, email, webhook_first=webhook_first)

    assert not visitor.is_signed_in(), "a payment signs nobody in"
    text = shop.mail(email, "Set a password")
    link = urlsplit(re.findall(rf"{shop.run.url}/set-password/\S+", text)[0]).path
    answer = visitor.send(visitor.page(link), "form[action='/set-password']", password=PASSWORD)
    assert answer.status_code == 303, answer.text
    assert visitor.is_signed_in()
    assert "1,000" in visitor.page("/dashboard").select_one("#balance").text
    assert [(row.transaction_id, row.amount) for row in ledger(shop.store, email)] == [(f"purchase#{session}", 1000)]
    assert len([text for text in shop.mails(email) if "Your payment" in text]) == 1


@pytest.mark.threat(45, 103)
@pytest.mark.parametrize("webhook_first", [True, False])
def test_the_way_back_tells_the_same_whether_the_payer_had_an_account(shop: Shop, webhook_first: bool) -> None:
    before = shop.store.accounts.get(CUSTOMER).credits_balance
    known, unknown = (Visitor(shop, f"127.0.2.{number + 2 * webhook_first}") for number in (1, 2))

    session = buy(shop, known, CUSTOMER, webhook_first=webhook_first)
    buy(shop, unknown, f"nobody-{webhook_first}@example.com".lower(), webhook_first=webhook_first)

    assert known.seen == unknown.seen
    assert all(CUSTOMER not in body and "set-cookie" not in names for _, names, body in known.seen[1:])
    assert not known.is_signed_in()
    assert shop.store.accounts.get(CUSTOMER).credits_balance == before + 1000
    rows = [row.amount for row in ledger(shop.store, CUSTOMER) if row.transaction_id == f"purchase#{session}"]
    assert rows == [1000]


@pytest.mark.threat(117, 118)
def test_a_customer_moves_to_another_mailbox_and_pays_from_there(shop: Shop) -> None:
    first, second = "mover@example.com", "moved@example.org"
    visitor = Visitor(shop, "127.0.5.1")
    buy(shop, visitor, first, webhook_first=True)
    link = urlsplit(re.findall(rf"{shop.run.url}/set-password/\S+", shop.mail(first, "Set a password"))[0]).path
    visitor.send(visitor.page(link), "form[action='/set-password']", password=PASSWORD)

    page = visitor.page("/account")
    answer = visitor.send(page, "form[action$='/account/email']", new_email=second, password=PASSWORD)
    assert answer.status_code == 303, answer.text
    for mailbox in (first, second):
        text = shop.mail(mailbox, "/address/agree/")
        link = urlsplit(re.findall(rf"{shop.run.url}/address/agree/\S+", text)[0]).path
        answer = visitor.send(visitor.page(link), "form[action$='/agree']")
        assert answer.status_code == 303, answer.text

    assert visitor.is_signed_in()
    assert second in visitor.page("/account").select_one("footer").text
    for mailbox in (first, second):
        assert shop.mail(mailbox, "has moved")
    account = shop.store.accounts.get(first)
    assert (account.address, account.credits_balance, account.stripe_behind) == (second, 1000, False)
    for payer in (second, first):
        shop.stripe("payment_link", email=payer, amount=1000, sells="credits")
        shop.until_told()
    assert shop.store.accounts.get(first).credits_balance == 2000
    (parked,) = [one for one in shop.store.payments.list_parked(limit=9).items if one.payer_email == first]
    assert "left" in (parked.parked_reason or "")
    again = Visitor(shop, "127.0.5.2")
    again.sign_in(second, PASSWORD)
    assert again.is_signed_in()


@pytest.mark.threat(103)
def test_an_address_that_opens_too_many_checkouts_is_told_so_and_loses_nothing(shop: Shop) -> None:
    visitor = Visitor(shop, "127.0.3.1")
    session = visitor.open_checkout()

    page = visitor.page("/")
    for _ in range(41):  # 20 an hour; the hour may change meanwhile
        answer = visitor.send(page, "form#buy")
        if answer.status_code != 303:
            break

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    words = " ".join(BeautifulSoup(answer.text, "html5lib").select_one("main").text.split())
    assert "There were too many attempts. Please try again in" in words
    assert Visitor(shop, "127.0.3.2").open_checkout()
    shop.stripe("pay", session=session, email="limited@example.com")
    shop.until_told()
    assert visitor.look(session) == "Paid: look in your mail"
    assert [row.amount for row in ledger(shop.store, "limited@example.com")] == [1000]


@pytest.mark.threat(103)
def test_a_book_that_is_told_again_and_again_is_kept_once_and_credited_once_when_it_is_named(shop: Shop) -> None:
    reader = "reader@example.com"
    sold = shop.stripe("payment_link", email=reader, sells="book", amount=2900)
    shop.until_told()
    session = sold["session"]["id"]
    (event,) = (each["id"] for each in shop.stripe("events")["events"] if each["data"]["object"]["id"] == session)

    def tell_again() -> None:
        shop.stripe("deliver", event=event, times=3)
        shop.stripe("deliver", event=event, as_new=True)
        shop.until_told()

    tell_again()
    assert shop.store.accounts.find(reader) is None
    assert [record.session_id for record in shop.store.payments.list_not_ours("plink_book", limit=9).items] == [session]
    assert shop.told_of_sales() == ["plink_book"]
    parked = shop.store.payments.list_parked(limit=9).items  # another test of this shop leaves one
    assert session not in [record.session_id for record in parked]
    visitor = Visitor(shop, "127.0.4.1")
    assert visitor.http.get("/buy/return", params={"session_id": session}).status_code == 404

    visitor.sign_in(OPERATOR, shop.settings["DEMO_PASSWORD"])
    page = visitor.page("/admin/finance/sales/plink_book")
    for status in (303, 409):
        answer = visitor.send(page, "form[action$='/name']", reason="it sells credits since May")
        assert answer.status_code == status, answer.text
    tell_again()

    assert [row.transaction_id for row in ledger(shop.store, reader)] == [f"purchase#{session}"]
    assert shop.store.payments.list_not_ours("plink_book", limit=9).items == []
    assert "Set a password" in shop.mail(reader, "Your payment")
    assert [row.action for row in shop.store.audit.page_of("plink_book", limit=9).items] == ["sale.name"]
    assert shop.told_of_sales() == ["plink_book"]
