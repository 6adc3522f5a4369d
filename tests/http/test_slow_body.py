"""Clients that take their time with a body, or never finish it: nobody else waits for them, and nothing is charged."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from werkzeug.test import Client

from app.data.table_setup import create_tables
from app.web import serve
from app.web.work_queue import Told
from app.web.work_slots import NO_SLOT, REFUSALS, SLOTS, Slots, WorkSlots
from tests.conftest import PREFIX
from tests.http.server import REPO, Server
from tests.http.test_two_workers import Submitter
from tests.support import PASSWORD, ledger, make_account, session_event, signed

SENDERS = 40
EMAIL = "ada@example.com"


@pytest.fixture(scope="module")
def one_worker(dynamodb_url, dynamodb, tmp_path_factory) -> Iterator[Server]:
    """So that all the slow senders sit in one process."""
    create_tables(dynamodb, PREFIX)  # or it would not be healthy
    with Server(dynamodb_url, tmp_path_factory.mktemp("slow") / "server.log", workers=1) as server:
        yield server


class SlowSender:
    """A request whose headers and first byte are sent; the rest of its body when the test wants it."""

    def __init__(self, server: Server, path: str, body: bytes, **headers: str):
        given = {"Host": "dashboard.test", "Content-Length": str(len(body))} | headers
        lines = [f"POST {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
        self._rest = body[1:]
        self.connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[:1])

    def finish(self) -> int:
        self.connection.sendall(self._rest)
        return self.status()

    def hang_up(self) -> int:
        """Send no more, but listen: the answer's status, or 0 when there is none."""
        self.connection.shutdown(socket.SHUT_WR)
        return self.status()

    def status(self) -> int:
        answer = http.client.HTTPResponse(self.connection)
        try:
            answer.begin()
        except (http.client.HTTPException, OSError):
            return 0
        return answer.status


def webhooks(server: Server) -> list[SlowSender]:
    bodies = [json.dumps(session_event(session=f"cs_{number}", cents=100)).encode() for number in range(SENDERS)]
    return [SlowSender(server, "/api/stripe/webhook", body, Stripe_Signature=signed(body)) for body in bodies]


def submits(server: Server) -> list[SlowSender]:
    token = Submitter(server.url).http.headers["Authorization"]
    body = json.dumps({"description": "Summarise the report"}).encode()
    headers = {"Authorization": token, "Content_Type": "application/json"}
    return [SlowSender(server, "/api/tasks", body, **headers, Idempotency_Key=f"k-{n}") for n in range(SENDERS)]


def sign_ins(server: Server) -> list[SlowSender]:
    """No session, no token: whoever can reach the server."""
    body = urlencode({"email": EMAIL, "password": PASSWORD}).encode()
    headers = {"Content_Type": "application/x-www-form-urlencoded"}
    return [SlowSender(server, "/login", body, **headers) for _ in range(SENDERS)]


@pytest.mark.threat(40)
@pytest.mark.parametrize(
    ("start", "answer", "credits"),
    [(webhooks, 200, 1000 + SENDERS * 100), (submits, 201, 1000 - SENDERS * 10), (sign_ins, 400, 1000)],
)
def test_others_are_answered_while_forty_senders_dribble(one_worker, store, start, answer, credits):
    make_account(store, credits=1000)
    with ExitStack() as stack:
        senders = start(one_worker)
        for sender in senders:
            stack.callback(sender.connection.close)

        others = [httpx.get(f"{one_worker.url}/healthz", timeout=30, trust_env=False).status_code for _ in range(20)]
        before = store.accounts.get(EMAIL).credits_balance
        answers = {sender.finish() for sender in senders}

    assert others == [200] * 20
    assert before == 1000
    assert answers == {answer}  # the slow are served too, once they are done; 400 is a form without its CSRF token
    assert store.accounts.get(EMAIL).credits_balance == credits


@pytest.mark.threat(17, 40)
def test_half_a_form_is_not_charged_when_the_client_hangs_up(one_worker, store):
    make_account(store, credits=100)
    with httpx.Client(base_url=one_worker.url, timeout=30, trust_env=False) as browser:
        csrf = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/login").text)
        assert csrf
        form = {"csrf_token": csrf[1], "email": EMAIL, "password": PASSWORD}
        assert browser.post("/login", data=form).status_code == 303
        hidden = dict(
            re.findall(r'name="(csrf_token|request_id)"[^>]* value="([^"]+)"', browser.get("/dashboard").text)
        )
        whole = urlencode(hidden | {"description": "Delete nothing but the drafts"}).encode()
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    sender = SlowSender(one_worker, "/tasks", whole, Content_Type="application/x-www-form-urlencoded", Cookie=cookie)

    sender.connection.sendall(whole[1 : whole.index(b"+but")])
    answer = sender.hang_up()

    sender.connection.close()
    assert answer in (0, 400)
    assert httpx.get(f"{one_worker.url}/healthz", timeout=30, trust_env=False).status_code == 200
    assert [entry.amount for entry in ledger(store, EMAIL)] == [100]


