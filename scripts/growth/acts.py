"""What customers and operators do, done by the app itself on an emulator in this process, with its calls counted."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any
from unittest.mock import patch

import boto3
from botocore.config import Config as BotoConfig
from flask import Flask
from moto import mock_aws

from app import create_app
from app.data import Store
from app.data.outbox import one_key
from app.data.table_setup import create_tables
from app.domain.accounts import BROWSER, AccountKey
from app.domain.sales import GUEST, MARK
from app.services import accounts, payments, queue
from app.services.mail import deliver_due
from app.services.passwords import Passwords
from app.web import deps
from scripts.benchmarks.recorded import Answer
from scripts.benchmarks.world import WORDS, Visitor, World
from scripts.growth.meter import Meter, Units, Where

ANSWER = "The second quote is the best value: it is a tenth dearer and has three years of service in it. " * 8
PASSWORD = "a password that only the measurement uses"  # noqa: S105
OPERATOR = "op@example.com"
OF_ONE = re.compile(r"customer\.|acc_|task_")  # names one account, or what belongs to it
PAGE = 20  # tasks of the history that a dashboard shows


@dataclass
class Act:
    """Units of one on average, and what of them stood under keys that other accounts' acts share."""

    read: float
    write: float
    shared_reads: dict[Where, float] = field(default_factory=dict)
    shared_writes: dict[Where, float] = field(default_factory=dict)


@dataclass
class Measured:
    acts: dict[str, Act]
    rows: dict[str, tuple[int, dict[str, float]]]
    """By table: rows that were made, and bytes of one, of the table (under "") and of each index."""


class Quiet:
    """Takes every mail."""

    def send(self, *, to: str, subject: str, text: str, html: str, headers: Mapping[str, str]) -> str:
        return "taken"


