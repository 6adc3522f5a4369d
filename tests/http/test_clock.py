"""Time as two real workers see it: what they let in ends when it should, and a wrong clock is told.

The workers run under libfaketime with a clock that the test moves while they serve; the store stays on the real time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from app.data.table_setup import create_tables
from app.domain.clock import utcnow
from app.services import customers
from scripts.local.settings import app_settings
from tests.conftest import PREFIX
from tests.http.faked_clock import Clock
from tests.http.server import REPO, SETTINGS, Server
from tests.support import PASSWORD, ledger, make_account, session_event, signed

EMAIL = "ada@example.com"
OPERATOR = "op@example.com"
NEW_PASSWORD = "an entirely different horse"
ENOUGH = 3  # answers of each worker
MOST_TRIES = 400  # each is a new connection, and the kernel chooses the worker
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def faked(library, dynamodb_url, dynamodb, tmp_path_factory) -> Iterator[tuple[Server, Clock]]:
    create_tables(dynamodb, PREFIX)  # or it would not be healthy
    folder = tmp_path_factory.mktemp("clock")
    clock = Clock(folder / "clock")
    settings = clock.settings(library) | {"CLOCK_TOLERANCE_SECONDS": "0"}  # or the store's time would stand in
    with Server(dynamodb_url, folder / "server.log", target="tests.http.named_worker:app", **settings) as server:
        yield server, clock
        log = server.log()
        assert "unexpected error" not in log, log[-5000:]


@pytest.fixture
def clock(faked) -> Iterator[Clock]:
    faked[1].set()
    yield faked[1]
    faked[1].set()


@pytest.fixture
def server(faked, store) -> Server:
    """`store` first: the tables are fresh."""
    return faked[0]


def in_every_worker(server: Server, ask: Callable[[], httpx.Response]) -> set[int]:
    """The statuses that both workers give, each more than once."""
    workers = set(server.wait_for_workers(2))
    found: dict[int, list[int]] = defaultdict(list)
    for _ in range(MOST_TRIES):
        answer = ask()
        found[int(answer.headers["X-Worker"])].append(answer.status_code)
        if all(len(found[worker]) >= ENOUGH for worker in workers):
            return {status for worker in workers for status in found[worker]}
    raise AssertionError(f"a worker was never asked: {dict(found)}")


@dataclass
class Stolen:
    """What opens a session, in a thief's hands: sent as it is, with nothing that the server answers kept."""

    server: Server
    path: str
    headers: dict[str, str]

    def use(self) -> httpx.Response:
        return httpx.get(self.server.url + self.path, headers=self.headers, timeout=30, trust_env=False)

    def alive(self) -> bool:
        """Whether every worker lets it in; they must agree. The dead are sent to the sign-in, or get 401."""
        statuses = in_every_worker(self.server, self.use)
        assert statuses in ({200}, {303}, {401}), statuses
        return statuses == {200}


class Browser:
    def __init__(self, server: Server, email: str = EMAIL):
        self.http = httpx.Client(base_url=server.url, timeout=30, trust_env=False)
        answer = self.post("/login", email=email, password=PASSWORD)
        assert answer.status_code == 303, answer.text
        cookie = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        self.stolen = Stolen(server, "/account", {"Cookie": cookie})

    def post(self, path: str, **form: str) -> httpx.Response:
        csrf = re.search(r'name="csrf_token" value="([^"]+)"', self.http.get("/login").text)
        assert csrf
        return self.http.post(path, data={"csrf_token": csrf[1]} | form)


