"""Workers that die, and the server's stop, seen from outside: `app.web.serve` as image and `scripts/run` start it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from app.web.serve import Bell
from scripts.local.ports import HOST, free_port
from tests.http.server import REPO, SETTINGS, Server
from tests.support import PASSWORD, ledger, make_account

EMAIL = "ada@example.com"
CUSTOMERS = [f"customer-{number}@example.com" for number in range(4)]
PAUSE_SECONDS = 0.12  # an account may submit 600 times a minute


@pytest.fixture
def server(store, dynamodb_url, tmp_path) -> Iterator[Server]:
    with Server(dynamodb_url, tmp_path / "server.log") as server:
        yield server


@dataclass
class Customers:
    """Four clients that submit one task after another, each until it is answered."""

    server: Server
    charged: int = 0
    longest_silence: float = 0.0
    errors: list[object] = field(default_factory=list)

    def __post_init__(self):
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._last_answer = time.monotonic()
        self._threads = [threading.Thread(target=self._submit, args=(token(self.server, of),)) for of in CUSTOMERS]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _submit(self, token: str) -> None:
        done = 0
        while not self._over.wait(PAUSE_SECONDS):
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"key-{done}"}
            answer = self._until_answered(headers, {"description": f"Task {done}"})
            if answer.status_code != 201:
                self.errors.append((answer.status_code, answer.text))
                return
            done += 1
            with self._lock:
                now = time.monotonic()
                self.charged += 1
                self.longest_silence = max(self.longest_silence, now - self._last_answer)
                self._last_answer = now

    def _until_answered(self, headers: dict[str, str], task: dict[str, str]) -> httpx.Response:
        """With the same key, also once it is over: what was charged without an answer must be counted."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                return httpx.post(f"{self.server.url}/api/tasks", json=task, headers=headers, timeout=20)
            time.sleep(0.05)


def token(server: Server, email: str = EMAIL) -> str:
    return httpx.post(f"{server.url}/api/auth/login", json={"email": email, "password": PASSWORD}).json()["token"]


@pytest.mark.threat(16, 17, 109)
@pytest.mark.parametrize(("pause", "kills"), [(0.4, 10), (1.5, 4), (4.0, 3)])
def test_one_worker_that_keeps_dying_leaves_the_other_and_the_books_alone(server, store, pause, kills):
    for email in CUSTOMERS:
        make_account(store, email, credits=100_000)
    healthy = server.workers()[0]
    customers = Customers(server)
    killed = 0
    deadline = time.monotonic() + 90
    while killed < kills:
        time.sleep(pause)
        for pid in server.workers():
            if pid != healthy:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        assert time.monotonic() < deadline, "it was not started again"
    server.wait_for_workers(2)
    customers.stop()

    assert customers.errors == []
    assert healthy in server.workers(), server.log()[-2000:]
    assert customers.longest_silence < 3, "the service was away"
    spent = [-entry.amount for email in CUSTOMERS for entry in ledger(store, email) if entry.type == "spend"]
    assert sum(spent) == 10 * customers.charged > 0


@pytest.mark.threat(109)
def test_both_workers_are_back_when_they_died_at_once(server, store):
    before = server.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    assert set(server.wait_for_workers(2, other_than=before)).isdisjoint(before)
    for _ in range(100):
        with contextlib.suppress(httpx.TransportError):
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            break
        time.sleep(0.1)
    else:
        pytest.fail("nobody answers")


# The stop


@dataclass
class Client:
    """One raw connection."""

    server: Server
    connection: socket.socket = field(init=False)

    def __post_init__(self):
        self.connection = socket.create_connection((HOST, self.server.port), timeout=30)

    def send(self, text: str) -> Client:
        self.connection.sendall(text.encode())
        return self


