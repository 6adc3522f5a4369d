"""Tasks by their last change: none missed and none told twice, whatever changes while somebody pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from app.data.client import IndexNotReady
from app.data.table_setup import create_tables
from app.data.tables import TASK_UPDATED_INDEX
from app.domain.clock import to_iso
from app.domain.errors import BadCursor
from app.domain.tasks import cancelled, claimed, completed, new_task, redo, rejected, released, renewed
from tests.data.test_paging import add_tasks, walk
from tests.support import NOW, make_account

OPERATOR = "olga@example.com"
HOUR = timedelta(hours=1)


def move(store, task, step):
    after = step(task)
    with store.transaction() as tx:
        tx.tasks.change(task, after)
    return after


def changes(store, account, since=NOW, until=None, limit=100):
    return walk(lambda cursor: store.tasks.changed(account.email, since, until, limit=limit, cursor=cursor))


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 100])
def test_each_task_comes_once_by_its_last_change(any_store, limit):
    ada, bob = make_account(any_store, credits=60), make_account(any_store, "bob@example.com", credits=60)
    add_tasks(any_store, ada, 6)
    add_tasks(any_store, bob, 2, "Bob's")
    second = changes(any_store, ada)[1]
    move(any_store, second, lambda task: claimed(task, OPERATOR, NOW + HOUR))

    found = changes(any_store, ada, limit=limit)

    assert [task.description for task in found] == [f"Task {number}" for number in (0, 2, 3, 4, 5, 1)]
    assert found[-1].status == "in-progress"


def test_both_ends_of_the_time_are_included(any_store):
    ada = make_account(any_store, credits=60)
    add_tasks(any_store, ada, 6)
    first, last = NOW + timedelta(seconds=2), NOW + timedelta(seconds=4)

    assert [task.description[-1] for task in changes(any_store, ada, first, last)] == ["2", "3", "4"]
    assert changes(any_store, ada, last, first) == []


def test_tasks_that_changed_in_one_instant_are_all_there(moto_store):
    ada = make_account(moto_store, credits=60)
    with moto_store.transaction() as tx:
        for number in range(7):
            tx.tasks.add(new_task(ada.email, f"Task {number}", f"{number}", NOW))

    assert len({task.task_id for task in changes(moto_store, ada, limit=2)}) == 7


def test_what_changes_while_one_pages_is_told_once_as_it_then_is(any_store):
    ada = make_account(any_store, credits=60)
    add_tasks(any_store, ada, 6)
    page = any_store.tasks.changed(ada.email, NOW, None, limit=2)
    rest = changes(any_store, ada)
    move(any_store, rest[0], lambda task: cancelled(task, NOW + HOUR))  # told already, and told again as it is
    move(any_store, rest[4], lambda task: cancelled(task, NOW + HOUR))  # not told yet

    later = walk(
        lambda cursor: any_store.tasks.changed(ada.email, NOW, None, limit=2, cursor=cursor or page.next_cursor)
    )

    assert [(task.description[-1], task.status) for task in page.items] == [("0", "pending"), ("1", "pending")]
    told = [(task.description[-1], task.status) for task in later]
    assert told[:3] == [("2", "pending"), ("3", "pending"), ("5", "pending")]
    assert sorted(told[3:]) == [("0", "cancelled"), ("4", "cancelled")]


def test_a_task_that_has_changed_since_the_index_looked_is_left_for_later(store, monkeypatch):
    """The index is a moment behind: what it says of the task is no longer so, and it stands again behind all others."""
    ada = make_account(store, credits=60)
    add_tasks(store, ada, 2)
    query = store.client.query
    first = changes(store, ada)[0]

    def behind(**request: Any) -> dict[str, Any]:
        answer = query(**request)
        if store.tasks.find(first.task_id).version == 0:
            move(store, first, lambda task: cancelled(task, NOW + HOUR))
        return answer

    monkeypatch.setattr(store.client, "query", behind)
    page = store.tasks.changed(ada.email, NOW, None, limit=10)

    assert [task.description for task in page.items] == ["Task 1"]
    assert page.seen[0] == (to_iso(NOW), first.task_id)
    assert [task.status for task in changes(store, ada)] == ["pending", "cancelled"]


def test_a_cursor_opens_the_list_of_its_account_and_times_alone(any_store):
    ada, bob = make_account(any_store, credits=60), make_account(any_store, "bob@example.com")
    add_tasks(any_store, ada, 3)
    cursor = any_store.tasks.changed(ada.email, NOW, None, limit=2).next_cursor
    of_all = any_store.tasks.page(ada.email, limit=2).next_cursor

    for email, since, until, other in (
        (bob.email, NOW, None, cursor),
        (ada.email, NOW - HOUR, None, cursor),
        (ada.email, NOW, NOW + HOUR, cursor),
        (ada.email, NOW, None, of_all),
    ):
        with pytest.raises(BadCursor):
            any_store.tasks.changed(email, since, until, limit=2, cursor=other)


AGO = st.integers(-5, 5).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(clocks=st.tuples(*[AGO] * 6))
def test_every_change_is_later_than_the_one_before_whatever_the_clocks_say(clocks):
    a, b, c, d, e, f = clocks
    task = new_task("ada@example.com", "Sum it up", "one", NOW)
    held = replace(claimed(task, OPERATOR, a), lease_until=NOW + HOUR)
    ways = [
        [task, held, renewed(held, OPERATOR, b), released(renewed(held, OPERATOR, b), OPERATOR, c)],
        [task, held, done := completed(held, OPERATOR, d), redo(done, "More", e)[0]],
        [task, cancelled(task, f)],
        [task, held, rejected(held, OPERATOR, "No task", f)],
        [task, held, claimed(replace(held, lease_until=NOW - HOUR), "pat@example.com", b)],  # the lease has lapsed
    ]

    for way in ways:
        assert all(before.updated_at < after.updated_at for before, after in pairwise(way))


# The index is made beside customers at work


def without_the_index(store) -> None:
    store.client.update_table(
        TableName="ImpacterAGI_Tasks",
        GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": TASK_UPDATED_INDEX}}],
    )


def test_without_its_index_the_list_says_so_and_set_up_makes_it_of_the_rows_that_are_there(moto_store):
    ada = make_account(moto_store, credits=60)
    add_tasks(moto_store, ada, 3)
    cursor = moto_store.tasks.changed(ada.email, NOW, None, limit=2).next_cursor
    without_the_index(moto_store)

    for at in (None, cursor):
        with pytest.raises(IndexNotReady, match="not whole yet"):
            moto_store.tasks.changed(ada.email, NOW, None, limit=2, cursor=at)
    assert [str(difference) for difference in moto_store.table_differences()] == [
        f"table ImpacterAGI_Tasks lacks its index {TASK_UPDATED_INDEX}; python scripts/setup_db.py makes it"
    ]
    assert len(moto_store.tasks.page(ada.email, limit=5).items) == 3  # what the release before reads

    create_tables(moto_store.client, "ImpacterAGI_")

    assert len(changes(moto_store, ada)) == 3


def test_an_index_that_is_being_filled_is_not_taken_for_the_whole(moto_store, monkeypatch):
    def filling(**_request: Any) -> dict[str, Any]:
        said = f"Cannot read from backfilling global secondary index: {TASK_UPDATED_INDEX}"
        raise ClientError({"Error": {"Code": "ValidationException", "Message": said}}, "Query")

    monkeypatch.setattr(moto_store.client, "query", filling)

    with pytest.raises(IndexNotReady):
        moto_store.tasks.changed("ada@example.com", NOW, None, limit=2)


def test_the_newest_changes_of_accounts_are_looked_for_once_each(moto_store, monkeypatch):
    ada, bob = (make_account(moto_store, email, credits=300) for email in ("ada@example.com", "bob@example.com"))
    add_tasks(moto_store, ada, 25)
    asked: list[dict[str, Any]] = []
    query = moto_store.client.query
    monkeypatch.setattr(moto_store.client, "query", lambda **request: asked.append(request) or query(**request))

    found = moto_store.tasks.newest_changes([ada.email, bob.email])

    assert found[bob.email] == ()
    assert [at for at, _ in found[ada.email]] == [to_iso(NOW + timedelta(seconds=24 - n)) for n in range(20)]
    assert len(asked) == 2
