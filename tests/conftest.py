"""What every test builds on: a store on an isolated emulator, an app over it, and the books checked afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config as BotoConfig
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from app import create_app
from app.config import Config
from app.data import Store
from app.data.client import make_client
from app.data.table_setup import create_tables
from app.data.transaction import patience
from app.domain.clock import store_time
from app.web.visitors import adopter
from app.web.work_queue import LIMITS, Limit
from app.web.work_slots import Slots
from scripts.local.aws import LocalAws, keep_or_put_back
from scripts.local.leftovers import remove_leftovers
from scripts.local.settings import CREDENTIALS, NO_OTHER_AWS, app_settings, forget_other_aws, past_any_proxy
from tests.described import MEANT, hold
from tests.faults.proxy import FaultProxy
from tests.log_watch import log_watch  # noqa: F401 - every test's log is read
from tests.support import FakeSender, FakeStripe, assert_books_agree

if "DYNAMODB_ENDPOINT_URL" not in os.environ:  # all of it is local, and signed as scripts/run signs
    known = forget_other_aws(os.environ) | CREDENTIALS | NO_OTHER_AWS | past_any_proxy(os.environ)
    os.environ.clear()
    os.environ.update(known)

remove_leftovers()
# A loaded machine is slow now and then: what an example may take is no part of what is tested.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

PREFIX = "ImpacterAGI_"
PATIENCE_SECONDS = 600.0


class CompiledTemplates(BytecodeCache):
    """Each test has an app of its own: its templates are compiled once for all, and nothing of it stays on the disk."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED_TEMPLATES = CompiledTemplates()
MADE_OF_AN_ADDRESS = {"_parts", "_trace", "_converters", "arguments", "_build", "_build_unknown"}


@pytest.fixture(scope="session", autouse=True)
def addresses_compiled_once() -> Iterator[None]:
    """Likewise what Werkzeug makes of each address, nearly all that an app costs: its parts, and the code that builds
    it, which takes the rule as an argument. Both depend on nothing else but what is in the key."""
    compiled: dict[tuple[object, ...], dict[str, Any]] = {}
    plain = Rule.compile

    def compile_once(rule: Rule) -> None:
        key = (rule.rule, rule.subdomain, rule.host, rule.merge_slashes, repr(rule.defaults))
        if key not in compiled:
            plain(rule)
            compiled[key] = {name: value for name, value in vars(rule).items() if name in MADE_OF_AN_ADDRESS}
            return
        made = compiled[key]
        vars(rule).update(made, arguments=set(made["arguments"]))
        for name in ("_build", "_build_unknown"):
            setattr(rule, name, made[name].__func__.__get__(rule, None))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Rule, "compile", compile_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def answers_held_to_their_description() -> Iterator[None]:
    """Whichever test asks, by Flask's client or over HTTP: an answer of the API is one that its document promises."""
    ask, send = FlaskClient.open, httpx.Client.send

    def asked(client: FlaskClient, *args: Any, **more: Any) -> Any:
        answer = ask(client, *args, **{"buffered": True} | more)  # read and closed, as a server does
        if answer.request.path.startswith("/api/"):
            hold(answer.request.method, answer.request.path, answer.status_code, answer.headers, answer.data)
        return answer

    def sent(client: httpx.Client, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:
        answer = send(client, request, stream=stream, **more)
        if not stream and answer.url.path.startswith("/api/"):
            hold(request.method, answer.url.path, answer.status_code, answer.headers, answer.content)
        return answer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FlaskClient, "open", asked)
        patched.setattr(httpx.Client, "send", sent)
        yield


@pytest.fixture
def fault_of_ours() -> Iterator[None]:
    """For a test that makes the app break: its answers may be a 500, which no call promises."""
    MEANT.add(500)
    yield
    MEANT.clear()


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    """An endpoint whose transactions are really isolated: ministack, or what DYNAMODB_ENDPOINT_URL names."""
    if url := os.environ.get("DYNAMODB_ENDPOINT_URL"):
        yield url
        return
    with LocalAws() as aws:
        yield aws.endpoint_url


