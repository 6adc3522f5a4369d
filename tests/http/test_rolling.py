"""A release behind a balancer: one server after the other is started anew, and nobody's request fails by it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.web.in_flight import InFlight
from app.web.server_state import KEY, ServerState
from tests.http.server import Server
from tests.support import PASSWORD, assert_books_agree, ledger, make_account

A_MINUTE = 60.0
MOST_A_MINUTE = 550  # of 600
PATIENCE = 60.0


def until(true: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


class Balancer:
    """Asks each server whether it is ready, and sends who comes to one that is; it tries nothing again."""

    def __init__(self, servers: list[Server]) -> None:
        self.ready: dict[str, bool] = dict.fromkeys((server.url for server in servers), True)
        self.in_use: dict[str, int] = dict.fromkeys(self.ready, 0)
        self._turn = 0
        self._lock = threading.Lock()

    def look(self) -> None:
        for url in self.ready:
            try:
                ready = httpx.get(f"{url}/readyz", trust_env=False, timeout=PATIENCE).status_code == 200
            except httpx.TransportError:
                ready = False
            with self._lock:
                self.ready[url] = ready

    def take(self) -> str:
        with self._lock:
            there = [url for url, ready in self.ready.items() if ready]
            self._turn += 1
            url = there[self._turn % len(there)]
            self.in_use[url] += 1
            return url

    def give_back(self, url: str) -> None:
        with self._lock:
            self.in_use[url] -= 1


class Customer(threading.Thread):
    """Submits tasks and looks at the balance by connections that it keeps, and tries nothing again. However long the
    servers take, it stays below what an account may submit in a minute.
    """

    def __init__(self, balancer: Balancer, token: str, over: threading.Event) -> None:
        super().__init__()
        self._balancer = balancer
        self._over = over
        headers = {"Authorization": f"Bearer {token}"}
        self._clients = {
            url: httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE)
            for url in balancer.ready
        }
        self.submitted = 0
        self.failed: list[object] = []

    def run(self) -> None:
        while not self._over.wait(A_MINUTE / MOST_A_MINUTE):
            url = self._balancer.take()
            try:
                key = {"Idempotency-Key": f"{self.submitted}"}
                task = self._clients[url].post("/api/tasks", json={"description": "Count the sheep"}, headers=key)
                look = self._clients[url].get("/api/user")
            except httpx.TransportError as error:
                self.failed.append(error)
            else:
                self.submitted += task.status_code == 201
                self.failed += [answer.text for answer in (task, look) if answer.status_code >= 300]
            finally:
                self._balancer.give_back(url)


def signed_in(store, server: Server, email: str) -> str:
    make_account(store, email, credits=1_000_000)
    body = {"email": email, "password": PASSWORD}
    return httpx.post(f"{server.url}/api/auth/login", json=body, trust_env=False).json()["token"]


@pytest.fixture
def two_servers(dynamodb_url: str, store, tmp_path: Path) -> Iterator[list[Server]]:
    with (
        Server(dynamodb_url, tmp_path / "one.log", workers=1, drain=A_MINUTE) as one,
        Server(dynamodb_url, tmp_path / "two.log", workers=1, drain=A_MINUTE) as two,
    ):
        yield [one, two]


@pytest.mark.threat(98)
@pytest.mark.usefixtures("two_servers")
def test_a_rolling_release_loses_no_request_and_no_write(two_servers, store) -> None:
    emails = [f"{name}@example.com" for name in ("ada", "bob", "eve")]
    balancer = Balancer(two_servers)
    over = threading.Event()
    customers = [Customer(balancer, signed_in(store, two_servers[0], email), over) for email in emails]
    for customer in customers:
        customer.start()
    try:
        for server in two_servers:
            done = sum(customer.submitted for customer in customers)
            until(lambda done=done: sum(customer.submitted for customer in customers) > done + 3)
            server.send_signal(signal.SIGTERM)
            until(lambda server=server: balancer.look() or not balancer.ready[server.url])
            until(lambda server=server: balancer.in_use[server.url] == 0)
            server.send_signal(signal.SIGTERM)
            assert server.wait() == 0
            server.start()
            balancer.look()
    finally:
        over.set()
        for customer in customers:
            customer.join()

    assert [customer.failed for customer in customers] == [[], [], []]
    spent = [row for email in emails for row in ledger(store, email) if row.type == "spend"]
    assert len(spent) == sum(customer.submitted for customer in customers)
    assert_books_agree(store)


@pytest.mark.threat(98)
def test_a_server_that_drains_serves_on_says_so_and_ends_its_connections(dynamodb_url, store, tmp_path) -> None:
    with (
        Server(dynamodb_url, tmp_path / "server.log", workers=1, drain=A_MINUTE) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        before = client.get("/login")
        server.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status_code == 503)
        meanwhile = client.get("/login")

        assert (client.get("/readyz").json(), client.get("/livez").status_code) == ({"status": "stopping"}, 200)
        assert (before.status_code, meanwhile.status_code) == (200, 200)
        assert ("Connection" in before.headers, meanwhile.headers["Connection"]) == (False, "close")
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.threat(98)
def test_a_drain_ends_by_itself(dynamodb_url, store, tmp_path) -> None:
    with Server(dynamodb_url, tmp_path / "server.log", workers=1, drain=0.5) as server:
        server.send_signal(signal.SIGTERM)

        assert server.wait() == 0


def test_a_drain_is_seen_by_whoever_was_there_before_it() -> None:
    state = ServerState()
    seen: list[list[tuple[str, str]]] = []

    def app(environ, start_response):
        assert environ[KEY] is state  # all workers are handed the one of their server
        start_response("200 OK", [("X-One", "1")])
        return [b"done"]

    def ask() -> None:
        list(InFlight(app, state)({"wsgi.input": None}, lambda _status, headers, _error=None: seen.append(headers)))

    ask()
    state.begin_draining()
    ask()

    assert seen == [[("X-One", "1")], [("X-One", "1"), ("Connection", "close")]]
