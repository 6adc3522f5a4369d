"""The JSON API against its own description: made-up requests, good and bad, to every call of it.

Schemathesis makes the requests out of the OpenAPI document, and each answer must be one that the document promises. A
run makes the same requests each time; with FUZZ_EXAMPLES=500 it makes about that many for each call, always new ones.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from itertools import count
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import hypothesis.core
import pytest
import requests
import schemathesis.pytest.plugin
from hypothesis import HealthCheck, Phase, settings
from hypothesis.vendor.pretty import RepresentationPrinter
from schemathesis.checks import (
    allow_header_conformance,
    not_a_server_error,
    positive_data_acceptance,
    unsupported_method,
)
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation

from app.data.rate_limits import RateLimitStorage
from app.domain.accounts import API, Session, new_session_id, session_key
from app.domain.api_keys import key_id_of
from app.domain.clock import utcnow
from app.domain.payments import READERS
from app.services import codes, queue, tasks, webhooks
from app.services.webhooks import Wishes
from app.web.openapi import document
from scripts.local.aws import keep_or_put_back
from tests.described import described_calls, parts, strict
from tests.routes.test_webhooks import Public
from tests.support import PASSWORD, assert_books_agree, make_account, make_key, session_event, signed

# Left out of all other runs by pyproject.toml: its import alone takes most of a second.
pytest_plugins = ["schemathesis.pytest.plugin"]

# Schemathesis gives Hypothesis a printer that prints nothing: the other tests of a run keep the one that tells why.
SILENT = hypothesis.core.RepresentationPrinter
hypothesis.core.RepresentationPrinter = RepresentationPrinter

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SETTINGS = settings(
    max_examples=EXAMPLES or 20,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CUSTOMER, STRANGER, OPERATOR = "ada@example.com", "bob@example.com", "op@example.com"
STORY = [
    *("submit_task", "get_task", "cancel_task", "redo_task"),
    *("claim_next", "renew", "release", "complete", "reject", "get_any_task"),
]
# What a call is not held to, each with its reason; everything else is held to every check that schemathesis has.
# A good request that is refused all the same, for what no schema says:
NOT_ALWAYS_TAKEN = {
    "list_tasks": "the order of changes goes with none of the filters, which is a 400 that says so",
    "redeem": "a code is taken once by a person, and the second time is a 422 of its field",
    "make_webhook": "its address is one that is refused: `fill` sees to it that nobody looks a made-up host up",
    "change_webhook": "the same",
    "stripe_webhook": "one event in eight is not signed by Stripe, and some are about what nobody has bought here",
}
# Paths whose other methods are another call's: a GET of /api/tasks/batch asks for a task of that name, and is a 404.
OTHER_METHODS = (allow_header_conformance, unsupported_method)
NAMES_OF_TASKS = {
    "/api/admin/tasks/claim",
    "/api/tasks/batch",
    "/api/tasks/cancel",
}
KEPT: dict[str, tuple[float, dict[str, Any]]] = {}  # when it was made, and what a World knows of it
MADE = ("account_id", "task_ids", "files", "hook", "key_id")
FRESH_SECONDS = 600  # a lease is lost after half an hour
CODE, PACK = "SPRING-2026", "pack-1000"
ODD = [None, True, 5, -1, 10**30, 1.5, "", "\x00", "cs_1", "usd", "Ada@Example.com", [], {}, {"id": "cus_1"}]
CONFIG = {
    **({} if EXAMPLES else {"seed": 1}),
    "base-url": "http://localhost",
    "generation": {"with-security-parameters": False},  # each request has a good token; ignored_auth tries without
    "analysis": {"constants": {"enabled": bool(EXAMPLES)}},  # they come in another order each time
    "phases": {"stateful": {"generation": {"mode": "positive"}}},
    "checks": {
        # A good request also meets tasks in every state, and an empty purse.
        "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", "402", "404", "409", "429"]},
        # What is too long for a field may be too long for a body, and is refused before it is read.
        "negative_data_rejection": {
            "expected-statuses": ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]
        },
    },
}


def to_ask(described: dict[str, Any]) -> dict[str, Any]:
    """Read as the whole truth; texts too long for Hypothesis are left to other tests."""
    made = strict(described)
    for part in parts([call for path in made["paths"].values() for call in path.values()]):
        if part.get("maxLength", 0) > 10_000:
            del part["maxLength"]
    return made


class Front:
    """The app of the test that runs, and Stripe in front of it: most events are signed, whatever is in them."""

    app: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].endswith("/webhook") and "HTTP_STRIPE_SIGNATURE" in environ:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            if zlib.crc32(body) % 8:
                environ["HTTP_STRIPE_SIGNATURE"] = signed(body)
        return self.app(environ, start_response)


schema = schemathesis.openapi.from_dict(
    to_ask(document(described_calls(), "http://localhost")), config=SchemathesisConfig.from_dict(CONFIG)
)
schema.app = front = Front()
over_http = schemathesis.openapi.from_dict(
    to_ask(document(described_calls(), "http://localhost")), config=SchemathesisConfig.from_dict(CONFIG)
)


class Stripe(requests.Session):
    """Signs what `Front` signs, on its way to a server."""

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        if request.path_url.partition("?")[0].endswith("/webhook") and "Stripe-Signature" in request.headers:
            body = request.body.encode() if isinstance(request.body, str) else request.body or b""
            if zlib.crc32(body) % 8:
                request.headers["Stripe-Signature"] = signed(body)
        return super().send(request, **more)


@dataclass
class World:
    """A customer with tasks in every state, an operator who holds some of them, a stranger, and a code."""

    app: Any
    store: Any
    account_id: str = ""
    task_ids: list[str] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    hook: dict[str, str] = field(default_factory=dict)  # ids of a webhook endpoint and of what was sent to it
    key_id: str = ""
    numbers: Iterator[int] = field(default_factory=count)  # of keys, whose names are taken once

    @property
    def known(self) -> dict[str, Any]:
        """What stands in paths."""
        by_id = {"account_id": self.account_id, "key_id": self.key_id}
        by_id |= {"payment_id": "pi_none"}  # Stripe answers nobody here: tests/routes/test_transactions.py has receipts
        return {"task_id": self.task_ids[0], "email": CUSTOMER, "number": 1, **by_id, **self.hook}

    def headers(self, email: str | None) -> dict[str, str]:
        plain = {"Accept-Encoding": "identity"}
        return plain | {"Authorization": f"Bearer {self.token(email)}"} if email else plain

    def headers_for(self, case: Any) -> dict[str, str]:
        email = OPERATOR if "/admin/" in case.path else CUSTOMER
        if case.path.endswith("/logout"):
            self.tokens.pop(email, None)
        return self.headers(email)

    def token(self, email: str) -> str:
        if email not in self.tokens:
            now, session_id = utcnow(), new_session_id()
            session = Session(session_key(session_id), API, now, now)
            self.store.updates.accounts.add_session(self.store.accounts.get(email), session, now)
            self.tokens[email] = self.app.extensions["impacteragi"].tokens.issue(email, session_id, now)
        return self.tokens[email]

    def fill(self, case: Any, *, path: bool = True) -> bool:
        """Let a good part of a request name what is there, for a made-up id is a 404 and a made-up code is none.

        One in eight stays as it was made up. Returns whether a good request must be accepted now.
        """
        if isinstance(case.body, dict) and isinstance(case.body.get("url"), str):
            case.body["url"] = "https://[::1]/hooks"  # refused: nobody is asked where a made-up name is
        made_up = (case.path_parameters if path else {}, case.query, case.body if isinstance(case.body, dict) else {})
        luck = zlib.crc32(repr(made_up).encode("utf-8", "replace"))
        if luck % 8 == 0:
            return False
        luck //= 8
        if path and not case.meta.is_negative_at(ParameterLocation.PATH):
            known = self.known | {"task_id": self.task_ids[luck % len(self.task_ids)]}
            case.path_parameters.update({name: known[name] for name in case.path_parameters})
        if "email" in case.query and not case.meta.is_negative_at(ParameterLocation.QUERY):
            case.query["email"] = CUSTOMER
        if "wait" in case.query and not case.meta.is_negative_at(ParameterLocation.QUERY):
            case.query["wait"] = luck % 2  # seconds: nothing happens meanwhile
        if "cursor" in case.query and not case.meta.is_negative_at(ParameterLocation.QUERY):
            case.query["cursor"] = ""
        if "updated_since" in case.query and not case.meta.is_negative_at(ParameterLocation.QUERY):
            either = "updated_until" if luck % 2 else "wait"  # what goes with one another, no schema says
            alone = {"limit", "cursor", "updated_since", either}
            case.query = {name: value for name, value in case.query.items() if name in alone}
        elif not case.meta.is_negative_at(ParameterLocation.QUERY) and case.path == "/api/tasks":
            case.query = {name: case.query[name] for name in case.query.keys() - {"updated_until", "wait"}}
        if isinstance(case.body, dict) and not case.meta.is_negative_at(ParameterLocation.BODY):
            self._fill_body(case, luck)
        for given in (case.query, case.body):  # JSON Schema takes 5.0 for an integer; a count of credits is none
            for name, value in given.items() if isinstance(given, dict) else ():
                given[name] = int(value) if isinstance(value, float) and value.is_integer() else value
        return case.operation.definition.raw["operationId"] not in NOT_ALWAYS_TAKEN

    def _fill_body(self, case: Any, luck: int) -> None:
        name, body = case.operation.definition.raw["operationId"], case.body
        if "password" in body:
            body.update(password=PASSWORD)
        if name == "signup":
            body.update(email=f"customer-{luck % 1000}@example.com", password=PASSWORD)
        elif name == "login":
            body.update(email=CUSTOMER, password=PASSWORD)
        elif name == "redeem":
            body.update(code=CODE)
        elif name == "make_key":
            body.update(name=f"Key {next(self.numbers)}", scopes=["tasks:read"], password=PASSWORD)
        elif name == "submit_batch":
            for task in body["tasks"][2:]:  # how many references and tags fit together, no schema says
                task.pop("tags", None), task.pop("reference", None)
        elif name == "buy":
            body.update(pack_id=PACK)
        elif name == "complete":
            body.update(result="Done.", files=self.files.get(case.path_parameters["task_id"], []))
        elif name in ("adjust", "adjust_by_address"):
            body.update(amount=max(body["amount"], -1))
        elif name == "stripe_webhook":
            kinds = list(READERS)
            event = session_event(CUSTOMER, session=f"cs_{luck % 5}", type=kinds[luck % len(kinds)])
            thing = event["data"]["object"] | {"amount": luck % 1000, "charge": "ch_1", "reason": "fraudulent"}
            odd = list(thing)[luck % len(thing)]
            thing[odd] = ODD[luck % len(ODD)] if luck % 3 else thing[odd]
            case.body = event | {"data": {"object": thing}}


@pytest.fixture(autouse=True)
def silent_hypothesis(monkeypatch):
    monkeypatch.setattr(hypothesis.core, "RepresentationPrinter", SILENT)


@pytest.fixture
def world(app, store, monkeypatch) -> World:
    monkeypatch.setattr(RateLimitStorage, "incr", lambda *_, **__: 0)  # or most answers would be a 429
    front.app = app
    return populated(World(app, store))


def populated(made: World) -> World:
    """Made once, and put back in one call for whoever begins with it, as long as its leases are young."""
    made_at, same = KEPT.get("world", (0.0, {}))
    port = urlsplit(made.store.client.meta.endpoint_url).port or 0
    if same and monotonic() - made_at < FRESH_SECONDS and keep_or_put_back(port, "back", "fuzz"):
        return replace(made, **deepcopy(same))
    populate(made)
    if "DYNAMODB_ENDPOINT_URL" not in os.environ and keep_or_put_back(port, "keep", "fuzz"):
        KEPT["world"] = monotonic(), {name: deepcopy(getattr(made, name)) for name in MADE}
    return made


def populate(made: World) -> None:
    store, files = made.store, made.app.extensions["impacteragi"].files
    files.create_bucket()
    make_account(store, CUSTOMER, credits=300)
    made.key_id = key_id_of(make_key(store, CUSTOMER))
    ada = store.accounts.get(CUSTOMER)
    made.account_id = str(ada.account_id)
    make_account(store, STRANGER)
    make_account(store, OPERATOR, role="admin")
    now = utcnow()
    terms = {"credits_each": 50, "max_uses": 9, "expires_at": now + timedelta(1)}
    codes.create(store, CODE, created_by=OPERATOR, limit=5000, now=now, **terms)
    for number in range(8):
        done = tasks.submit(store, ada, f"Task {number}", now=utcnow(), idempotency_key=f"task-{number}")
        ada = done.account
        made.task_ids.append(done.task.task_id)
    for task_id in made.task_ids[:5]:
        queue.claim(store, OPERATOR, task_id, now=utcnow())
        made.files[task_id] = [files.put(task_id, "report.txt", b"x").key.rpartition("/")[2]]
    plain, with_file, rejected, *_, cancelled = made.task_ids
    report = files.find(with_file, made.files[with_file][0])
    queue.complete(store, OPERATOR, plain, "Done.", now=utcnow())
    queue.complete(store, OPERATOR, with_file, "Done.", files=[report], now=utcnow())
    queue.reject(store, OPERATOR, rejected, "Not possible", now=utcnow())
    queue.cancel(store, store.accounts.get(CUSTOMER), cancelled, now=utcnow())
    ada = store.accounts.get(CUSTOMER)
    wanted = Wishes("https://example.com/hooks", ("task.completed",), "Results")
    endpoint, _ = webhooks.make(store, made.app.extensions["impacteragi"].sealer, Public(), ada, wanted, now=utcnow())
    sent = webhooks.test(store, store.accounts.get(CUSTOMER), endpoint.endpoint_id, now=utcnow())
    made.hook = {"endpoint_id": endpoint.endpoint_id, "delivery_id": sent.delivery_id}


@pytest.mark.threat(19, 86)
@schema.parametrize()
@SETTINGS
def test_every_answer_is_as_described_when_requests_are_made_up(case, world):
    excluded = [] if world.fill(case) else [positive_data_acceptance]  # a made-up id or code is none
    if case.path in NAMES_OF_TASKS:
        excluded += OTHER_METHODS
    case.call_and_validate(headers=world.headers_for(case), excluded_checks=excluded)


@pytest.fixture
def served(app, store, server) -> World:
    """The same world behind two workers; the limits are in force there, so that some answers are a 429."""
    return populated(World(app, store))


@pytest.mark.threat(19, 86)
@over_http.parametrize()
@settings(SETTINGS, max_examples=EXAMPLES or 3)
def test_every_answer_of_two_workers_is_as_described_when_requests_are_made_up(case, served, server):
    excluded = [] if served.fill(case) else [positive_data_acceptance]  # a made-up id or code is none
    if case.path in NAMES_OF_TASKS:
        excluded += OTHER_METHODS
    if case.path == "/api/checkout":  # nobody answers for Stripe there: a described 503, and never a 500, as for all
        excluded += [not_a_server_error, positive_data_acceptance]
    with Stripe() as session:
        headers = served.headers_for(case)
        answer = case.call_and_validate(base_url=server.url, session=session, headers=headers, excluded_checks=excluded)
    assert answer.status_code != 500


@pytest.mark.threat(85, 88)
def test_nothing_opens_when_somebody_else_asks(world):
    known = world.known
    for operation in (result.ok() for result in schema.get_all_operations()):
        ids = {name: known[name] for name in known if f"{{{name}}}" in operation.path}
        case = operation.Case(path_parameters=ids, body={"note": "x"}, media_type="application/json")

        def status(email: str | None, case: Any = case) -> int:
            excluded = [positive_data_acceptance]
            return case.call_and_validate(headers=world.headers(email), excluded_checks=excluded).status_code

        if operation.definition.raw["security"]:
            assert status(None) == 401, operation.label
        if "operators" in operation.tags:
            assert status(CUSTOMER) == 403, operation.label
        elif {"task_id", "key_id", "endpoint_id"} & ids.keys():
            # What is sent along is judged first, and says nothing of whose it is.
            assert status(STRANGER) in (404, 422), operation.label
            if not operation.body or operation.path.endswith("/redo"):
                assert status(STRANGER) == 404, operation.label


@pytest.mark.threat(24, 25)
def test_books_agree_when_calls_follow_each_other(world, fresh_tables):
    """Tasks are submitted, claimed, completed, cancelled and redone along the links of the document."""

    class Story(schema.include(operation_id=STORY).as_state_machine()):  # type: ignore[misc]
        def setup(self):
            fresh_tables()
            self.world = populated(World(world.app, world.store))

        def get_call_kwargs(self, case):
            return {"headers": self.world.headers_for(case)}

        def before_call(self, case):
            self.world.fill(case, path=False)

        def validate_response(self, response, case, additional_checks=None, *, headers):
            excluded = [positive_data_acceptance]  # a task of the story may have moved on
            case.validate_response(response, headers=headers, recorder=self.recorder, excluded_checks=excluded)

        def teardown(self):
            assert_books_agree(self.world.store)

    Story.run(settings=settings(SETTINGS, max_examples=EXAMPLES or 10, phases=[Phase.generate], stateful_step_count=10))
