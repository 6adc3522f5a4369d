"""Lines of a history: the rows that its page has, and no more of each than a list shows."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from app.domain.clock import to_iso
from app.domain.formatting import NO_WORDS, listed
from app.domain.tasks import IN_PROGRESS, PENDING, new_task, title_of
from tests.data.test_paging import add_tasks, walk
from tests.originals import EMAIL, put_account, put_task
from tests.support import NOW, make_account


def add(store, *texts: str):
    account = make_account(store)
    with store.transaction() as tx:
        for number, text in enumerate(texts):
            tx.tasks.add(new_task(account.email, text, f"key-{number}", NOW + timedelta(seconds=number)))
    return account.email


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"oldest_first": True},
        {"status": PENDING},
        {"status": IN_PROGRESS},
        {"since": date(2026, 11, 22), "until": date(2026, 11, 22)},
        {"since": date(2026, 11, 23), "until": date(2026, 11, 22)},
    ],
)
def test_lines_are_those_of_the_page(any_store, asked):
    account = add_tasks(any_store, make_account(any_store, credits=60), 6)

    rows = walk(lambda **kw: any_store.tasks.page(account.email, limit=4, **asked, **kw))

    assert walk(lambda **kw: any_store.tasks.lines(account.email, limit=4, **asked, **kw)) == [
        task.line for task in rows
    ]


def test_a_cursor_of_the_page_opens_the_lines_after_it(any_store):
    account = add_tasks(any_store, make_account(any_store, credits=60), 6)
    cursor = any_store.tasks.page(account.email, limit=2).next_cursor

    page = any_store.tasks.lines(account.email, limit=2, cursor=cursor)

    assert [line.title for line in page.items] == ["Task 3", "Task 2"]
    assert any_store.tasks.page(account.email, limit=2, cursor=page.next_cursor).items[0].description == "Task 1"


def test_long_texts_are_not_sent_along(empty_store, monkeypatch):
    email = add(empty_store, *["word " * 900] * 3)
    sent = []
    query = empty_store.client.query
    monkeypatch.setattr(empty_store.client, "query", lambda **asked: sent.append(query(**asked)) or sent[-1])

    empty_store.tasks.lines(email, limit=20)

    assert len(sent) == 1
    assert all(len(str(item)) < 500 for item in sent[0]["Items"])


def test_a_lease_that_ran_out_shows(empty_store):
    email = add(empty_store, "Compare the quotes")
    task = empty_store.tasks.page(email, limit=1).items[0]
    empty_store.client.update_item(
        TableName=empty_store.prefix + "Tasks",
        Key={"task_id": {"S": task.task_id}},
        UpdateExpression="SET #s = :s, lease_until = :until",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": {"S": IN_PROGRESS}, ":until": {"S": to_iso(NOW)}},
    )

    (line,) = empty_store.tasks.lines(email, limit=1).items

    assert line.as_of(NOW - timedelta(seconds=1)).status == IN_PROGRESS
    assert line.as_of(NOW).status == PENDING


@pytest.mark.parametrize("cost", [10, "10", "10.0"])
def test_tasks_of_the_original_have_their_words_and_their_cost(empty_store, cost):
    put_account(empty_store)
    put_task(empty_store, "task-1", cost=cost)

    (line,) = empty_store.tasks.lines(EMAIL, limit=5).items

    assert line == empty_store.tasks.page(EMAIL, limit=5).items[0].line
    assert (line.credits_spent, bool(line.title)) == (10, True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Compare\n\n the   quotes", "Compare the quotes"),
        ("x" * 119, "x" * 119),
        ("x" * 121, "x" * 118 + "…"),
        ("word " * 40, "word " * 22 + "word…"),
        ("word " * 23 + "words", "word " * 22 + "word…"),  # fills the room of a title: it may go on
        ("\N{SOFT HYPHEN}" * 200 + "Hello", "Hello"),
        ("\N{SOFT HYPHEN}", NO_WORDS),
    ],
)
def test_a_list_shows_the_beginning_of_a_text(text, shown):
    assert listed(title_of(text)) == shown