def test_more_connections_are_taken_than_threads_and_one_of_them_is_answered(one_worker):
    with ExitStack() as stack:
        for _ in range(serve.THREADS + 100):
            stack.enter_context(socket.create_connection(("127.0.0.1", one_worker.port), timeout=60))

        assert httpx.get(f"{one_worker.url}/livez", timeout=30, trust_env=False).status_code == 200


def test_the_image_has_a_thread_for_each_slow_sender():
    """As the server of these tests; with fewer, that many slow senders would hold all of them."""
    assert (serve.THREADS, serve.CONNECTIONS) == (512, 2_048)
    for path in ("Dockerfile", "scripts/local/parts.py", str(Path(__file__).with_name("server.py"))):
        assert re.search(r'-m"?,? "?app\.web\.serve', (REPO / path).read_text()), path


# The slots themselves


class Gate:
    """A WSGI app whose requests stop inside until they are let go, and a body that comes when it is let go."""

    def __init__(self) -> None:
        self.at_work = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.body_waits = threading.Event()
        self.body_comes = threading.Event()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/body":
            environ["wsgi.input"].read(10)
        elif environ["PATH_INFO"] == "/work":
            self.at_work.release()
            assert self.go_on.wait(30)
        start_response("200 OK", [])
        return [b""]

    def read(self, size: int = -1) -> bytes:
        self.body_waits.set()
        assert self.body_comes.wait(30)
        return b"body"


def whose(environ) -> str:
    return "ada@example.com"


def ask(app, gate: Gate, path: str) -> threading.Thread:
    environ = {"PATH_INFO": path, "wsgi.input": gate}
    thread = threading.Thread(target=lambda: app(environ, lambda *_: None))
    thread.start()
    return thread


def test_a_request_that_waits_for_its_body_takes_no_slot():
    gate = Gate()
    app = WorkSlots(gate, Slots(1), whose)

    slow = ask(app, gate, "/body")
    assert gate.body_waits.wait(30)
    other = ask(app, gate, "/nothing")

    other.join(30)
    assert not other.is_alive()
    assert slow.is_alive()
    gate.body_comes.set()
    slow.join(30)
    assert not slow.is_alive()


def test_no_more_requests_work_at_once_than_there_are_slots():
    gate = Gate()
    app = WorkSlots(gate, Slots(), whose)
    threads = [ask(app, gate, "/work") for _ in range(SLOTS + 1)]

    inside = [gate.at_work.acquire(timeout=30) for _ in range(SLOTS)]
    one_too_many = gate.at_work.acquire(blocking=False)
    gate.go_on.set()

    for thread in threads:
        thread.join(30)
    assert inside == [True] * SLOTS
    assert not one_too_many
    assert gate.at_work.acquire(blocking=False)  # it came in when the others had left


def test_who_finds_no_slot_in_time_is_told_so_by_the_app_and_takes_nobodys():
    """Also when all who are told so dribble: what they hold of a person's words is read, and given back."""
    slots, told, arrived = Slots(1, patience_seconds=0.01), [], threading.Semaphore(0)

    def app(environ, start_response):
        told.append(environ.get(NO_SLOT))
        arrived.release()
        return gate(environ, start_response)

    gate = Gate()
    busy = WorkSlots(app, slots, whose)
    with slots.held():
        threads = [ask(busy, gate, "/body") for _ in range(3 * REFUSALS)]
        assert all(arrived.acquire(timeout=60) for _ in threads)
        gate.body_comes.set()
        for thread in threads:
            thread.join(60)

    assert told == [Told.BUSY] * len(threads)
    assert not any(thread.is_alive() for thread in threads)
    with slots.held() as mine:
        assert mine


@pytest.mark.parametrize(
    ("path", "slot"), [("/healthz", False), ("/static/app.css", False), ("/healthz-of-mine", True), ("/livez/", True)]
)
def test_health_and_files_need_no_slot_and_what_only_begins_like_them_does(path, slot):
    slots, refused = Slots(1, patience_seconds=0.01), []
    answer = lambda environ, start: (refused.append(NO_SLOT in environ), start("200 OK", []), [b""])[2]  # noqa: E731
    app = WorkSlots(answer, slots, whose)

    with slots.held():
        assert Client(app).get(path).status_code == 200

    assert refused == [slot]
