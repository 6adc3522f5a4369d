"""Many tasks in few requests: each request is whole or nothing, and a batch that goes on pays for nothing twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

import impacteragi
from app.domain.credits import REFUND, SPEND
from impacteragi import Cancelled, Task, calls
from tests.loops import run
from tests.support import every_task, ledger, make_account, make_key

FIVE = [f"Task {number}" for number in range(5)]


@pytest.fixture(autouse=True)
def two_in_a_request(monkeypatch):
    monkeypatch.setattr(calls, "BATCH_TASKS", 2)
    monkeypatch.setattr(calls, "AT_ONCE", 2)


def moved(customer, kind: str) -> int:
    return [row.type for row in ledger(customer.store, "ada@example.com")].count(kind)


def test_a_batch_keeps_its_order_and_comes_in_few_requests(customer, between):
    with customer.client(between.url) as client:
        tasks = client.batch(FIVE, idempotency_key="five")
        again = client.batch(FIVE, idempotency_key="five")

    assert between.calls == [("/api/tasks/batch", "pass")] * 6
    assert [task.description for task in tasks] == FIVE
    assert [task.task_id for task in again] == [task.task_id for task in tasks]
    assert (len(every_task(customer.store)), moved(customer, SPEND)) == (5, 5)


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_a_batch_that_lost_an_answer_goes_on_with_its_key(customer, between, fault):
    between.rule = lambda _, number: fault if number else "pass"
    with customer.client(between.url, retry_seconds=0.2) as client:
        with pytest.raises(impacteragi.BatchStopped, match=r"2 of 5 tasks .* stopped at tasks 3 to 4") as stopped:
            client.batch(FIVE)
        between.heal()
        tasks = client.batch(FIVE, idempotency_key=stopped.value.idempotency_key)

    assert [task.description for task in tasks] == FIVE
    assert [task.task_id for task in tasks[:2]] == [task.task_id for task in stopped.value.tasks]
    assert (len(every_task(customer.store)), moved(customer, SPEND)) == (5, 5)


def test_an_asynchronous_batch_goes_on_as_well(customer, between):
    between.rule = lambda _, number: "lost" if number else "pass"

    async def program() -> list[Task]:
        async with customer.async_client(between.url, retry_seconds=0.2) as client:
            with pytest.raises(impacteragi.BatchStopped) as stopped:
                await client.batch(FIVE)
            between.heal()
            tasks = await client.batch(FIVE, idempotency_key=stopped.value.idempotency_key)
            done = await client.cancel(tasks)
            assert (len(done.tasks), done.refused, done.credits_remaining) == (5, (), 100)
            statement = await client.statement(f"{tasks[0].created_at:%Y-%m}")
            assert [row.amount for row in statement][-10:] == [-10] * 5 + [10] * 5
            return tasks

    assert [task.description for task in run(program())] == FIVE
    assert (len(every_task(customer.store)), moved(customer, SPEND)) == (5, 5)


def test_what_is_not_accepted_is_told_by_its_number_and_the_mended_batch_goes_on(customer):
    with customer.client() as client:
        with pytest.raises(impacteragi.BatchStopped, match=r"2 of 5 tasks .* stopped at task 4: ") as stopped:
            client.batch(["One", "Two", "Three", " ", "Five"], idempotency_key="mended")
        assert isinstance(stopped.value.cause, impacteragi.InvalidInput)
        tasks = client.batch(["One", "Two", "Three", "Four, which is longer", "Five"], idempotency_key="mended")
        with pytest.raises(impacteragi.BatchStopped, match="stopped at tasks 1 to 2") as other:
            client.batch(["Other", "Two"], idempotency_key="mended")
        assert client.batch([]) == []

    assert isinstance(other.value.cause, impacteragi.IdempotencyKeyReused)
    assert [task.task_id for task in tasks[:2]] == [task.task_id for task in stopped.value.tasks]
    assert moved(customer, SPEND) == 5


def test_long_descriptions_come_in_more_requests_than_the_server_would_refuse(customer, between, monkeypatch):
    monkeypatch.setattr(calls, "BATCH_TASKS", 30)
    long = ["東" * 4_990 + str(number) for number in range(9)]
    with customer.client(between.url) as client:
        tasks = client.batch(long)

    assert [task.description for task in tasks] == long
    assert len(between.calls) == 9
    assert [len(part) for part in calls.parts_of([impacteragi.NewTask("x" * 4_000)] * 24)] == [11, 11, 2]
    assert [len(part) for part in calls.parts_of([impacteragi.NewTask("x")] * 61)] == [30, 30, 1]


def test_a_request_holds_no_more_references_and_tags_than_the_server_has_room_for(customer, monkeypatch):
    monkeypatch.setattr(calls, "BATCH_TASKS", 30)
    make_account(customer.store, "bob@example.com", credits=400)
    bob = replace(customer, key=make_key(customer.store, "bob@example.com"))
    new = [impacteragi.NewTask(f"Task {n}", f"Own-{n}", [f"tag {n}"]) for n in range(40)]
    parts = [len(part) for part in calls.parts_of(new)]
    with bob.client() as client:
        done = client.batch(new)
        again = client.batch(new)

    assert parts == [21, 19]
    assert [(task.reference, task.tags) for task in done] == [(task.reference, tuple(task.tags)) for task in new]
    assert [task.task_id for task in again] == [task.task_id for task in done]


def test_several_are_cancelled_each_for_itself_and_a_lost_answer_gives_nothing_back_twice(customer, between):
    with customer.client(between.url) as client:
        tasks = client.batch(FIVE)
        customer.complete(tasks[1].task_id)
        between.first(2, "lost", "/api/tasks/cancel")
        done = client.cancel([*tasks, tasks[0].task_id, "task_of_nobody"])
        assert client.cancel([]) == Cancelled((), (), None)

    assert [task.task_id for task in done.tasks] == [tasks[place].task_id for place in (0, 2, 3, 4)]
    assert [(one.task_id, one.code) for one in done.refused] == [
        (tasks[1].task_id, "wrong_state"),
        ("task_of_nobody", "not_found"),
    ]
    assert (done.credits_remaining, moved(customer, REFUND)) == (90, 4)
