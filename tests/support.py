"""Makers of accounts and Stripe events, fakes of the gateways, and the check of the books."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from urllib3 import HTTPConnectionPool

from app.data import Store
from app.data import transaction as transactions
from app.data.wire import Wire
from app.domain.accounts import BROWSER, Account, AccountKey, Session, new_account_id
from app.domain.api_keys import TASKS_READ, TASKS_WRITE, wishes
from app.domain.clock import utcnow
from app.domain.credits import CLAWBACK, PROMO, SPEND, LedgerEntry, post
from app.domain.errors import NotFound, PaymentsUnavailable
from app.domain.sales import GUEST, MARK
from app.gateways.ses import MailRefused
from app.services import api_keys, ledger_figures
from app.services.passwords import Passwords

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
_numbers = itertools.count(1)
Told = TypeVar("Told")


def in_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts for one account take no turns, as those of several processes: a rival that is begun in the middle of
    an act would wait for it, a second long, and then go on all the same."""
    monkeypatch.setattr(transactions, "_turn", lambda _key: nullcontext())


@cache
def _hashed() -> str:
    """Of PASSWORD, once for all: half of what an account costs."""
    return Passwords(4).hash(PASSWORD)


def make_account(store: Store, email: str = "ada@example.com", *, credits: int = 0, **attributes: Any) -> Account:
    """A confirmed customer with a password, whose credits are explained by one ledger row."""
    every: dict[str, Any] = {"confirmed_at": NOW, "password_hash": _hashed()} | attributes
    account = Account(email=AccountKey(email), account_id=new_account_id(), created_at=NOW, **every)
    with store.transaction() as tx:
        if credits:
            kind = PROMO if credits > 0 else CLAWBACK
            gift = LedgerEntry(f"promo#{email}", AccountKey(email), kind, credits, "To begin with")
            posted, account = post(account, gift, NOW)
            tx.ledger.append_once(posted)
        tx.accounts.create(account)
    return replace(account, searched_by=(email,))


def make_operators(store: Store, *emails: str) -> None:
    """Operators in good standing, where there are none of these addresses yet."""
    for email in emails or ("op@example.com",):
        if store.accounts.find(AccountKey(email)) is None:
            make_account(store, email, role="admin")


def make_key(
    store: Store,
    email: str = "ada@example.com",
    scopes: Iterable[str] = (TASKS_READ, TASKS_WRITE),
    *,
    name: str = "Nightly",
    monthly: int | None = None,
    days: int | None = None,
    now: datetime | None = None,
) -> str:
    """A new API key, made in a session that has proven a second factor: itself, not its row."""
    account, now = store.accounts.get(AccountKey(email)), now or utcnow()
    wanted = wishes(name, scopes, monthly, days, operator=account.is_operator)
    proven = Session("a" * 32, BROWSER, now, now, mfa_at=now)
    return api_keys.make(store, account, wanted, proven, now=now)[1]


def session_event(
    email: str | None = "ada@example.com",
    *,
    cents: int = 1000,
    session: str | None = None,
    payment_intent: str | None = "",
    type: str = "checkout.session.completed",
    **fields: Any,
) -> dict[str, Any]:
    """A Checkout Session event as Stripe sends it, of one that this app opened for a guest.

    `fields` replace those of the session; `metadata={}` makes it a sale of somebody else's.
    """
    number = next(_numbers)
    price = str(fields.get("amount_subtotal", cents))
    session = session or f"cs_test_{number}"
    return event(
        type,
        {
            "id": session,
            "object": "checkout.session",
            "amount_subtotal": cents,
            "amount_total": cents,
            "currency": "usd",
            "customer": None,
            "customer_details": {"email": email} if email else None,
            "livemode": False,
            "metadata": {"sold_by": MARK, "buyer": GUEST, "credits": price, "price_cents": price},
            "mode": "payment",
            "payment_intent": f"pi_{session}" if payment_intent == "" else payment_intent,
            "payment_status": "paid",
            "status": "complete",
        }
        | fields,
    )


def event(type: str, thing: dict[str, Any]) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "id": f"evt_{number}",
        "object": "event",
        "type": type,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": thing},
    }


def signed(payload: bytes, secret: str = "whsec_newest", at: float | None = None) -> str:
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def post_webhook(client: Any, event: Any, **headers: str) -> Any:
    payload = event if isinstance(event, bytes) else json.dumps(event).encode()
    headers = {"Stripe-Signature": signed(payload)} | headers
    return client.post("/api/stripe/webhook", data=payload, headers=headers, content_type="application/json")


