"""The example of a worker, with an API key, against the server as it is deployed and whatever goes wrong on the way."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.domain.api_keys import QUEUE_WORK
from app.domain.clock import utcnow
from app.services import api_keys, queue, tasks
from tests.support import make_account, make_key, make_operators

WORKER = Path(__file__).parents[2] / "scripts" / "worker_example.py"
OP = "op@example.com"


@contextmanager
def front(url: str, faults: dict[str, list[str | Callable[[str], None]]]) -> Iterator[str]:
    """Stands before the server. `faults` are met in turn by calls whose path ends so: a status, `lost` before the
    server has it, `answer lost` after, or what happens just before it.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            waiting = next((left for end, left in faults.items() if self.path.endswith(end)), [])
            fault = waiting.pop(0) if waiting else ""
            if fault == "lost":
                self.close_connection = True
                return
            if callable(fault):
                fault(self.path.split("/")[-2])
            if isinstance(fault, str) and fault.isdigit():
                self.answer(int(fault), b'{"error": "Later.", "code": "busy"}', {"Retry-After": "0"})
                return
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
            answer = httpx.post(url + self.path, content=body, headers=headers, trust_env=False, timeout=60)
            if fault != "answer lost":
                self.answer(answer.status_code, answer.content, {})

        def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def run(url: str, key: str) -> subprocess.CompletedProcess[str]:
    environment = {"API_URL": url, "API_KEY": key, "HEARTBEAT_SECONDS": "0.01"}
    return subprocess.run(
        [sys.executable, str(WORKER), "--once"], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def work(store):
    """An operator's key, and two tasks."""
    make_operators(store, OP)
    make_account(store, credits=100)
    key = make_key(store, OP, [QUEUE_WORK])
    made = [tasks.submit(store, store.accounts.get("ada@example.com"), f"Task {n}", now=utcnow()).task for n in (1, 2)]
    return key, made


def test_a_worker_with_a_key_outlives_what_passes_and_stops_when_the_key_ends(server, store, work):
    key, made = work

    def taken_away(task_id: str) -> None:
        queue.release(store, OP, task_id, now=utcnow())
        queue.claim(store, "two@example.com", task_id, now=utcnow())

    faults = {"/claim": ["lost", "503", "429"], "/complete": ["answer lost", "503", "", taken_away]}
    with front(server.url, faults) as url:
        done = run(url, key)
        api_keys.revoke(store, store.accounts.get(OP), api_keys.key_id_of(key), now=utcnow())
        stopped = run(url, key)

    first, second = (store.tasks.get_with_result(task.task_id) for task in made)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("completed") == 1
    assert (first[0].status, first[1].text) == ("completed", "# Result\n\nYour task has **2** words.")
    assert second[0].lease_owner == "two@example.com"
    assert "was refused" in done.stderr
    assert stopped.returncode == 1
    assert stopped.stderr.strip().endswith("This worker stops: " + api_keys.KeyRefused.message)
    assert "Traceback" not in done.stderr + stopped.stderr
    assert key not in done.stdout + done.stderr + stopped.stderr + server.log()


@pytest.mark.threat(131)
def test_a_revoked_key_is_dead_in_every_worker_at_its_next_request(server, store):
    make_account(store, credits=100)
    key = make_key(store)
    headers = {"Authorization": f"Bearer {key}"}

    def ask(_: int) -> int:
        return httpx.get(f"{server.url}/api/user", headers=headers, trust_env=False, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:  # connections of their own, so that both processes have known it
        before = set(pool.map(ask, range(24)))
        api_keys.revoke(store, store.accounts.get("ada@example.com"), api_keys.key_id_of(key), now=utcnow())
        after = set(pool.map(ask, range(24)))

    assert (before, after) == ({200}, {401})
    assert len(server.workers()) == 2


@pytest.mark.threat(132)
def test_two_processes_take_a_key_to_its_limit_and_no_further(server, store):
    make_account(store, credits=1000)
    key = make_key(store, monthly=125)

    def submit(number: int) -> int:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"r-{number}"}
        body = {"description": f"Task {number}"}
        while True:
            answer = httpx.post(f"{server.url}/api/tasks", json=body, headers=headers, trust_env=False, timeout=60)
            if answer.status_code != 503:
                return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(submit, range(30)))

    assert statuses == [201] * 12 + [402] * 18
    assert sum(store.api_keys.find(api_keys.key_id_of(key)).spent.values()) == 120
    assert store.accounts.get("ada@example.com").credits_balance == 880
