"""One account asks for more than its share of the work slots, through the server: who else is served all the same."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest

from app import create_app
from app.data.table_setup import create_tables
from app.web.deps import KEY
from app.web.work_queue import Kind, Told
from app.web.work_slots import SLOTS, Slots, WorkSlots
from tests.conftest import PREFIX
from tests.http.server import Server
from tests.http.test_ended_session import Tab
from tests.http.test_metrics import TOKEN, number, scrape
from tests.support import PASSWORD, every_task, make_account, make_key, session_event, signed

CONNECTIONS = 100


class HeldOf:
    """Stops each page of one account's history, until it is let go: one for each permit."""

    def __init__(self, email: str) -> None:
        self._email = email.encode()
        self.waiting = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)

    def __call__(self, operation: str, body: bytes) -> None:
        if operation == "Query" and self._email in body:
            self.waiting.release()
            assert self.permits.acquire(timeout=60)


@pytest.mark.threat(153)
def test_who_floods_a_worker_waits_behind_all_others_and_is_told_so(store, proxy, dynamodb, tmp_path):
    create_tables(dynamodb, PREFIX)
    make_account(store, "ada@example.com", credits=100)
    make_account(store, "eve@example.com", credits=100)
    key = make_key(store, "eve@example.com")
    with (
        Server(
            proxy.url,
            tmp_path / "server.log",
            workers=1,
            target="tests.http.shared_server:app",
            STORE_TIMEOUT_SECONDS="60",
            METRICS_TOKEN=TOKEN,
        ) as server,
        ThreadPoolExecutor(CONNECTIONS + 4) as pool,
    ):
        eve, ada = Tab(server, "eve@example.com"), Tab(server, "ada@example.com")
        form = {"csrf_token": ada.token("/dashboard"), "description": "Water the plants", "request_id": "the-key"}
        event = json.dumps(session_event(session="cs_1", cents=100, email="ada@example.com")).encode()
        programs = [
            {"Authorization": f"Bearer {token}"}
            for token in (key, eve.web.post("/api/auth/login", json=_who(eve)).json()["token"])
        ]
        for headers in programs:
            assert httpx.get(f"{server.url}/api/tasks", headers=headers, trust_env=False).status_code == 200
        held = proxy.before = HeldOf("eve@example.com")
        cookies = dict(eve.web.cookies)

        def flood() -> int:
            return httpx.get(f"{server.url}/dashboard", cookies=cookies, trust_env=False, timeout=120).status_code

        def waiting(count: int) -> None:
            ends = time.monotonic() + 60
            while number(scrape(server), "dashboard_slots_waiting") != count:
                assert time.monotonic() < ends
                time.sleep(0.02)

        flooding = [pool.submit(flood) for _ in range(CONNECTIONS)]
        try:
            for _ in range(SLOTS):
                assert held.waiting.acquire(timeout=60)
            waiting(CONNECTIONS - SLOTS)
            others = [
                pool.submit(ada.web.get, "/dashboard", timeout=120),
                pool.submit(ada.web.post, "/tasks", data=form, timeout=120),
                pool.submit(
                    httpx.post,
                    f"{server.url}/api/stripe/webhook",
                    content=event,
                    headers={"Stripe-Signature": signed(event)},
                    trust_env=False,
                    timeout=120,
                ),
            ]
            waiting(CONNECTIONS - SLOTS + len(others))
            time.sleep(0.3)  # now their line stands
            told = [
                eve.web.get("/dashboard"),
                eve.web.get("/dashboard/live", headers={"HX-Request": "true", "HX-PTag": "seen"}),
                *(httpx.get(f"{server.url}/api/tasks", headers=headers, trust_env=False) for headers in programs),
            ]
            health = httpx.get(f"{server.url}/readyz", timeout=60, trust_env=False)

            held.permits.release()  # one of the flood is answered: all that others wait for is served by its slot
            answers = [each.result().status_code for each in others]
            still = sum(not each.done() for each in flooding)
        finally:
            for _ in range(CONNECTIONS):
                held.permits.release()
        served = [each.result() for each in flooding]
        refused = number(scrape(server), "dashboard_slots_refused_total", kind="page", why="share")
        log = server.log()

    assert answers == [200, 303, 200]
    assert still >= CONNECTIONS - 1
    assert [answer.status_code for answer in told] == [503] * 4
    assert {answer.headers["Retry-After"] for answer in told} == {"5"}
    assert all("Others wait, and you ask for much at once. Nothing was charged." in answer.text for answer in told)
    assert [answer.headers["Content-Type"].partition(";")[0] for answer in told] == [
        *("text/html", "text/plain", "application/json", "application/json")
    ]
    assert told[-1].json()["code"] == "busy"
    assert health.status_code == 200
    assert served == [200] * CONNECTIONS, "nobody waited any more: who floods has all slots again"
    assert refused == 3
    assert log.count('"event": "more than its share"') == 1
    assert '"logger": "app.web.work_slots", "email": "e***@example.com", "kind": "page"' in log
    assert [row["description"] for row in every_task(store)] == ["Water the plants"]


def _who(tab: Tab) -> dict[str, str]:
    return {"email": tab.email, "password": PASSWORD}


def test_a_stranger_is_the_visitor_and_not_what_stands_between(config, store, sender, stripe):
    found = []
    app = create_app(replace(config, trusted_proxies=1), store=store, sender=sender, stripe=stripe)
    slots = app.extensions[KEY].places._slots
    slots._patience_seconds = 0.01
    slots._queue.wait = lambda kind, patience, asker: found.append(asker.who) or Told.BUSY
    with ExitStack() as taken:
        for _ in range(SLOTS):
            slots._take()
        taken.callback(lambda: [slots._give() for _ in range(SLOTS)])
        answer = app.test_client().get("/login", headers={"X-Forwarded-For": "203.0.113.9"})

    assert answer.status_code == 503
    assert found == ["203.0.113.9"]


def test_of_one_account_a_line_is_written_once_a_minute_and_of_strangers_no_address(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.web.work_slots.monotonic", lambda: now[0])
    monkeypatch.setattr("app.web.work_slots.MOST_TOLD", 2)
    slots = WorkSlots(lambda *_: [], Slots(), lambda environ: "")

    for who in ("ada@example.com", "192.0.2.7"):
        for passed in (0, 59, 2):
            now[0] += passed
            slots._tell_of(who, Kind.PAGE)

    told = [record.email for record in caplog.records if record.getMessage() == "more than its share"]
    assert told == ["a***@example.com", "a***@example.com", None, None]
    slots._tell_of("bob@example.com", Kind.PAGE)
    assert len(slots._told_at) == 1
