"""Lists by tag and by reference: whole, in order, page by page, with every other filter."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from app.data import labels
from app.domain.errors import BadCursor
from app.domain.paging import each, write_cursor
from app.domain.tasks import Brief
from app.services import queue, tasks
from tests.support import make_account

ADA = "ada@example.com"
DAY = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def made(store):
    """A task, a batch of five of which four have the tag, and a task a day later, oldest first."""
    account = make_account(store, credits=400)
    first = tasks.submit(store, account, Brief("Task 1", "order-1", ("May", "May#2")), now=DAY).task
    briefs = [Brief(f"Task {n}", f"order-{n}", ("may",) if n != 4 else ("june",)) for n in range(2, 7)]
    some, _ = tasks.submit_batch(
        store, store.accounts.get(ADA), briefs, now=DAY + timedelta(hours=1), idempotency_key="b"
    )
    last = tasks.submit(
        store, store.accounts.get(ADA), Brief("The last", "Última", ("MAY",)), now=DAY + timedelta(days=1)
    ).task
    return [first, *(task for task in some if task.description != "Task 4"), last]


def listed(store, limit=100, **asked):
    return list(each(lambda cursor: store.labels.page(ADA, limit=limit, cursor=cursor, **asked)))


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 100])
def test_a_tag_lists_its_tasks_in_order_whatever_the_page(store, made, limit):
    assert listed(store, limit, tag="May") == made[::-1]
    assert listed(store, limit, tag="MAY", oldest_first=True) == made
    assert [task.description for task in listed(store, limit, tag="june")] == ["Task 4"]
    assert listed(store, limit, tag="May#") == []
    assert listed(store, limit, tag="Ma") == []


def test_the_last_page_has_no_next_one(store, made):
    page = store.labels.page(ADA, limit=6, tag="may")

    assert (len(page.items), page.next_cursor) == (6, None)


def test_days_status_and_words_narrow_a_tag(store, made):
    queue.cancel(store, store.accounts.get(ADA), made[2].task_id, now=DAY + timedelta(hours=2))

    assert [t.task_id for t in listed(store, 1, tag="may", status="cancelled")] == [made[2].task_id]
    assert len(listed(store, 2, tag="may", status="pending")) == 5
    assert listed(store, tag="may", since=date(2026, 11, 23)) == made[-1:]
    assert len(listed(store, tag="may", until=date(2026, 11, 22))) == 5
    assert listed(store, tag="may", since=date(2026, 11, 24)) == []
    assert listed(store, tag="may", since=date(2026, 11, 24), until=date(2026, 11, 22)) == []
    assert listed(store, 1, tag="may", search="ultima") == made[-1:]


def test_a_batch_over_midnight_is_listed_by_the_day_of_each_task(store):
    make_account(store, credits=100)
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    some, _ = tasks.submit_batch(
        store,
        store.accounts.get(ADA),
        [Brief(f"Task {n}", tags=("May",)) for n in range(4)],
        now=midnight - timedelta(microseconds=3),
        idempotency_key="b",
    )

    assert listed(store, tag="may", since=date(2026, 11, 23), oldest_first=True) == some[2:]
    assert listed(store, tag="may", until=date(2026, 11, 22), oldest_first=True) == some[:2]


def test_a_reference_lists_its_task_alone(store, made):
    assert listed(store, reference="order-1") == made[:1]
    assert listed(store, reference="order-1", tag="MAY") == made[:1]
    assert listed(store, reference="order-1", tag="June") == []
    assert listed(store, reference="order-1", status="cancelled") == []
    assert listed(store, reference="order-99") == []


def test_nobody_lists_by_labels_of_another(store, made):
    make_account(store, "bob@example.com")

    assert store.labels.page("bob@example.com", limit=9, tag="may").items == []
    assert store.labels.page("bob@example.com", limit=9, reference="order-1").items == []


def test_a_cursor_opens_its_own_list_alone(store, made):
    cursor = store.labels.page(ADA, limit=2, tag="may").next_cursor

    for other in ({"tag": "june"}, {"tag": "may", "status": "pending"}, {"tag": "may", "oldest_first": True}):
        with pytest.raises(BadCursor):
            store.labels.page(ADA, limit=2, cursor=cursor, **other)
    with pytest.raises(BadCursor):
        store.tasks.page(ADA, limit=2, cursor=cursor)
    with pytest.raises(BadCursor):
        store.labels.page(ADA, limit=2, cursor=cursor, reference="order-1")
    of = (labels.TABLE, ADA, "", "may", "", "", "None", "None", "False")
    for place in (["ref#order-1", "x"], ["", ""], [7, 7], ["tag#may\n" + "x" * 2_000, ""]):
        with pytest.raises(BadCursor):
            store.labels.page(ADA, limit=2, tag="may", cursor=write_cursor(place, of))


def test_a_page_that_has_looked_at_enough_hands_back_where_it_stopped(store, made, monkeypatch):
    monkeypatch.setattr(labels, "LOOKED_AT", 2)

    first = store.labels.page(ADA, limit=1, tag="may", search="task 1")

    assert first.items == []
    assert listed(store, 1, tag="may", search="task 1") == made[:1]


def test_a_search_finds_a_reference_and_a_tag(store, made):
    assert store.tasks.page(ADA, limit=9, search="ultima").items == made[-1:]
    assert store.tasks.page(ADA, limit=9, search="june").items[0].description == "Task 4"
