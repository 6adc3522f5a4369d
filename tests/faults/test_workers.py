"""The real server with its real workers: killed, stopped, and given bodies that a test client cannot send."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.local.ports import free_port
from scripts.local.settings import app_settings
from tests.support import PASSWORD, ledger, make_account

REPO = Path(__file__).resolve().parents[2]


class Server:
    """`app.web.serve` with two workers, as in production."""

    def __init__(self, dynamodb_url: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = (
            os.environ
            | app_settings(self.url, dynamodb_url)
            | {
                "JWT_SECRET": "signing-key-of-the-worker-tests-0123456789",
                "STRIPE_SECRET_KEY": "sk_test_suite",
                "STRIPE_WEBHOOK_SECRET": "whsec_newest",
                "BCRYPT_ROUNDS": "4",
            }
        )
        command = [sys.executable, "-m", "app.web.serve", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=REPO, env=environment, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr or []), daemon=True).start()
        self.wait()

    def wait(self) -> None:
        for _ in range(150):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            time.sleep(0.2)
        raise AssertionError("".join(self.log[-20:]))

    def workers(self) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def token(self) -> str:
        body = {"email": "ada@example.com", "password": PASSWORD}
        return httpx.post(f"{self.url}/api/auth/login", json=body).json()["token"]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def server(store, dynamodb_url) -> Iterator[Server]:
    server = Server(dynamodb_url)
    yield server
    server.stop()


def submit(server: Server, token: str, key: int) -> int:
    """The status, or 0 when the connection dropped."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"k-{key}"}
    try:
        return httpx.post(
            f"{server.url}/api/tasks", json={"description": f"Task {key}"}, headers=headers, timeout=20
        ).status_code
    except httpx.HTTPError:
        return 0


def load(server: Server, token: str, keys: range) -> tuple[threading.Thread, dict[int, int]]:
    """Submit from four threads at once; returns a thread that ends with them, and what came back."""
    answers: dict[int, int] = {}

    def run(part: range) -> None:
        for key in part:
            answers[key] = submit(server, token, key)

    def all_of_it() -> None:
        threads = [threading.Thread(target=run, args=(keys[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    thread = threading.Thread(target=all_of_it)
    thread.start()
    return thread, answers


@pytest.mark.threat(16, 17)
def test_each_task_is_charged_once_when_workers_are_killed_under_load(server, store):
    make_account(store, credits=5000)
    token = server.token()

    thread, answers = load(server, token, range(160))
    for _ in range(3):
        time.sleep(0.2)
        for pid in server.workers()[:1]:
            os.kill(pid, signal.SIGKILL)
    thread.join()
    server.wait()

    assert set(answers.values()) <= {0, 201, 503}
    again = {key: submit(server, token, key) for key in answers}
    while dropped := [key for key, status in again.items() if status != 201]:  # a worker may still be coming up
        again |= {key: submit(server, token, key) for key in dropped}
    assert sum(-e.amount for e in ledger(store, "ada@example.com") if e.type == "spend") == 1600


@pytest.mark.threat(98)
def test_what_is_in_flight_ends_well_when_the_server_is_stopped(server, store):
    make_account(store, credits=5000)
    token = server.token()

    thread, answers = load(server, token, range(80))
    while len(answers) < 4:
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    thread.join()
    server.process.wait(20)

    acknowledged = sum(status == 201 for status in answers.values())
    written = sum(e.type == "spend" for e in ledger(store, "ada@example.com"))
    assert acknowledged > 0
    assert written == acknowledged, "an answer was dropped"
    assert set(answers.values()) <= {0, 201}


@pytest.mark.threat(66, 67)
def test_a_stolen_token_is_dead_in_every_worker_after_sign_out(server, store):
    make_account(store)
    token = server.token()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{server.url}/api/user", headers=headers).status_code == 200

    httpx.post(f"{server.url}/api/auth/logout", headers=headers)

    answers = {httpx.get(f"{server.url}/api/user", headers=headers).status_code for _ in range(30)}  # 30 connections
    assert answers == {401}


@pytest.mark.threat(61)
def test_guesses_are_counted_across_workers(server, store):
    make_account(store)
    body = {"email": "ada@example.com", "password": "wrong"}

    answers = [httpx.post(f"{server.url}/api/auth/login", json=body).status_code for _ in range(14)]

    assert answers.count(401) <= 11  # one more if the clock steps into a new window
    assert answers[-1] == 429


@pytest.mark.threat(20, 40, 97)
def test_raw_requests_that_no_client_library_sends(server, store):
    make_account(store, credits=100)
    token = server.token()
    bearer = f"Authorization: Bearer {token}\r\n"
    chunked = "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
    body = '{"description": "chunked"}'
    one_chunk = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    flood = "10000\r\n" + "x" * 65536 + "\r\n"

    assert raw(server, f"POST /api/tasks HTTP/1.1\r\nHost: x\r\n{bearer}{chunked}\r\n{one_chunk}") == 201
    for path, chunks in (("/api/tasks", 4), ("/api/stripe/webhook", 8)):
        request = f"POST {path} HTTP/1.1\r\nHost: x\r\n{bearer}{chunked}\r\n{flood * chunks}0\r\n\r\n"
        assert raw(server, request) in (400, 413)
    assert 400 <= raw(server, "TRACE / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n") < 500
    assert 400 <= raw(server, "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n") < 500
    assert 400 <= raw(server, "GET / HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n") < 500
    assert 400 <= raw(server, "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n") < 500
    assert 400 <= raw(server, "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n") < 500
    smuggled = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert 400 <= raw(server, smuggled) < 500
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert [e.amount for e in ledger(store, "ada@example.com")] == [100, -10]


def raw(server: Server, request: str) -> int:
    """The status of the answer to these very bytes; 499 when the server just hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request.encode("latin-1"))
        answer = http.client.HTTPResponse(connection)
        try:
            answer.begin()
        except (http.client.HTTPException, OSError):
            return 499
        return answer.status