class InProcess(World):
    """The app over an emulator in this process. Its tables are those of tables.py."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.meter = Meter(client, "ImpacterAGI_")
        create_tables(client, "ImpacterAGI_")
        self.store = Store(self.meter, "ImpacterAGI_")
        self.direct_app = self.app(1)
        self.operator: Visitor = self.account(OPERATOR, credits=10, operator=True)

    def app(self, dynamodb_port: int) -> Flask:
        sender: Any = Quiet()
        return self.hushed(create_app(self.config(dynamodb_port), store=self.store, sender=sender))


def measure(*, alone: bool) -> Measured:
    """`alone`: with OUTBOX_ONE_KEY=0, as it is once the release before has ended."""
    keys = {"AWS_ACCESS_KEY_ID": "here", "AWS_SECRET_ACCESS_KEY": "here"}
    with mock_aws(), patch.dict(os.environ, keys):
        client = boto3.client("dynamodb", region_name="us-east-1", config=BotoConfig(parameter_validation=False))
        world = InProcess(client)
        one_key.kept = not alone
        try:
            return _measure(world)
        finally:
            one_key.kept = True


def _measure(world: InProcess) -> Measured:
    people = [_Customer(world, f"customer.{name}@example.com") for name in ("adams", "birch")]
    for person in people:
        person.fill()
    found: dict[str, list[Units]] = {}
    for name in ACTS:
        for person in people:
            with world.meter.act() as units:
                ACTS[name](person)
            found.setdefault(name, []).append(units)
    shared = _shared(list(found.values()))
    return Measured({name: _joined(each, shared) for name, each in found.items()}, world.meter.stored())


def _shared(found: list[list[Units]]) -> set[Where]:
    """Keys that what was done for one account has in common with what was done for the other."""

    def touched(person: int) -> set[Where]:
        return {
            _spread(where)
            for units in found
            for where in (*units[person].read_at, *units[person].write_at)
            if not OF_ONE.search(where[1])
        }

    return touched(0) & touched(1)


def _spread(where: Where) -> Where:
    """A shard is like any other of its kind, and so is a part of an address."""
    if where[0] == "SearchKeys":
        return where[0], "a part of an address"
    key = re.sub(r"#\d{1,2}$", "#n", where[1])
    key = re.sub(r"\d{4}-\d\d-\d\d", "<day>", key)
    return where[0], re.sub(r"\d{4}-\d\d", "<month>", re.sub(r"/[\d.]+/.*", "/<address>/<window>", key))


def _joined(units: list[Units], shared: set[Where]) -> Act:
    def of_keys(at: Callable[[Units], dict[Where, float]]) -> dict[Where, float]:
        found: dict[Where, float] = defaultdict(float)
        for each in units:
            for where, cost in at(each).items():
                if _spread(where) in shared:
                    found[_spread(where)] += cost / len(units)
        return dict(found)

    reads, writes = sum(each.read for each in units), sum(each.write for each in units)
    shared_keys = of_keys(lambda u: u.read_at), of_keys(lambda u: u.write_at)
    return Act(reads / len(units), writes / len(units), *shared_keys)


class _Customer:
    """One account and what is done with it; two of them never share a key but those that all share."""

    def __init__(self, world: InProcess, email: str) -> None:
        self.world, self.store, self.email = world, world.store, AccountKey(email)
        self.visitor = world.account(email, credits=100_000, tasks=PAGE)
        self.new = f"new.{email}"
        self.task_id = ""
        self._numbers = count()

    def fill(self) -> None:
        """A first time of each, so that what is measured is the rule: rows of the day are there, and so is a mail."""
        self.submit()
        self.claim()
        self.complete()
        self.send_mails()

    def ask(self, environ: dict[str, Any], status: int) -> None:
        answer = Answer(self.world.direct_app, environ)
        if answer.status != status:
            raise RuntimeError(f"{environ['PATH_INFO']} answered {answer.status}, not {status}: {answer.body[:300]!r}")

    def sign_up(self) -> None:
        accounts.sign_up(self.store, Passwords(4), self.new, PASSWORD, now=datetime.now(UTC), kind=BROWSER)

    def sign_in(self) -> None:
        client = self.world.direct_app.test_client()
        token = client.get("/login").text.partition('name="csrf_token" value="')[2].partition('"')[0]
        answer = client.post("/login", data={"csrf_token": token, "email": self.new, "password": PASSWORD})
        if answer.status_code != 303:
            raise RuntimeError(f"/login answered {answer.status_code}")

    def buy(self) -> None:
        name = self.email.partition("@")[0]  # the log tells of these ids, and of no address
        session = f"cs_{name}"
        thing = {
            "id": session,
            "object": "checkout.session",
            "mode": "payment",
            "livemode": False,
            "amount_subtotal": 1000,
            "amount_total": 1000,
            "currency": "usd",
            "customer": None,
            "customer_details": {"email": self.email},
            "payment_intent": f"pi_{name}",
            "payment_status": "paid",
            "status": "complete",
            "metadata": {"sold_by": MARK, "buyer": GUEST, "credits": "1000", "price_cents": "1000"},
        }
        told = {"id": f"evt_{session}", "object": "event", "type": "checkout.session.completed", "livemode": False}
        event = told | {"created": int(time.time()), "data": {"object": thing}}
        payments.handle_event(self.store, event, livemode=False, now=datetime.now(UTC))

    def look(self) -> None:
        self.ask(self.visitor.get("/dashboard"), 200)

    def poll(self) -> None:
        with self.world.meter.act():  # the tag is what the page has; reading it here costs the page nothing
            version = self.store.accounts.get(self.email).version
        self.ask(self.visitor.get("/dashboard/live", HX_Request="true", HX_PTag=str(version)), 304)

    def poll_news(self) -> None:
        self.ask(self.visitor.get("/dashboard/live", HX_Request="true", HX_PTag="of before"), 200)

    def submit(self) -> None:
        number = next(self._numbers)
        self.ask(self.visitor.submit(f"{self.email}-{number}", f"{number}. {WORDS}"), 200)
        with self.world.meter.act():
            self.task_id = self.store.tasks.page(self.email, limit=1, status="pending").items[0].task_id

    def read_task(self) -> None:
        self.ask(self.visitor.get(f"/tasks/{self.task_id}"), 200)

    def claim(self) -> None:
        queue.claim(self.store, OPERATOR, self.task_id, now=datetime.now(UTC))

    def complete(self) -> None:
        queue.complete(self.store, OPERATOR, self.task_id, ANSWER, now=datetime.now(UTC))

    def send_mails(self) -> None:
        """One mail; a look that finds none is an act of its own."""
        found = self.world.direct_app.extensions[deps.KEY]
        deliver_due(self.store, found.mail_room, found.sender, now=datetime.now(UTC))

    def watch_queue(self) -> None:
        self.ask(self.world.operator.get("/admin"), 200)

    def search(self) -> None:
        self.ask(self.world.operator.get("/admin/customers?q=customer"), 200)


ACTS: dict[str, Callable[[_Customer], None]] = {
    "sign up": _Customer.sign_up,
    "send a mail": _Customer.send_mails,
    "sign in": _Customer.sign_in,
    "buy a pack": _Customer.buy,
    "send its receipt": _Customer.send_mails,
    "look for mails in vain": _Customer.send_mails,
    "open the dashboard": _Customer.look,
    "poll, nothing new": _Customer.poll,
    "poll, something new": _Customer.poll_news,
    "submit a task": _Customer.submit,
    "read a task": _Customer.read_task,
    "claim a task": _Customer.claim,
    "complete a task": _Customer.complete,
    "tell of a task that is done": _Customer.send_mails,
    "look at the queue": _Customer.watch_queue,
    "search for a customer": _Customer.search,
}