@dataclass
class FakeSesAccount:
    """SES in order: production access, a verified and signed domain, quota left, nobody suppressed."""

    account: dict[str, Any] = field(
        default_factory=lambda: {
            "ProductionAccessEnabled": True,
            "SendingEnabled": True,
            "EnforcementStatus": "HEALTHY",
            "SendQuota": {"Max24HourSend": 50_000.0, "SentLast24Hours": 200.0},
        }
    )
    identities: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "impacteragi.com": {
                "VerifiedForSendingStatus": True,
                "DkimAttributes": {"SigningEnabled": True, "Status": "SUCCESS"},
            }
        }
    )
    listed: list[str] = field(default_factory=list)

    def sending(self) -> dict[str, Any]:
        return self.account

    def identity(self, name: str) -> dict[str, Any] | None:
        return self.identities.get(name)

    def suppressed(self) -> tuple[list[str], bool]:
        return self.listed, False


@dataclass
class FakeStripeAccount:
    """Stripe's account in order; `hooks` are its webhook endpoints, `lacking` what the key may not read."""

    told: dict[str, Any] = field(default_factory=lambda: {"id": "acct_1", "charges_enabled": True})
    hooks: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    refused: Exception | None = None

    def who(self) -> dict[str, Any]:
        return self._answer(self.told)

    def endpoints(self) -> list[dict[str, Any]]:
        return self._answer(self.hooks)

    def undelivered(self, since: datetime, types: list[str]) -> list[dict[str, Any]]:
        return self._answer(self.events)

    def unreadable(self) -> list[str]:
        return self._answer(self.lacking)

    def _answer(self, told: Told) -> Told:
        if self.refused:
            raise self.refused
        return told


@dataclass
class FakeSender:
    """Keeps what was sent; refuses while `down`."""

    down: bool = False
    account: FakeSesAccount = field(default_factory=FakeSesAccount)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def send(self, *, to: str, subject: str, text: str, html: str, headers: Mapping[str, str]) -> str:
        if self.down:
            raise MailRefused("ServiceUnavailable")
        self.sent.append({"to": to, "subject": subject, "text": text, "html": html, "headers": dict(headers)})
        return f"message-{len(self.sent)}"


@dataclass
class FakeStripe:
    """Answers as Stripe would; `sessions` are what it knows, `down` makes it fail."""

    down: bool = False
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkouts: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[tuple[str, int | None, str]] = field(default_factory=list)
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # what each session sold
    asked: list[str] = field(default_factory=list)
    catalogue: dict[str, dict[str, Any]] = field(default_factory=dict)
    emails: dict[str, str] = field(default_factory=dict)  # of customers, as they were changed
    account: FakeStripeAccount = field(default_factory=FakeStripeAccount)
    events: list[dict[str, Any]] = field(default_factory=list)  # what it told of, delivered or not
    endpoints: list[dict[str, Any]] = field(default_factory=list)

    def list_events(self, created_from: datetime, types: Iterable[str]) -> Iterator[dict[str, Any]]:
        self._answer()
        since = created_from.timestamp()
        wanted = [told for told in self.events if told["created"] >= since and told["type"] in types]
        yield from sorted(wanted, key=lambda told: -told["created"])

    def list_webhook_endpoints(self) -> Iterator[dict[str, Any]]:
        self._answer()
        yield from self.endpoints

    def ensure_customer(self, account_id: str, email: str) -> str:
        self._answer()
        return f"cus_{account_id}"

    def change_customer_email(self, customer_id: str, email: str) -> None:
        self._answer()
        self.emails[customer_id] = email

    def create_checkout(self, **details: Any) -> dict[str, Any]:
        self._answer()
        self.checkouts.append(details)
        return {"id": "cs_test_new", "url": "https://checkout.stripe.com/c/pay/cs_test_new"}

    def create_guest_checkout(self, **details: Any) -> dict[str, Any]:
        return self.create_checkout(**details)

    def line_items(self, session_id: str) -> dict[str, Any]:
        self._answer()
        self.asked.append(session_id)
        return {"data": self.lines.get(session_id, [])}

    def find_catalogue_item(self, item_id: str) -> dict[str, Any] | None:
        self._answer()
        return self.catalogue.get(item_id)

    def get_session(self, session_id: str) -> dict[str, Any]:
        self._answer()
        if session_id not in self.sessions:
            raise NotFound
        return self.sessions[session_id]

    def receipt_url(self, payment_intent: str) -> str | None:
        self._answer()
        return f"https://pay.stripe.com/receipts/{payment_intent}"

    def refund(self, payment_intent: str, amount_cents: int | None, idempotency_key: str) -> dict[str, Any]:
        self._answer()
        self.refunds.append((payment_intent, amount_cents, idempotency_key))
        return {"id": "re_1", "status": "succeeded"}

    def _answer(self) -> None:
        if self.down:
            raise PaymentsUnavailable