@pytest.fixture(scope="session")
def config(dynamodb_url: str) -> Config:
    """As scripts/run has it; tests/security asks operators for a second factor, too."""
    settings = app_settings("http://dashboard.test", dynamodb_url) | {
        "JWT_SECRET": "newest-signing-key-of-the-test-suite,older-signing-key-of-the-test-suite!",
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": "whsec_newest,whsec_older",
        "BCRYPT_ROUNDS": "4",
        "CREDIT_PACKS": "1000:1000,5250:5000",
        "SIGNUPS_PER_HOUR": "1000",
        "STORE_TIMEOUT_SECONDS": "30",  # nothing here is about a slow machine; tests/faults says what a slow store gets
        "STORE_PATIENCE_SECONDS": "60",
    }
    return Config.from_env(settings)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with the patience of the suite and this machine's time, whatever the one before it has made."""
    monkeypatch.setattr(patience, "seconds", 60)
    monkeypatch.setattr(store_time, "tolerance", timedelta(seconds=300))
    store_time.forget()  # a test may have told it of another time


@pytest.fixture(scope="session")
def dynamodb(config: Config) -> Any:
    return make_client(config, endpoint_url=config.dynamodb_endpoint_url)


@pytest.fixture(scope="session")
def setting_up(config: Config) -> Any:
    """A client that waits as long as a loaded machine needs."""
    return make_client(config, endpoint_url=config.dynamodb_endpoint_url, patient=True)


@pytest.fixture(scope="session")
def fresh_tables(dynamodb_url: str, setting_up: Any) -> Callable[[], None]:
    """Empties the tables, whatever a test has done to them: put back in one call, or made anew in a store of others."""

    def make_anew() -> None:
        wipe(setting_up)
        create_tables(setting_up, PREFIX)

    def put_back() -> None:
        if not keep_or_put_back(port, "back"):  # it was reset meanwhile
            make_anew()

    make_anew()
    port = urlsplit(dynamodb_url).port or 0
    ours = "DYNAMODB_ENDPOINT_URL" not in os.environ and keep_or_put_back(port, "keep")
    return put_back if ours else make_anew


@pytest.fixture
def empty_store(dynamodb: Any, fresh_tables: Callable[[], None]) -> Store:
    """Fresh tables in the isolated store."""
    fresh_tables()
    return Store(dynamodb, PREFIX, adopter())


@pytest.fixture
def store(empty_store: Store) -> Iterator[Store]:
    """Fresh tables; when the test is over, every balance must still be what its ledger says."""
    yield empty_store
    assert_books_agree(empty_store)


@pytest.fixture
def proxy(dynamodb_url: str) -> Iterator[FaultProxy]:
    """The isolated store behind a proxy that breaks what a test tells it to."""
    proxy = FaultProxy(dynamodb_url)
    yield proxy
    proxy.close()


def wipe(client: Any) -> None:
    for name in client.list_tables()["TableNames"]:
        if name.startswith(PREFIX):
            client.delete_table(TableName=name)


@pytest.fixture
def moto_store() -> Iterator[Store]:
    """For what one thread does. Proves nothing about races: moto's transactions are not isolated."""
    from moto import mock_aws

    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1", config=BotoConfig(parameter_validation=False))
        create_tables(client, PREFIX)
        yield Store(client, PREFIX, adopter())


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
def stripe() -> FakeStripe:
    return FakeStripe()


@pytest.fixture(scope="session", autouse=True)
def who_waits_is_served() -> Iterator[None]:
    """A machine that is busy with something else is no overload: no request of a test is sent away for having waited.

    What is, through a server or by work slots of a test's own, has its tests in tests/http.
    """
    limits = dict.fromkeys(LIMITS, Limit(wait=PATIENCE_SECONDS, burst=PATIENCE_SECONDS))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.Slots", partial(Slots, patience_seconds=PATIENCE_SECONDS, limits=limits))
        yield


@pytest.fixture
def app(config: Config, store: Store, sender: FakeSender, stripe: Any) -> Flask:
    app = create_app(config, store=store, sender=sender, stripe=stripe)
    app.jinja_env.bytecode_cache = COMPILED_TEMPLATES
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def second_factor_passed() -> Callable[[Any, str], Any]:
    """Lets a signed-in operator's browser change things; the second factor itself has tests of its own."""
    return lambda client, email: client