def idle(server: Server) -> Client:
    client = Client(server).send(f"GET /login HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
    assert client.connection.recv(100).startswith(b"HTTP/1.1 200")
    return client


def half_a_head(server: Server) -> Client:
    return Client(server).send(f"GET /login HTTP/1.1\r\nHost: {HOST}\r\nX-")


def half_a_body(server: Server) -> Client:
    head = f"POST /api/auth/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
    return Client(server).send(head + "\r\n{")


@pytest.mark.threat(98)
@pytest.mark.parametrize("left_open", [None, idle, half_a_head, half_a_body])
def test_stop_waits_for_no_client_that_asks_nothing(server, left_open):
    clients = [left_open(server) for _ in range(6)] if left_open else []
    time.sleep(0.5)

    started = time.monotonic()
    server.terminate()
    status = server.wait()
    took = time.monotonic() - started

    assert status == 0
    assert took < 8  # 3 on an idle machine; the workers would have been killed after 20
    assert "killing" not in server.log().lower(), server.log()
    assert server.workers() == []
    assert len(clients) in (0, 6)


@pytest.mark.threat(98)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stop_finishes_the_request_in_flight(dynamodb_url, store, proxy, tmp_path, number):
    make_account(store, credits=100)
    with Server(proxy.url, tmp_path / "server.log") as server:
        bearer = token(server)
        answers = []
        proxy.delay_seconds = 1.2  # each of its calls takes longer than a client may dribble
        proxy.every("delay")
        calls = len(proxy.calls)
        headers = {"Authorization": f"Bearer {bearer}", "Idempotency-Key": "k-1"}

        def submit() -> None:
            body = {"description": "Summarise"}
            answers.append(httpx.post(f"{server.url}/api/tasks", json=body, headers=headers, timeout=30).status_code)

        client = threading.Thread(target=submit)
        client.start()
        while len(proxy.calls) == calls:
            time.sleep(0.01)
        server.send_signal(number)
        status = server.wait()
        client.join()

    assert answers == [201]
    assert status == 0
    assert [e.amount for e in ledger(store, EMAIL)] == [100, -10]


@pytest.mark.threat(98)
def test_workers_end_with_a_server_that_was_killed(server):
    workers = server.workers()
    half_a_body(server)

    server.send_signal(signal.SIGKILL)
    server.wait()

    deadline = time.monotonic() + 20
    while left := [pid for pid in workers if alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.threat(98)
def test_stop_while_workers_are_still_starting_is_a_stop(dynamodb_url, store, tmp_path):
    for pause in (0.0, 0.1, 0.3, 0.6):
        with Server(dynamodb_url, tmp_path / f"server-{pause}.log") as server:
            for pid in (before := server.workers()):
                os.kill(pid, signal.SIGKILL)
            server.wait_for_workers(1, other_than=before)
            time.sleep(pause)
            server.terminate()

            assert server.wait() == 0
            assert "killing" not in server.log().lower(), server.log()
            assert server.workers() == []


@pytest.mark.threat(98)
@pytest.mark.parametrize("act", [Bell.wait, Bell.clear, Bell.set])
def test_a_signal_may_ring_the_bell_at_any_moment(act):
    """Its handler runs between any two steps of whatever the server does: here between every two."""
    bell, rings = Bell(), []

    def between(frame, event, _argument):
        if frame.f_code is not act.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            sys.settrace(None)
            bell.set()
            rings.append(event)
            sys.settrace(between)
        return between

    def work():
        sys.settrace(between)
        act(*((bell, 0) if act is Bell.wait else (bell,)))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(20)

    assert not worker.is_alive(), "the handler waits for what it has interrupted"
    assert len(rings) > 5
    assert bell.wait(0)


# The start


def start(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | SETTINGS
    environment |= {"APP_ENV": "development"} | settings
    command = [sys.executable, "-m", "app.web.serve", *arguments]
    return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"JWT_SECRET": ""}, "JWT_SECRET"), ({"APP_URL": "http://127.0.0.1", "TRUSTED_PROXIES": "x"}, "TRUSTED_PROXIES")],
)
def test_wrong_setting_ends_the_server_at_once_with_one_sentence(settings, sentence):
    ended = start("--port", str(free_port()), **{"APP_URL": "http://127.0.0.1"} | settings)

    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_app_that_cannot_be_imported_ends_the_server_at_once(tmp_path):
    (tmp_path / "broken_deploy.py").write_text("raise RuntimeError('a bad deploy')\n")

    ended = start("--port", str(free_port()), "--target", "broken_deploy:app", PYTHONPATH=f"{REPO}:{tmp_path}")

    assert ended.returncode == 1
    assert "a bad deploy" in ended.stderr


def test_taken_port_is_said_in_one_sentence(server):
    ended = start("--port", str(server.port))

    assert ended.returncode == 1
    assert ended.stderr.strip() == f"Cannot listen on {HOST}, port {server.port}: Address already in use"