def assert_books_agree(store: Store) -> None:
    """I1, I2, I3: every balance is the sum and the last line of its ledger, without a gap; every task has its spend.

    Rows of the original product have no place in the sequence; they count towards the sum.
    """
    ledger, accounts = list(store.ledger.every()), list(store.accounts.every())
    rows = defaultdict(list)
    for entry in ledger:
        rows[entry.user_email].append(entry)
    spends: dict[str, int] = {}
    for account in accounts:
        every = rows.pop(account.email, [])
        entries = sorted((e for e in every if not e.is_original), key=lambda e: e.sequence)
        assert [e.sequence for e in entries] == list(range(1, len(entries) + 1)), f"gap in {account.email}"
        balance = sum(e.amount for e in every if e.is_original)
        for entry in entries:
            balance += entry.amount
            assert entry.balance_after == balance
            if entry.type == SPEND:
                assert balance >= 0, "a spend took the balance below zero"
                assert entry.task_id is not None
                assert entry.task_id not in spends
                spends[entry.task_id] = entry.amount
        assert account.credits_balance == balance, f"balance of {account.email}"
        assert [e.listed_at for e in entries] == sorted({e.listed_at for e in entries})
    assert not rows, "ledger rows without an account"
    assert_figures_agree(store, ledger, accounts)
    tasks = [task for task in every_task(store) if "version" in task and not task.get("original")]
    assert {task["task_id"]: -task["credits_spent"] for task in tasks if not task.get("redo_of")} == spends
    for again in (task for task in tasks if task.get("redo_of")):  # free, once, and of a task that was paid for
        assert again["credits_spent"] == 0
        assert next(task for task in tasks if task["task_id"] == again["redo_of"])["redone_by"] == again["task_id"]


def assert_figures_agree(store: Store, ledger: Iterable[Any], accounts: Iterable[Account]) -> None:
    """Finance's figures are what the rows that they hold add up to, to the last."""
    count = ledger_figures.Count({account.email: account for account in accounts})
    for entry in ledger:
        count.add(entry)
    assert store.ledger_figures.by_place() == count.by_place()


def every_task(store: Store) -> list[dict[str, Any]]:
    from app.data.codec import decode_item

    return [decode_item(item) for page in store._scan_pages("Tasks") for item in page["Items"]]


def ledger(store: Store, email: str) -> list[Any]:
    """The account's rows, oldest first."""
    return sorted((e for e in store.ledger.every() if e.user_email == email), key=lambda e: e.sequence)


def all_mails(store: Store) -> list[Any]:
    from app.data.codec import decode_item
    from app.data.outbox import MAIL

    return [MAIL.record(decode_item(item)) for page in store._scan_pages("Outbox") for item in page["Items"]]


def note_calls(patched: pytest.MonkeyPatch, note: Callable[[str, bytes], None]) -> None:
    """`note` is told the operation and the body of each call that leaves for the store, on either way: one that is
    asked again is told again.
    """
    send, post = HTTPConnectionPool.urlopen, Wire.post

    def tell(target: str, body: bytes) -> None:
        service, _, name = target.partition(".")
        if service.startswith("DynamoDB"):
            note(name, body)

    def by_botocore(pool: Any, method: str, url: str, body: Any = None, headers: Any = None, **more: Any) -> Any:
        target = (headers or {}).get("X-Amz-Target", "")
        tell(target.decode() if isinstance(target, bytes) else target, body or b"")
        return send(pool, method, url, body=body, headers=headers, **more)

    def by_the_short_way(wire: Wire, head: bytes, body: bytes) -> Any:
        tell(head.partition(b"\r\nX-Amz-Target: ")[2].partition(b"\r\n")[0].decode(), body)
        return post(wire, head, body)

    patched.setattr(HTTPConnectionPool, "urlopen", by_botocore)
    patched.setattr(Wire, "post", by_the_short_way)


@contextmanager
def calls_made(monkeypatch: pytest.MonkeyPatch, *, consistent: bool = False) -> Iterator[list[Any]]:
    """Names of the calls that leave for the store inside the block; with `consistent`, and whether each asks for that.

    Noted where each way to the store ends, so a call that is asked again counts again.
    """
    made: list[Any] = []

    def note(name: str, body: bytes) -> None:
        made.append((name, b'"ConsistentRead": true' in body) if consistent else name)

    with monkeypatch.context() as patched:
        note_calls(patched, note)
        yield made


def interrupted(process: subprocess.Popen[bytes], seconds: float = 60) -> tuple[bytes, bytes]:
    """What it still says, on both ways, after Ctrl+C; if it goes on the test fails, and tells how it takes signals."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        told = {who: Path(f"/proc/{who}/status").read_text() for who in (process.pid, "thread-self")}
        lines = [f"{who}: {line}" for who, said in told.items() for line in said.splitlines() if SIGNALS.match(line)]
        process.kill()
        rest = process.communicate()
        pytest.fail("\n".join([f"Ctrl+C did not end it within {seconds} s.", *lines, repr(rest)]))


SIGNALS = re.compile("State|Threads|Sig")
