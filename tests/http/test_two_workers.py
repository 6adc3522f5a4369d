"""What must hold over HTTP with two worker processes: no credit lost, invented or charged twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from app.domain.credits import SPEND
from tests.support import PASSWORD, all_mails, every_task, ledger, make_account, session_event, signed

PATIENCE_SECONDS = 60


class Submitter:
    """One client program with connections of its own."""

    def __init__(self, url: str, email: str = "ada@example.com"):
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        answer = self.http.post("/api/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def submit(self, key: str) -> int:
        """Submit once; as a careful program does, with the same key again after a broken line or a 503."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self.http.post(
                    "/api/tasks", json={"description": f"Task {key}"}, headers={"Idempotency-Key": key}
                )
                if answer.status_code != 503:
                    return answer.status_code
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"no answer for {key}"
            time.sleep(0.1)


def test_one_hundred_of_four_hundred_submits_are_taken_when_1000_credits_are_there(server, store):
    make_account(store, credits=1000)

    def client(number: int) -> list[int]:
        submitter = Submitter(server.url)
        return [submitter.submit(f"{number}-{turn}") for turn in range(25)]

    with ThreadPoolExecutor(16) as pool:
        statuses = Counter(status for answers in pool.map(client, range(16)) for status in answers)

    assert statuses == {201: 100, 402: 300}
    assert store.accounts.get("ada@example.com").credits_balance == 0
    assert Counter(entry.type for entry in ledger(store, "ada@example.com"))[SPEND] == 100
    assert len(every_task(store)) == 100


def test_one_task_for_10_credits_when_a_reference_is_sent_24_times_at_once(server, store):
    make_account(store, credits=1000)
    order = {"description": "Summarise the report", "reference": "order-1042", "tags": ["Invoices"]}

    def client(number: int) -> list[tuple[int, str, bool]]:
        http, told = Submitter(server.url).http, []
        for body in (order, order | {"description": f"Words of {number}"}):
            answer = http.post("/api/tasks", json=body)
            told.append((answer.status_code, answer.json().get("task_id", ""), "Idempotent-Replayed" in answer.headers))
        return told

    with ThreadPoolExecutor(12) as pool:
        first, other = zip(*pool.map(client, range(12)), strict=True)

    (task,) = every_task(store)
    assert Counter(first) == {(201, task["task_id"], True): 11, (201, task["task_id"], False): 1}
    assert Counter(other) == {(409, task["task_id"], False): 12}
    assert store.accounts.get("ada@example.com").credits_balance == 990


def test_one_credit_when_a_webhook_arrives_twelve_times_at_once(server, store):
    payload = json.dumps(session_event(session="cs_1")).encode()
    headers = {"Stripe-Signature": signed(payload), "Content-Type": "application/json"}

    def deliver(_: int) -> int:
        return httpx.post(
            f"{server.url}/api/stripe/webhook", content=payload, headers=headers, timeout=30, trust_env=False
        ).status_code

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(deliver, range(12)))

    assert answers == [200] * 12
    assert store.accounts.get("ada@example.com").credits_balance == 1000
    assert [mail.kind for mail in all_mails(store)] == ["welcome"]


def test_purchases_and_spends_at_the_same_time_add_up(server, store):
    make_account(store, credits=200)

    def spend(number: int) -> int:
        submitter = Submitter(server.url)
        return [submitter.submit(f"{number}-{turn}") for turn in range(10)].count(201)

    def buy(number: int) -> None:
        payload = json.dumps(session_event(session=f"cs_{number}", cents=100)).encode()
        headers = {"Stripe-Signature": signed(payload)}
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http:
            while http.post("/api/stripe/webhook", content=payload, headers=headers).status_code == 503:
                time.sleep(0.1)

    with ThreadPoolExecutor(12) as pool:
        spends, buys = pool.map(spend, range(4)), pool.map(buy, range(20))
        taken = sum(spends)
        list(buys)

    assert store.accounts.get("ada@example.com").credits_balance == 200 + 20 * 100 - 10 * taken
    assert taken == 40


def test_each_key_is_charged_once_when_workers_are_killed_under_load(server, store):
    emails = [f"customer-{number}@example.com" for number in range(4)]
    for email in emails:
        make_account(store, email, credits=1000)
    submitters = {email: Submitter(server.url, email) for email in emails}
    done = threading.Semaphore(0)

    def load(email: str) -> list[int]:
        answers = []
        for turn in range(40):
            answers.append(submitters[email].submit(f"key-{turn}"))
            done.release()
        return answers

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(load, email) for email in emails]
        for _ in range(3):
            for _ in range(30):
                assert done.acquire(timeout=PATIENCE_SECONDS)
            os.kill(server.wait_for_workers()[0], signal.SIGKILL)
        answers = [future.result() for future in running]

    again = [submitters[email].submit(f"key-{turn}") for email in emails for turn in range(40)]

    assert Counter(status for each in answers for status in each) == {201: 160}
    assert set(again) == {201}
    assert len(every_task(store)) == 160
    for email in emails:
        assert store.accounts.get(email).credits_balance == 1000 - 40 * 10
        assert sum(entry.amount for entry in ledger(store, email)) == 600


def test_a_killed_worker_is_replaced(server):
    before = server.wait_for_workers(2)

    os.kill(before[0], signal.SIGKILL)

    assert set(server.wait_for_workers(2, other_than=before)) != set(before)


def test_stop_signal_loses_no_answer(dynamodb_url, store, tmp_path):
    """Row 98: SIGTERM under load; what was answered 201 is there, what was not can be sent again."""
    from tests.http.server import Server

    make_account(store, credits=1000)
    with Server(dynamodb_url, tmp_path / "server.log", workers=1) as server:
        submitter = Submitter(server.url)
        accepted = []

        def load() -> None:
            for turn in range(200):
                try:
                    answer = submitter.http.post(
                        "/api/tasks", json={"description": f"{turn}"}, headers={"Idempotency-Key": f"k-{turn}"}
                    )
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    accepted.append(answer.json()["task_id"])

        thread = threading.Thread(target=load)
        thread.start()
        while len(accepted) < 10:
            time.sleep(0.01)
        server.terminate()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()

    assert set(accepted) <= {task["task_id"] for task in every_task(store)}
    assert len(every_task(store)) - len(accepted) <= 1
