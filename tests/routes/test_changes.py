"""Tasks by their last change, as a program asks for them."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.data.client import IndexNotReady
from app.data.tasks import TaskReads
from app.domain.clock import to_iso, utcnow
from app.services import queue, tasks
from tests.routes.browser import Program
from tests.support import make_account

OPERATOR = "olga@example.com"
BEFORE = "2020-01-01T00:00:00Z"


@pytest.fixture
def ada(app, store) -> Program:
    make_account(store, credits=100)
    make_account(store, OPERATOR, role="admin")
    return Program(app)


def changes(program: Program, **query: object) -> TestResponse:
    return program.get("/api/tasks", **query)


def submitted(store, words: str) -> str:
    ada = store.accounts.get("ada@example.com")
    return tasks.submit(store, ada, words, now=utcnow(), idempotency_key=words).task.task_id


def test_tasks_are_told_by_their_last_change_page_by_page(ada, store):
    first, second, third = (submitted(store, words) for words in ("One", "Two", "Three"))
    queue.claim(store, OPERATOR, first, now=utcnow())
    queue.complete(store, OPERATOR, first, "Done.", now=utcnow())
    ada.post(f"/api/tasks/{second}/cancel")

    told: list[dict[str, str]] = []
    page = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        page = changes(ada, updated_since=BEFORE, limit=2, cursor=page["next_cursor"]).get_json()
        told += page["tasks"]

    assert [(task["task_id"], task["status"]) for task in told] == [
        (third, "pending"),
        (first, "completed"),
        (second, "cancelled"),
    ]
    newest = told[-1]["updated_at"]
    assert [task["task_id"] for task in changes(ada, updated_since=newest).get_json()["tasks"]] == [second]
    until = told[1]["updated_at"]
    both = changes(ada, updated_since=until, updated_until=until).get_json()
    assert [task["task_id"] for task in both["tasks"]] == [first]
    assert changes(ada, updated_since=to_iso(utcnow())).get_json() == {"tasks": [], "next_cursor": None}


def test_a_cancel_is_told_as_a_repeat_only_when_it_is_one(ada, store, monkeypatch):
    """The clock may say the very moment at which the task was made."""
    now = utcnow()
    task_id = submitted(store, "One")
    monkeypatch.setattr("app.routes.api.utcnow", lambda: now)

    assert "Idempotent-Replayed" not in ada.post(f"/api/tasks/{task_id}/cancel").headers
    monkeypatch.undo()
    assert ada.post(f"/api/tasks/{task_id}/cancel").headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("updated_since=yesterday", "must look like 2026-11-22T15:27:52.123456Z"),
        ("updated_since=2026-11-22T10:00:00 01:00", "must look like"),  # a plus is a space in an address
        ("updated_until=2026-11-22", "updated_until and wait go with updated_since"),
        ("updated_since=2026-11-22&status=pending", "goes with limit, cursor, updated_until and wait alone"),
        ("wait=30", "updated_until and wait go with updated_since"),
        ("updated_since=2026-11-22&wait=soon", "whole number of seconds"),
        ("updated_since=2026-11-22&updated_until=2026-11-23&wait=30", "is no news"),
        ("updated_since=2026-11-22&updated_until=2026-11-21", "updated_since must not be later than updated_until"),
        ("updated_since=2026-11-22&q=report", "alone"),
        ("updated_since=2026-11-22&order=oldest", "alone"),
        ("updated_since=2026-11-22&from=2026-11-22", "alone"),
    ],
)
def test_what_is_no_moment_or_does_not_go_together_is_refused_in_words(ada, query, says):
    answer = changes(ada, **dict(part.split("=") for part in query.split("&")))

    assert (answer.status_code, answer.get_json()["code"]) == (400, "malformed")
    assert says in answer.get_json()["error"]


@pytest.mark.parametrize("moment", ["2026-11-22", "2026-11-22T10:00:00+01:00", "2026-11-22T10:00", "2099-01-01"])
def test_a_moment_may_be_a_day_or_say_its_offset(ada, moment):
    assert changes(ada, updated_since=moment).status_code == 200


def test_a_moment_before_everything_is_the_beginning_and_one_after_it_the_end(ada, store):
    task_id = submitted(store, "One")

    early, late = ("1970-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"), "9999-12-31T23:59:59.999999-14:00"
    for moment, found in ((early[0], [task_id]), (early[1], [task_id]), (late, [])):
        assert [task["task_id"] for task in changes(ada, updated_since=moment).get_json()["tasks"]] == found
    assert changes(ada, updated_since="0001-01-01", updated_until="1970-01-01").get_json()["tasks"] == []


def test_until_the_index_is_there_the_call_says_so_and_other_lists_go_on(ada, monkeypatch):
    def not_ready(*_asked: object, **_more: object) -> None:
        raise IndexNotReady

    monkeypatch.setattr(TaskReads, "changed", not_ready)

    answer = changes(ada, updated_since=BEFORE)

    assert (answer.status_code, answer.get_json()["code"]) == (503, "store_unavailable")
    assert "not whole yet" in answer.get_json()["error"]
    assert answer.headers["Retry-After"] == "60"
    assert ada.get("/api/tasks").status_code == 200


def test_nobody_is_told_of_another_s_tasks(app, ada, store, client: FlaskClient):
    submitted(store, "One")
    make_account(store, "bob@example.com")

    assert changes(Program(app, "bob@example.com"), updated_since=BEFORE).get_json()["tasks"] == []
    assert client.get(f"/api/tasks?updated_since={BEFORE}").status_code == 401
