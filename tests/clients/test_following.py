"""Changes of tasks as they come, by the Python client and its command line, against the running app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import httpx
import pytest

from app.domain.clock import utcnow
from app.services import tasks
from impacteragi import OVERLAP, Client, Task, Unusable, calls
from impacteragi.calls import Answer, Call, Pause
from impacteragi.following import Following
from tests.clients.test_cli import run as command
from tests.loops import run

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def told(found: list[Task]) -> list[tuple[str, str]]:
    return [(task.description, task.status) for task in found]


def test_each_change_is_told_once_as_it_comes(customer):
    with customer.client() as client, ThreadPoolExecutor(1) as aside:
        first = client.submit("First")
        updates = client.updates(LONG_AGO)
        assert told([next(updates)]) == [("First", "pending")]
        following = aside.submit(next, updates)
        client.cancel(first)
        assert told([following.result(40)]) == [("First", "cancelled")]
        second = client.submit("Second")
        customer.complete(second.task_id)
        found = []
        while ("Second", "completed") not in told(found):  # one that changes twice within a look is told once
            found.append(next(updates))

    assert {task.task_id for task in found} == {second.task_id}
    assert len({task.updated_at for task in found}) == len(found)


def test_the_asynchronous_client_does_the_same(customer):
    async def program() -> list[Task]:
        async with customer.async_client() as client:
            submitted = [await client.submit(f"Task {number}") for number in range(3)]
            found = []
            async for task in client.updates(LONG_AGO):
                found.append(task)
                if len(found) == 3:
                    await client.cancel(submitted[1])
                if len(found) == 4:
                    return found
        raise AssertionError

    assert told(run(asyncio.wait_for(program(), 40)))[3] == ("Task 1", "cancelled")


def test_without_a_moment_it_is_told_what_changes_from_now_on(customer):
    ada, earlier = customer.store.accounts.get("ada@example.com"), utcnow() - timedelta(seconds=30)
    before = tasks.submit(customer.store, ada, "Before", now=earlier, idempotency_key="before").task
    following = Following(None)
    with customer.client() as client:
        assert client._run(following.look()) == []
        for change, news in ((client.submit, ("After", "pending")), (client.cancel, ("Before", "cancelled"))):
            change("After" if news[0] == "After" else before.task_id)
            found: list[Task] = []
            while not found:
                found = client._run(following.look())
            assert told(found) == [news]


def test_a_change_that_comes_to_the_list_late_is_told(customer):
    with customer.client() as client:
        updates = client.updates(LONG_AGO)
        client.submit("First")
        assert next(updates).description == "First"
        ada = customer.store.accounts.get("ada@example.com")
        late = utcnow() - OVERLAP / 2
        tasks.submit(customer.store, ada, "Late", now=late, idempotency_key="late")

        assert next(updates).description == "Late"


def test_many_are_read_page_by_page(customer, monkeypatch):
    monkeypatch.setattr("impacteragi.following.PAGE", 2)
    with customer.client() as client:
        made = client.batch([f"Task {number}" for number in range(5)])
        updates = client.updates(LONG_AGO)
        assert [task.task_id for task in islice(updates, 5)] == [task.task_id for task in made]
        client.cancel(made[0])
        assert told([next(updates)]) == [("Task 0", "cancelled")]


def test_the_command_line_prints_them(customer):
    with customer.client() as client:
        client.cancel(client.submit("First"))
        client.submit("Second")

    lines = command(customer, "updates", "--since", "2020-01-01", "--limit", "2", "--json").printed.splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["cancelled", "pending"]
    assert b"Second" in command(customer, "updates", "--since", "2020-01-01T00:00:00Z", "--limit", "2").printed
    assert command(customer, "updates", "--since", "yesterday").status == 2


# Without a server


class Server:
    """Answers what `Following` asks, and notes it."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[Call] = []
        self.paused: list[float] = []
        self._answers: Iterator[Any] = iter(answers)

    def look(self, following: Following) -> list[Task]:
        steps = following.look()
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    self.paused.append(step.seconds)
                    step = next(steps)
                    continue
                self.asked.append(step)
                answer = next(self._answers)
                step = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
        except StopIteration as done:
            return done.value


def page(*moments: str, cursor: str | None = None) -> Answer:
    raw = [{"task_id": f"task_{at}", "updated_at": f"2026-11-22T{at}Z", "status": "pending"} for at in moments]
    return Answer(200, {"tasks": raw, "next_cursor": cursor}, {"ETag": f"of {moments}"})


def test_it_goes_back_before_the_newest_and_forgets_what_is_not_read_again():
    server = Server(page("10:00:00", "12:00:00"), Answer(304, None, {}), page("12:00:00"), page("12:00:00", "12:00:05"))
    following = Following(LONG_AGO)

    found = [[task.task_id for task in server.look(following)] for _ in range(4)]

    assert found == [["task_10:00:00", "task_12:00:00"], [], [], ["task_12:00:05"]]
    assert [call.params["updated_since"] for call in server.asked] == ["2020-01-01T00:00:00.000000Z"] * 2 + [
        "2026-11-22T11:58:00.000000Z"
    ] * 2
    assert [call.params.get("wait") for call in server.asked] == [None, "30", None, "30"]
    assert server.asked[1].etag == "of ('10:00:00', '12:00:00')"
    assert set(following._told) == {"task_12:00:00", "task_12:00:05"}


def test_a_server_that_answers_a_wait_at_once_is_not_asked_without_pause():
    server = Server(*[page("12:00:00"), Answer(304, None, {})] * 3)
    following = Following(LONG_AGO)

    for _ in range(6):
        server.look(following)

    assert len(server.paused) == 3
    assert server.paused == sorted(server.paused)
    assert server.paused[0] > 0


def test_a_cursor_of_before_an_update_begins_again_and_a_server_that_is_away_ends_nothing_for_a_while(monkeypatch):
    wrong = calls.refusal(Call("GET", "/"), httpx.Response(400), {"code": "bad_cursor", "error": "Start again"})
    away = calls.refusal(Call("GET", "/"), httpx.Response(503), {"code": "busy", "error": "Busy"})
    server = Server(page("12:00:00", cursor="c"), wrong, page("12:00:00", "12:00:01"), away, away)
    following = Following(LONG_AGO)

    assert [len(server.look(following)) for _ in range(4)] == [1, 0, 1, 0]
    assert [call.params.get("cursor") for call in server.asked] == [None, "c", None, None]
    monkeypatch.setattr("impacteragi.following.SILENCE_SECONDS", -1)
    with pytest.raises(type(away)):
        server.look(following)


def test_a_moment_without_a_time_zone_is_refused_before_anything_is_sent():
    with Client("imp_live_x", "http://127.0.0.1:9") as client, pytest.raises(Unusable, match="time zone"):
        next(client.updates(datetime(2026, 11, 22)))  # noqa: DTZ001