class Program:
    def __init__(self, server: Server, email: str = EMAIL):
        body = {"email": email, "password": PASSWORD}
        answer = httpx.post(f"{server.url}/api/auth/login", json=body, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        self.stolen = Stolen(server, "/api/user", self.headers)


def health(server: Server) -> dict:
    return httpx.get(f"{server.url}/healthz", timeout=30, trust_env=False).json()


# What a person or an operator ends


@pytest.mark.threat(66)
def test_stolen_cookie_and_token_are_dead_in_every_worker_after_sign_out(server, store, clock):
    make_account(store)
    browser, program = Browser(server), Program(server)
    assert browser.stolen.alive()
    assert program.stolen.alive()

    assert browser.post("/logout").status_code == 303
    assert not browser.stolen.alive()
    assert program.stolen.alive()  # a session of its own

    httpx.post(f"{server.url}/api/auth/logout", headers=program.headers, timeout=30, trust_env=False)
    assert not program.stolen.alive()


@pytest.mark.threat(67)
def test_stolen_cookie_and_token_are_dead_in_every_worker_after_a_password_change(server, store, clock):
    make_account(store)
    thief, program, owner = Browser(server), Program(server), Browser(server)
    assert thief.stolen.alive()
    assert program.stolen.alive()
    assert owner.stolen.alive()

    answer = owner.post("/account/password", current_password=PASSWORD, new_password=NEW_PASSWORD)

    assert answer.status_code == 303
    assert not thief.stolen.alive()
    assert not program.stolen.alive()
    assert not owner.stolen.alive()  # the cookie of before; this browser has got a new one
    assert owner.http.get("/account").status_code == 200


@pytest.mark.threat(68)
def test_stolen_cookie_and_token_are_dead_in_every_worker_after_disabling(server, store, clock):
    make_account(store)
    browser, program = Browser(server), Program(server)
    assert browser.stolen.alive()
    assert program.stolen.alive()

    customers.disable(store, OPERATOR, EMAIL, "asked for it", now=utcnow())

    assert not browser.stolen.alive()
    assert not program.stolen.alive()


# What time ends


def test_customers_cookie_is_dead_in_every_worker_after_12_idle_hours(server, store, clock):
    make_account(store)
    idle, used = Browser(server).stolen, Browser(server).stolen
    assert idle.alive()

    clock.set(hours=11, minutes=55)
    assert used.alive()
    clock.set(hours=12, minutes=5)

    assert not idle.alive()
    assert used.alive()


def test_operators_cookie_is_dead_in_every_worker_after_30_idle_minutes(server, store, clock):
    make_account(store, OPERATOR, role="admin")
    idle, used = Browser(server, OPERATOR).stolen, Browser(server, OPERATOR).stolen
    assert idle.alive()

    clock.set(minutes=25)
    assert used.alive()
    clock.set(minutes=34)

    assert not idle.alive()
    assert used.alive()


@pytest.mark.parametrize(
    ("role", "step", "lifetime"),
    [("customer", timedelta(hours=11), timedelta(days=30)), ("admin", timedelta(minutes=25), timedelta(hours=12))],
)
def test_cookie_in_steady_use_is_dead_in_every_worker_after_its_lifetime(server, store, clock, role, step, lifetime):
    make_account(store, role=role)
    stolen = Browser(server).stolen
    assert stolen.alive()

    ahead = step
    while ahead < lifetime - MINUTE:
        clock.set(seconds=ahead.total_seconds())
        assert stolen.use().status_code == 200, ahead
        ahead += step
    clock.set(seconds=(lifetime - MINUTE).total_seconds())
    assert stolen.alive()
    clock.set(seconds=(lifetime + MINUTE).total_seconds())

    assert not stolen.alive()


@pytest.mark.threat(72)
def test_token_is_dead_in_every_worker_after_12_hours_however_much_it_was_used(server, store, clock):
    make_account(store)
    stolen = Program(server).stolen

    for hours in (0, 6, 11.9):
        clock.set(hours=hours)
        assert stolen.alive(), hours
    clock.set(hours=12, minutes=1)

    assert not stolen.alive()


# A clock that is wrong


@pytest.mark.threat(46)
@pytest.mark.parametrize("minutes", [10, -10])
def test_every_worker_says_that_its_clock_is_off(server, clock, minutes):
    def found() -> set[str]:
        seen: dict[int, str] = {}

        def ask() -> httpx.Response:
            answer = httpx.get(f"{server.url}/healthz", timeout=30, trust_env=False)
            seen[int(answer.headers["X-Worker"])] = answer.json()["clock"]
            return answer

        assert in_every_worker(server, ask) == {200}
        return set(seen.values())

    assert found() == {"right"}
    logged = len(server.log())

    clock.set(minutes=minutes)

    assert found() == {"off"}
    assert health(server)["status"] == "degraded"
    lines = [json.loads(line) for line in server.log()[logged:].splitlines() if '"alert"' in line]
    assert [(line["alert"], line["level"]) for line in lines] == [("clock", "error")] * 2  # each worker once
    assert all(abs(line["ahead_seconds"] - minutes * 60) <= line["margin_seconds"] + 1 for line in lines)
    clock.set()
    assert found() == {"right"}


@pytest.mark.threat(46)
def test_a_process_that_starts_with_a_wrong_clock_says_so_at_once(library, store, dynamodb_url):
    """Before the first health check; the command of the image starts with this very import."""
    endpoints = {"APP_URL": "http://dashboard.test", "DYNAMODB_ENDPOINT_URL": dynamodb_url}
    environment = (
        app_settings("http://dashboard.test", dynamodb_url)
        | SETTINGS
        | endpoints
        | {"LD_PRELOAD": library, "FAKETIME": "-600", "DONT_FAKE_MONOTONIC": "1"}
    )

    started = subprocess.run(
        [sys.executable, "-c", "import app.wsgi"], cwd=REPO, env=environment, capture_output=True, text=True, timeout=60
    )

    assert started.returncode == 0, started.stderr
    (line,) = [json.loads(line) for line in started.stderr.splitlines() if '"alert"' in line]
    assert (line["alert"], line["state"]) == ("clock", "off")


@pytest.mark.threat(46)
@pytest.mark.parametrize("minutes", [10, -10])
def test_webhook_refused_by_a_wrong_clock_credits_once_when_it_comes_again(server, store, clock, minutes):
    event = json.dumps(session_event(EMAIL, session="cs_1", cents=1000)).encode()

    def deliver() -> httpx.Response:
        """Signed anew, as Stripe signs each delivery, and by the real time."""
        headers = {"Stripe-Signature": signed(event)}
        address = f"{server.url}/api/stripe/webhook"
        return httpx.post(address, content=event, headers=headers, timeout=30, trust_env=False)

    clock.set(minutes=minutes)
    refused = in_every_worker(server, deliver)
    before = store.accounts.find(EMAIL)
    clock.set()
    taken = in_every_worker(server, deliver)

    assert (refused, before, taken) == ({400}, None, {200})
    assert [entry.amount for entry in ledger(store, EMAIL)] == [1000]


@pytest.mark.threat(46)
def test_token_given_out_by_a_fast_clock_costs_a_new_sign_in_and_no_more(server, store, clock):
    make_account(store)
    clock.set(minutes=10)
    early = Program(server).stolen
    assert early.alive()

    clock.set()

    assert not early.alive()  # it says that it was made in the future
    assert Program(server).stolen.alive()
