"""The queue's index: oldest first across its shards, nothing twice, nothing missed, and a cost that never grows."""

import math
from collections import Counter
from datetime import timedelta

import pytest

from app.data.codec import encode_item
from app.data.tasks import queue_shard, user_status
from app.domain.clock import to_iso
from app.domain.errors import BadCursor
from app.domain.tasks import IN_PROGRESS, PENDING, Task
from tests.routes.browser import Browser
from tests.support import NOW, calls_made, make_account


def load(store, count, email="ada@example.com", *, status=PENDING, spread=1):
    """Put tasks straight into the table, many at a time; `spread` of them share each moment."""
    tasks = []
    for number in range(count):
        at = NOW + timedelta(seconds=number // spread)
        tasks.append(
            Task(
                task_id=f"task_{status}{number:06}",
                user_email=email,
                description=f"Task {number}",
                status=status,
                credits_spent=10,
                created_at=at,
                updated_at=at,
                version=1,
            )
        )
    rows = [
        {
            "task_id": task.task_id,
            "user_email": email,
            "description": task.description,
            "title": task.description,
            "status": status,
            "credits_spent": 10,
            "created_at": to_iso(task.created_at),
            "updated_at": to_iso(task.updated_at),
            "version": 1,
            "user_status": user_status(email, status),
            "queue_shard": queue_shard(task.task_id, status),
        }
        for task in tasks
    ]
    for start in range(0, len(rows), 25):
        batch = [{"PutRequest": {"Item": encode_item(row)}} for row in rows[start : start + 25]]
        store.client.batch_write_item(RequestItems={store.prefix + "Tasks": batch})
    return tasks


def walk(store, **kwargs):
    found, cursor, pages = [], None, 0
    while True:
        page = store.queue.page(PENDING, cursor=cursor, **kwargs)
        found += [task.task_id for task in page.items]
        cursor, pages = page.next_cursor, pages + 1
        if cursor is None:
            return found, pages


@pytest.mark.parametrize("limit", [1, 7, 25, 100])
def test_every_task_comes_once_and_in_order_when_the_pages_are_followed(moto_store, limit):
    made = [task.task_id for task in load(moto_store, 60)]

    assert walk(moto_store, limit=limit)[0] == made
    assert walk(moto_store, limit=limit, newest_first=True)[0] == made[::-1]


@pytest.mark.parametrize("limit", [1, 7])
def test_no_task_is_skipped_or_repeated_when_many_share_a_moment(moto_store, limit):
    made = [task.task_id for task in load(moto_store, 40, spread=10)]

    assert sorted(walk(moto_store, limit=limit)[0]) == sorted(made)


def test_a_filter_finds_all_when_the_pages_are_followed(empty_store):
    load(empty_store, 3000)

    found, pages = walk(empty_store, limit=10, keep=lambda task: task.description.endswith("99"), narrowed=["99"])

    assert len(found) == 30
    assert pages <= 3 + 3000 // 900  # a page looks at about a thousand rows


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_what_was_submitted_until_a_moment_is_found_when_the_pages_are_followed(moto_store, limit):
    made = [task.task_id for task in load(moto_store, 40)]

    assert walk(moto_store, limit=limit, until=NOW + timedelta(seconds=19))[0] == made[:20]
    assert walk(moto_store, limit=limit, until=NOW - timedelta(seconds=1)) == ([], 1)


def test_a_page_that_begins_after_the_moment_is_empty(moto_store):
    load(moto_store, 40)
    cursor = moto_store.queue.page(PENDING, limit=30).next_cursor

    page = moto_store.queue.page(PENDING, limit=30, cursor=cursor, until=NOW)

    assert (page.items, page.next_cursor) == ([], None)


def test_the_index_carries_what_the_queue_shows_and_no_more(moto_store):
    load(moto_store, 1)

    (task,) = moto_store.queue.page(PENDING, limit=5).items

    assert task.description == "Task 0"
    assert task.version == 1


@pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMiwzLDRd", "e30", "\u00e9", "W1siIiwiIl0sbnVsbCxudWxsLG51bGxd"])
def test_a_cursor_is_refused_when_it_is_not_ours(moto_store, cursor):
    with pytest.raises(BadCursor):
        moto_store.queue.page(PENDING, limit=5, cursor=cursor)


def test_the_place_in_the_queue_is_counted_no_further_than_the_cap(empty_store):
    made = load(empty_store, 1500)

    assert empty_store.queue.count_before(made[0], 200) == 0
    assert empty_store.queue.count_before(made[150], 200) == 150
    assert empty_store.queue.count_before(made[-1], 200) > 200


def test_the_pages_cost_the_same_when_there_are_ten_tasks_or_thousands(empty_store, config, monkeypatch):
    """Counted calls and counted rows, no clock: the queue, a task's place in it, and the customer's history."""
    from app import create_app

    store = empty_store
    make_account(store, credits=10)
    make_account(store, "op@example.com", role="admin")
    app = create_app(config, store=store)
    monkeypatch.setattr("app.services.doctor.keeping.LOOK_SECONDS", math.inf)  # one page a minute asks for its dot
    app.extensions["impacteragi"].doctors_dot.know(None)
    op, ada = Browser(app), Browser(app)
    op.sign_in("op@example.com")
    ada.sign_in()

    def costs():
        cost = {}
        for name, browser, path in (
            ("queue", op, "/admin"),
            ("working", op, "/admin?view=working"),
            ("mine", op, "/admin?view=mine"),
            ("search", op, "/admin?q=nothing-like-it"),
            ("overview", op, "/admin/overview"),
            ("history", ada, "/dashboard"),
            ("filtered", ada, "/dashboard?status=pending"),
            ("task", ada, "/tasks/task_pending000009"),
        ):
            with calls_made(monkeypatch) as calls:
                assert browser.get(path).status_code == 200
            cost[name] = Counter(calls)
        return cost

    load(store, 10)
    load(store, 10, status=IN_PROGRESS)
    few = costs()
    load(store, 6000)
    load(store, 1200, status=IN_PROGRESS)
    many = costs()

    names = {"BatchGetItem": 1}  # of the customers whose tasks are listed
    assert many.pop("queue") == {"GetItem": 1, "Query": 12} | names  # its first page no longer says how many wait
    assert few.pop("queue") == {"GetItem": 1, "Query": 8} | names
    assert many == few
    assert few["working"] == few["mine"] == few["search"] == {"GetItem": 1, "Query": 12}  # none of these is listed
    assert few["history"] == {"GetItem": 2, "Query": 1}  # the account, and what is kept of the composer
    assert few["task"] == {"GetItem": 2, "BatchGetItem": 1, "Query": 4}
