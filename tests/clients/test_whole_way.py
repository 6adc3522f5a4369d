"""A program from its key to its statement: a batch, its end told by webhooks and again by a wait, over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

import impacteragi
from app.domain.accounts import AccountKey
from app.domain.clock import utcnow
from app.domain.webhooks import TYPES
from app.gateways.receivers import Receivers, Trial
from app.services import webhooks
from app.services.sealing import Sealer
from app.services.webhook_sender import WebhookSender
from tests.receiver import Receiver, say

SEALER = Sealer(("a secret of the tests",))


class Told:
    """The program's receiver behind TLS, an endpoint that leads there, and the sender of ours."""

    def __init__(self, customer: Any, seen: Any) -> None:
        self.events: list[impacteragi.Event] = []
        self.fails, self._later = 1, timedelta()
        self._front = Receiver(answer=self._hand_on)
        reached = Receivers(Trial(frozenset({self._front.authority_name}), str(self._front.authority)))
        owner = customer.store.accounts.get(AccountKey("ada@example.com"))
        wanted = webhooks.Wishes(self._front.url, TYPES)
        _, secret = webhooks.make(customer.store, SEALER, reached, owner, wanted, now=utcnow())
        self._sender = WebhookSender(customer.store, SEALER, reached, lambda: utcnow() + self._later)
        self._behind = impacteragi.Receiver(secret, self._deal_with, seen=seen)
        threading.Thread(target=self._behind.run, daemon=True).start()

    def _hand_on(self, handler: Any, number: int) -> None:
        headers, body = self._front.got[number - 1]
        named = {name: value for name, value in headers.items() if name.startswith("webhook-")}
        say(handler, httpx.post(self._behind.url, content=body, headers=named, trust_env=False).status_code)

    def _deal_with(self, event: impacteragi.Event) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not yet")
        self.events.append(event)

    def send(self) -> None:
        """What is due, and a minute later what had failed."""
        for self._later in (timedelta(), timedelta(minutes=1)):
            while self._sender.look():
                self._sender.finish()

    def close(self) -> None:
        self._front.close()
        self._behind.close()


@pytest.fixture
def told(customer, tmp_path) -> Iterator[Told]:
    told = Told(customer, tmp_path / "seen.db")
    yield told
    told.close()


def test_a_batch_is_told_by_webhooks_and_by_a_wait_and_its_statement_adds_up(customer, told):
    with customer.client() as client:
        tasks = client.batch([f"Übung {number}" for number in range(8)], idempotency_key="exercises")
        for task in tasks:
            customer.complete(task.task_id, f"Lösung von {task.description}")
        told.send()
        done = client.wait(tasks, timeout=60)
        statement = client.statement(f"{tasks[0].created_at:%Y-%m}")

    ended = [event.data["task_id"] for event in told.events if event.type == "task.completed"]
    assert sorted(ended) == sorted(task.task_id for task in tasks)
    assert len({event.event_id for event in told.events}) == len(told.events)
    assert [task.result for task in done] == [f"Lösung von {task.description}" for task in tasks]
    assert [row.amount for row in statement.rows] == [-10] * 8
    assert statement.closing == 20
