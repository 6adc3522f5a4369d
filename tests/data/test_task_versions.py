"""What waiters look for: the versions of many tasks in one call."""

from __future__ import annotations

from typing import Any

from app.data.codec import encode_item
from app.domain.clock import utcnow
from app.services import queue, tasks
from tests.support import make_account


def test_versions_of_many_tasks_in_one_call_and_of_none_that_is_gone(store, monkeypatch):
    ada = make_account(store, credits=1_000)
    make_account(store, "olga@example.com", role="admin")
    ids = [
        tasks.submit(store, ada, f"Task {number}", now=utcnow(), idempotency_key=str(number)).task.task_id
        for number in range(3)
    ]
    of_old = {"task_id": "task_old", "user_email": ada.email, "status": "completed", "created_at": "2024-01-01"}
    store.client.put_item(TableName=store.prefix + "Tasks", Item=encode_item(of_old))
    before = store.tasks.versions([*ids, "task_none", "task_old", ids[0]])
    queue.claim(store, "olga@example.com", ids[1], now=utcnow())

    calls: list[Any] = []
    ask = store.client.batch_get_item
    monkeypatch.setattr(store.client, "batch_get_item", lambda **request: calls.append(request) or ask(**request))
    after = store.tasks.versions([*ids, "task_none", "task_old"])

    assert len(calls) == 1
    assert "ConsistentRead" not in str(calls)
    assert before == {task_id: store.tasks.get(task_id, owner=ada.email).version for task_id in ids} | {
        "task_none": None,
        "task_old": 0,  # a row of the original product has none, and is read as this
        ids[1]: before[ids[1]],
    }
    assert {key for key in before if before[key] != after[key]} == {ids[1]}


def test_what_dynamodb_has_left_out_is_not_taken_for_a_change(store, monkeypatch):
    ada = make_account(store, credits=1_000)
    task_id = tasks.submit(store, ada, "Here", now=utcnow(), idempotency_key="1").task.task_id
    ask = store.client.batch_get_item

    def half(**request: Any) -> dict[str, Any]:
        name, wanted = next(iter(request["RequestItems"].items()))
        some, rest = wanted["Keys"][:1], wanted["Keys"][1:]
        return ask(RequestItems={name: wanted | {"Keys": some}}) | {"UnprocessedKeys": {name: wanted | {"Keys": rest}}}

    monkeypatch.setattr(store.client, "batch_get_item", half)

    assert store.tasks.versions([task_id, "task_later"]) == {task_id: store.tasks.find(task_id).version}
