"""Webhooks through the server and the sender as they run: processes of their own, and a receiver with TLS."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from app.data import Store
from app.domain.accounts import AccountKey
from app.domain.clock import utcnow
from app.services import queue
from tests.http.server import REPO, Server
from tests.receiver import Receiver, say
from tests.support import PASSWORD, make_account, make_operators

pytestmark = pytest.mark.long

ADA, OP = AccountKey("ada@example.com"), AccountKey("op@example.com")
FAILURES = 5


def sender(server: Server, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flask", "--app", "app.wsgi", "mail", "send", "--watch", "--every", "0.1"]
    with log.open("ab") as file:
        return subprocess.Popen(command, cwd=REPO, env=server.environment, stdout=file, stderr=file)


def until(true: Any, store: Store, endpoint_id: str, what: str) -> None:
    """Time passes for what waits: the test does not wait for it."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        let_time_pass(store, endpoint_id)
        time.sleep(0.1)


def let_time_pass(store: Store, endpoint_id: str, *, leases_too: bool = False) -> None:
    endpoint = store.webhooks.find_endpoint(endpoint_id)
    if endpoint and endpoint.rest_until:
        store.updates.webhooks.change_endpoint(endpoint, rest_until=None)
    for one in store.webhooks.list_waiting(endpoint_id, limit=10):
        if leases_too or one.attempts == len(one.tries):
            store.updates.webhooks.make_due(one, utcnow())


@pytest.mark.threat(162)
def test_five_failures_and_a_killed_sender_leave_each_event_told_in_order(
    store: Store, dynamodb_url: str, tmp_path: Path
) -> None:
    taken: list[tuple[dict[str, str], bytes]] = []

    def answer(handler: Any, number: int) -> None:
        if number > FAILURES:
            taken.append(receiver.got[number - 1])
        say(handler, 200 if number > FAILURES else 500, b"no")

    receiver, log = Receiver(answer=answer), tmp_path / "sender.log"
    trial = {"WEBHOOK_TRIAL_RECEIVERS": receiver.authority_name, "WEBHOOK_TRIAL_AUTHORITY": str(receiver.authority)}
    make_operators(store, OP)
    make_account(store, ADA, credits=100)
    running = None
    try:
        with (
            Server(dynamodb_url, tmp_path / "server.log", workers=1, **trial) as server,
            httpx.Client(base_url=server.url, timeout=30) as client,
        ):
            token = client.post("/api/auth/login", json={"email": ADA, "password": PASSWORD}).json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            wanted = {"url": receiver.url, "types": ["task.started", "task.completed"], "password": PASSWORD}
            made = client.post("/api/webhooks", json=wanted)
            assert made.status_code == 201, made.text
            endpoint_id, secret = made.json()["endpoint_id"], made.json()["secret"]
            inside = client.post("/api/webhooks", json=wanted | {"url": "https://localhost.localdomain:8443/"})
            assert inside.status_code == 422
            task_id = client.post("/api/tasks", json={"description": "Find a venue"}).json()["task_id"]
            queue.claim(store, OP, task_id, now=utcnow())
            queue.complete(store, OP, task_id, "Done", now=utcnow())
            running = sender(server, log)
            until(lambda: len(receiver.got) >= 2, store, endpoint_id, log.read_text())
            running.kill()
            running.wait()
            let_time_pass(store, endpoint_id, leases_too=True)
            running = sender(server, log)
            until(lambda: len({headers["webhook-id"] for headers, _ in taken}) == 2, store, endpoint_id, "not told")
            running.terminate()
            assert running.wait(30) == 0
            deliveries = client.get(f"/api/webhooks/{endpoint_id}/deliveries").json()["deliveries"]
    finally:
        if running and running.poll() is None:
            running.kill()
            running.wait()
        receiver.close()

    assert {one["state"] for one in deliveries} == {"delivered"}
    told = list(dict.fromkeys((headers["webhook-id"], json.loads(body)["type"]) for headers, body in taken))
    assert [kind for _, kind in told] == ["task.started", "task.completed"]
    assert {json.loads(body)["type"] for _, body in receiver.got[:FAILURES]} == {"task.started"}
    for headers, body in receiver.got:
        assert Webhook(secret).verify(body.decode(), headers)["data"]["task_id"] == task_id
    assert secret not in log.read_text()
