"""What Prometheus reads of a server with two workers: the sum of both, whoever answers, also when one was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.http.server import Server
from tests.support import PASSWORD, make_account

TOKEN = "5d1f0c9e7ab8426390" * 2
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
REQUESTS = "dashboard_request_duration_seconds_count"


@pytest.fixture(scope="module")
def measured(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(dynamodb_url, tmp_path_factory.mktemp("measured") / "server.log", METRICS_TOKEN=TOKEN) as server:
        yield server
        assert "unexpected error" not in server.log(), server.log()[-5000:]


def scrape(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Over a connection of its own, so that any worker may answer."""
    for _ in range(100):
        try:
            answer = httpx.get(f"{server.url}/metrics", headers=SHOWN, timeout=30, trust_env=False)
            break
        except httpx.TransportError:  # a worker has just died
            time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def number(found: dict[Any, float], name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def logins(found: dict[Any, float]) -> float:
    return number(found, REQUESTS, route="/login", method="GET", status="2xx")


def ask(server: Server, times: int) -> int:
    """Each over a connection of its own; how many were answered."""

    def once(_: int) -> bool:
        try:
            return httpx.get(f"{server.url}/login", timeout=30, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(once, range(times)))


def test_a_scrape_is_the_sum_of_both_workers_and_no_kill_takes_it_back(measured, store):
    before = logins(scrape(measured))
    asked = ask(measured, 60)
    assert asked == 60
    assert {logins(scrape(measured)) for _ in range(12)} == {before + asked}, "whoever answers tells of both"

    known = scrape(measured)
    for victim in (0, 1):
        workers = measured.workers()
        os.kill(workers[victim], signal.SIGKILL)
        measured.wait_for_workers(2, other_than=workers)
        found = scrape(measured)
        gone_back = {
            key: (value, found.get(key, 0.0))
            for key, value in known.items()
            if key[0].endswith(("_total", "_count", "_sum", "_bucket")) and found.get(key, 0.0) < value
        }
        assert gone_back == {}
        known = found
    assert logins(known) == before + asked
    more = ask(measured, 20)
    assert logins(scrape(measured)) == before + asked + more


def test_a_request_in_the_middle_of_its_work_is_no_slot_for_ever(measured, store):
    """A worker that is killed at work leaves its slot; the one in its place begins with none."""
    for _ in range(2):
        workers = measured.workers()
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, measured, 5) for _ in range(4)]
            os.kill(workers[0], signal.SIGKILL)
            measured.wait_for_workers(2, other_than=workers)
            for each in asked:
                each.result()
    assert number(scrape(measured), "dashboard_slots_used") == 0


def test_a_submit_is_seen_in_the_ledger_in_the_store_and_by_its_route(measured, store):
    make_account(store, credits=100)
    before = scrape(measured)
    with httpx.Client(base_url=measured.url, timeout=30, trust_env=False) as http:
        login = http.post("/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {login.json()['token']}"
        for number_ in range(3):
            answer = http.post("/api/tasks", json={"description": "Say"}, headers={"Idempotency-Key": f"k{number_}"})
            assert answer.status_code == 201
    found = scrape(measured)

    def more(name: str, **labels: str) -> float:
        return number(found, name, **labels) - number(before, name, **labels)

    assert more(REQUESTS, route="/api/tasks", method="POST", status="2xx") == 3
    assert more("dashboard_ledger_moves_total", kind="spend") == 3
    assert more("dashboard_ledger_credits_total", kind="spend", way="out") == 30
    written = {"action": "TransactWriteItems", "table": "several"}
    assert more("dashboard_dynamodb_tries_total", outcome="ok", **written) >= 3
    assert more("dashboard_dynamodb_duration_seconds_count", action="TransactWriteItems", outcome="ok") >= 3
    assert number(found, "dashboard_store_read") == 1
    text = httpx.get(f"{measured.url}/metrics", headers=SHOWN, trust_env=False).text
    assert "ada@example.com" not in text
    assert "k1" not in text


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}],
)
def test_without_the_token_there_is_nothing_to_read(measured, headers):
    answer = httpx.get(f"{measured.url}/metrics", headers=headers, trust_env=False)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Cache-Control"] == "no-store"


def test_no_limit_counts_a_scrape(measured):
    answers = [httpx.get(f"{measured.url}/metrics", headers=SHOWN, trust_env=False) for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].headers["Cache-Control"] == "no-store"
