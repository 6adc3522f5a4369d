"""Webhooks received: signed by the reference library, sent over HTTP, handed on once."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

import impacteragi
from tests.support import interrupted

REPO = Path(__file__).resolve().parents[2]
OLD, NEW, OTHER = ("whsec_" + base64.b64encode(bytes([number]) * (24 + number)).decode() for number in range(3))
BODY = json.dumps(
    {"type": "task.completed", "timestamp": "2026-12-01T00:00:00.5Z", "data": {"task_id": "task_東"}},
    ensure_ascii=False,
)


def signed(event_id: str = "evt_1", secret: str = NEW, at: datetime | None = None, body: str = BODY) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signature = Webhook(secret).sign(event_id, at, body)
    return {"webhook-id": event_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


class Receiving:
    """A receiver that runs, with what it has handed on; `fails` events more are not dealt with."""

    def __init__(self, seen: Path) -> None:
        self.events: list[impacteragi.Event] = []
        self.fails = 0
        self.receiver = impacteragi.Receiver([OLD, NEW], self._handle, seen=seen)
        threading.Thread(target=self.receiver.run, daemon=True).start()

    def _handle(self, event: impacteragi.Event) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not now")
        self.events.append(event)

    def post(self, body: str = BODY, **headers: str) -> int:
        named = headers or signed()
        return httpx.post(
            self.receiver.url, content=body.encode(), headers=named, timeout=30, trust_env=False
        ).status_code


@pytest.fixture
def receiving(tmp_path):
    receiving = Receiving(tmp_path / "seen.db")
    yield receiving
    receiving.receiver.close()


def test_an_event_is_handed_on_once_however_often_it_is_sent(receiving, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: receiving.post(), range(16))) == {204}
    assert receiving.post(**signed(secret=OLD)) == 204  # the sender signs with either while a secret is replaced
    receiving.fails = 1
    assert [receiving.post(**signed("evt_2")) for _ in range(3)] == [500, 204, 204]
    receiving.receiver.close()
    again = Receiving(tmp_path / "seen.db")
    assert again.post() == 204
    again.receiver.close()

    assert [(event.event_id, event.type, event.data["task_id"]) for event in receiving.events] == [
        ("evt_1", "task.completed", "task_東"),
        ("evt_2", "task.completed", "task_東"),
    ]
    assert again.events == []


@pytest.mark.parametrize(
    "headers",
    [
        signed(secret=OTHER),
        signed(at=datetime.now(UTC) - timedelta(hours=1)),
        signed(body=BODY + " "),
        signed() | {"webhook-signature": "v1"},
        signed() | {"webhook-signature": "v1,é€".encode().decode("latin-1")},
        signed() | {"webhook-timestamp": "soon"},
        signed() | {"webhook-id": "evt_9"},
        {"content-type": "application/json"},
    ],
)
def test_what_is_not_signed_as_it_should_be_is_refused(receiving, headers):
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    assert receiving.post(**raw) == 401
    assert receiving.events == []


def test_what_is_no_event_at_all_is_refused_and_the_next_is_taken(receiving):
    for body, status in (("[]", 401), ("{", 401), ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), 401)):
        assert receiving.post(body, **signed(body=body)) == status
    host, port = httpx.URL(receiving.receiver.url).host, httpx.URL(receiving.receiver.url).port
    for headers, status in (({"Content-Length": "999999"}, 413), ({"Content-Length": "-1"}, 411)):
        asked = http.client.HTTPConnection(host, port, timeout=30)
        asked.putrequest("POST", "/")
        for name, value in headers.items():
            asked.putheader(name, value)
        asked.endheaders()
        assert asked.getresponse().status == status
        asked.close()
    assert httpx.get(receiving.receiver.url, trust_env=False).status_code == 501
    with socket.create_connection((host, port)) as silent:
        silent.sendall(b"POST / HTTP/1.1\r\n")
        assert receiving.post() == 204


def test_a_secret_that_is_none_is_refused_and_not_shown():
    for secrets in ("", "whsec_", "whsec_§§", "hunter2 is my secret", []):
        with pytest.raises(impacteragi.NotConfigured) as refused:
            impacteragi.Receiver(secrets, print)
        assert "hunter2" not in str(refused.value)


def test_the_command_prints_each_event_on_a_line_and_ends_in_order():
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "clients/python/src", "IMPACTERAGI_WEBHOOK_SECRET": NEW}
    listening = subprocess.Popen(
        [sys.executable, "-m", "impacteragi", "listen", "--port", "0"],
        env=environment | {"PYTHONUTF8": "1"},
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    url = re.search(r"http\S+", listening.stderr.readline().decode())[0]
    sent = [httpx.post(url, content=BODY.encode(), headers=signed(), trust_env=False).status_code for _ in range(2)]
    printed, said = interrupted(listening)

    assert sent == [204, 204]
    assert [json.loads(line) for line in printed.splitlines()] == [{"id": "evt_1", **json.loads(BODY)}]
    assert listening.returncode == 130
    assert b"Traceback" not in said
