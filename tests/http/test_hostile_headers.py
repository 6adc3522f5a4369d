"""Headers and bodies as the real server hands them on: not ASCII, empty, doubled, in chunks, broken off."""

from __future__ import annotations

import json
import re
import socket
from contextlib import closing
from itertools import product
from urllib.parse import urlsplit

import httpx
import pytest

from tests.http.server import Server
from tests.support import PASSWORD, every_task, make_account, session_event, signed

ODD_KEYS = {
    "utf-8": "schlüssel".encode(),
    "latin-1": "schlüssel".encode("latin-1"),
    "only-odd": b"\xff\xfe",
    "empty": b"",
    "spaces": b"  \t ",
    "tab-inside": b"a\tb",
    "emoji": "🔑".encode(),
    "too-long": b"x" * 256,
}


def ask(url: str, method: str, path: str, body: bytes = b"", **headers: str | bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body of one request whose bytes are just these; underscores in names stand for hyphens."""
    parts = urlsplit(url)
    lines = [f"{method} {path} HTTP/1.1".encode(), f"Host: {parts.netloc}".encode(), b"Connection: close"]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}".encode())
    for name, value in headers.items():
        lines.append(name.replace("_", "-").encode() + b": " + (value.encode() if isinstance(value, str) else value))
    with closing(socket.create_connection((parts.hostname, parts.port), timeout=60)) as line:
        line.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, content


def sign_in(server: Server, email: str = "ada@example.com") -> str:
    answer = httpx.post(
        f"{server.url}/api/auth/login", json={"email": email, "password": PASSWORD}, timeout=60, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    return f"Bearer {answer.json()['token']}"


@pytest.mark.threat(9)
@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS.keys())
def test_three_retries_under_an_odd_key_are_refused_and_charge_nothing(server, store, key):
    make_account(store, credits=100)
    token = sign_in(server)

    answers = [
        ask(
            server.url,
            "POST",
            "/api/tasks",
            b'{"description": "Once"}',
            Authorization=token,
            Content_Type="application/json",
            Idempotency_Key=key,
        )
        for _ in range(3)
    ]

    assert [status for status, _, _ in answers] == [400] * 3
    assert json.loads(answers[0][2])["code"] == "malformed"
    assert every_task(store) == []
    assert store.accounts.get("ada@example.com").credits_balance == 100


@pytest.mark.threat(9)
def test_an_odd_key_is_refused_on_each_other_call_that_takes_one(server, store):
    make_account(store, "op@example.com", role="admin")
    make_account(store, credits=100)
    calls = {
        "/api/checkout": (sign_in(server), b'{"pack_id": "pack-1000"}'),
        "/api/admin/users/ada@example.com/adjust": (sign_in(server, "op@example.com"), b'{"amount": 5, "reason": "x"}'),
    }

    for (path, (token, body)), key in product(calls.items(), ODD_KEYS.values()):
        status, _, content = ask(
            server.url,
            "POST",
            path,
            body,
            Authorization=token,
            Content_Type="application/json",
            Idempotency_Key=key,
        )

        assert (path, status) == (path, 400), content
    assert store.accounts.get("ada@example.com").credits_balance == 100


def test_every_call_that_takes_a_key_reads_it_in_the_one_place():
    """A new call cannot read the header by itself and take what the server makes of it for no key."""
    import ast

    from tests.test_architecture import modules

    readers = {
        name
        for name, tree in modules()
        if "Idempotency-Key" in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    }

    assert readers == {"forms/api.py"}


@pytest.mark.parametrize("cookie", ["theme=dünkel; session=x".encode(), "name=José".encode("latin-1"), b""])
def test_a_cookie_that_cannot_be_read_is_named_and_cleared(server, store, cookie):
    status, head, content = ask(server.url, "GET", "/login", Cookie=cookie)

    assert status == 400
    assert b"cookie" in content
    assert re.search(rb'(?i)clear-site-data: "cookies"', head)


def test_a_cookie_that_cannot_be_read_keeps_no_program_and_no_file_away(server, store):
    make_account(store, credits=10)
    odd = "theme=dünkel".encode()

    assert ask(server.url, "GET", "/api/user", Authorization=sign_in(server), Cookie=odd)[0] == 200
    assert ask(server.url, "GET", "/static/app.css", Cookie=odd)[0] == 200
    assert ask(server.url, "GET", "/healthz", Cookie=odd)[0] == 200


@pytest.mark.parametrize("value", ["Bearer é".encode(), b"", b"Bearer", b"Bearer  ", b"bearer\tx", b"Basic eDp4"])
def test_odd_credentials_are_a_401(server, store, value):
    assert ask(server.url, "GET", "/api/user", Authorization=value)[0] == 401


@pytest.mark.threat(33)
@pytest.mark.parametrize("value", ["t=1,v1=é".encode(), b"", b"t=1", b"t=\xff,v1=00", b"," * 2000])
def test_odd_signatures_are_a_400(server, store, value):
    payload = json.dumps(session_event(session="cs_odd")).encode()

    assert ask(server.url, "POST", "/api/stripe/webhook", payload, Stripe_Signature=value)[0] == 400
    assert store.accounts.find("ada@example.com") is None


@pytest.mark.parametrize("kind", ["application/json; x=é".encode(), b"", b"text/plain", b"application/json\xff"])
def test_odd_media_types_are_a_415_and_charge_nothing(server, store, kind):
    make_account(store, credits=100)

    status, _, _ = ask(
        server.url, "POST", "/api/tasks", b'{"description": "x"}', Authorization=sign_in(server), Content_Type=kind
    )

    assert status == 415
    assert every_task(store) == []


def test_a_key_sent_twice_is_one_key_each_time(server, store):
    """The server joins a doubled header, the same way on every retry."""
    make_account(store, credits=100)
    token = sign_in(server)
    pairs = {"Idempotency_Key": "one\r\nIdempotency-Key: two"}

    answers = [
        ask(
            server.url,
            "POST",
            "/api/tasks",
            b'{"description": "Once"}',
            Authorization=token,
            Content_Type="application/json",
            **pairs,
        )
        for _ in range(3)
    ]

    assert {status for status, _, _ in answers} == {201}
    assert len({json.loads(content)["task_id"] for _, _, content in answers}) == 1


@pytest.mark.threat(28)
def test_a_signed_event_in_chunks_credits_once(server, store):
    payload = json.dumps(session_event(session="cs_chunks")).encode()

    def chunks():
        for start in range(0, len(payload), 100):
            yield payload[start : start + 100]

    for _ in range(2):
        answer = httpx.post(
            f"{server.url}/api/stripe/webhook",
            content=chunks(),
            headers={"Stripe-Signature": signed(payload), "Content-Type": "application/json"},
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text

    assert store.accounts.get("ada@example.com").credits_balance == 1000


def test_a_form_that_breaks_off_charges_nothing(server, store):
    make_account(store, credits=100)
    token = sign_in(server)
    parts = urlsplit(server.url)
    body = b'{"description": "Half of'
    head = (
        f"POST /api/tasks HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {token}\r\nIdempotency-Key: half\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body) + 20}\r\n\r\n"
    ).encode()

    with closing(socket.create_connection((parts.hostname, parts.port), timeout=60)) as line:
        line.sendall(head + body)
        line.shutdown(socket.SHUT_WR)
        line.recv(65536)

    assert every_task(store) == []
    assert store.accounts.get("ada@example.com").credits_balance == 100


@pytest.mark.threat(96)
def test_a_forwarded_address_that_is_not_ascii_hides_nobody(dynamodb_url, store, tmp_path):
    with Server(dynamodb_url, tmp_path / "proxied.log", workers=1, TRUSTED_PROXIES="1") as proxied:
        assert ask(proxied.url, "GET", "/login", X_Forwarded_For="é, 192.0.2.7".encode())[0] == 400
        assert ask(proxied.url, "GET", "/login", X_Forwarded_For="192.0.2.7")[0] == 200
        assert ask(proxied.url, "GET", "/login")[0] == 200
