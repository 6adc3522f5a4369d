"""What a program has already is not sent again: ETag and 304 on whatever the API reads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from werkzeug.test import Client, TestResponse

from app.domain.clock import utcnow
from app.services import figures, queue, tasks
from tests.routes.browser import Program
from tests.support import make_account


@pytest.fixture
def ada(app, store) -> Program:
    make_account(store, credits=100)
    return Program(app)


def read(program: Program, path: str, method: str = "GET", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client = Client(program.client.application)  # whose compressed answers nobody reads on the way
    return client.open(path, method=method, headers={"Authorization": f"Bearer {program.token}"} | named)


def submitted(store, words: str = "Summarise the report") -> str:
    ada = store.accounts.get("ada@example.com")
    return tasks.submit(store, ada, words, now=utcnow(), idempotency_key=words).task.task_id


def test_an_answer_that_one_has_is_a_304_until_something_changes(ada, store):
    task_id = submitted(store)
    make_account(store, "olga@example.com", role="admin")
    for path in (f"/api/tasks/{task_id}", "/api/tasks", "/api/user", "/api/transactions", "/api/packs"):
        first = ada.get(path)

        again = read(ada, path, If_None_Match=first.headers["ETag"])

        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"]), path
        assert again.headers["Cache-Control"] == first.headers["Cache-Control"] == "private, no-cache", path
        assert "Accept-Encoding" in again.headers["Vary"], path
    named = ada.get(f"/api/tasks/{task_id}").headers["ETag"]

    queue.claim(store, "olga@example.com", task_id, now=utcnow())

    changed = read(ada, f"/api/tasks/{task_id}", If_None_Match=f'"other", {named}')
    assert (changed.status_code, changed.get_json()["status"]) == (200, "in-progress")
    assert changed.headers["ETag"] != named


def test_one_name_for_an_answer_however_it_is_compressed_and_for_head(ada, store):
    submitted(store, "long " * 400)

    answers = [read(ada, "/api/tasks", Accept_Encoding=how) for how in ("identity", "gzip", "zstd")]

    assert [answer.headers.get("Content-Encoding") for answer in answers] == [None, "gzip", "zstd"]
    (name,) = {answer.headers["ETag"] for answer in answers}
    assert name.startswith('W/"')
    assert read(ada, "/api/tasks", Accept_Encoding="gzip", If_None_Match=name).status_code == 304
    head = read(ada, "/api/tasks", "HEAD", If_None_Match=name)
    assert (head.status_code, head.headers["ETag"]) == (304, name)


def test_refusals_and_pages_have_no_name(ada, client):
    for answer in (client.get("/api/user"), ada.get("/api/tasks/none"), client.get("/login")):
        assert "ETag" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"


def test_where_no_server_of_ours_holds_requests_a_wait_is_answered_at_once(ada, store):
    path = f"/api/tasks/{submitted(store)}?wait=60"
    first = read(ada, path)

    assert first.get_json()["status"] == "pending"
    assert read(ada, path, If_None_Match=first.headers["ETag"]).status_code == 304


def test_an_open_task_tells_its_place_in_the_queue_which_is_no_news(ada, store):
    make_account(store, "olga@example.com", role="admin")
    first, second = submitted(store, "First"), submitted(store, "Second")
    now = utcnow()
    for _ in range(5):
        store.updates.figures.note_turnaround(now - timedelta(minutes=42), now)
    before = ada.get(f"/api/tasks/{second}")
    assert (before.get_json()["queue_position"], before.get_json()["estimated_minutes"]) == (2, 42)

    queue.claim(store, "olga@example.com", first, now=utcnow())
    after = ada.get(f"/api/tasks/{second}")
    held = ada.get(f"/api/tasks/{first}").get_json()
    waited = ada.get(f"/api/tasks/{second}", wait="1")

    assert (after.get_json()["queue_position"], after.get_json()["estimated_minutes"]) == (1, 42)
    assert (held["queue_position"], held["estimated_minutes"]) == (None, 42)
    assert (waited.get_json()["queue_position"], waited.get_json()["estimated_minutes"]) == (None, None)
    assert {one.headers["ETag"] for one in (before, after, waited)} == {before.headers["ETag"]}
    assert read(ada, f"/api/tasks/{second}", If_None_Match=before.headers["ETag"]).status_code == 304

    queue.complete(store, "olga@example.com", first, "Done.", now=utcnow())
    ended = ada.get(f"/api/tasks/{first}").get_json()
    assert (ended["queue_position"], ended["estimated_minutes"]) == (None, None)


def test_a_long_queue_is_counted_no_further_than_it_is_told(ada, store, monkeypatch):
    monkeypatch.setattr(figures, "MAX_AHEAD", 1)
    for number in range(3):
        submitted(store, f"{number}")
    last = submitted(store, "Last")

    assert ada.get(f"/api/tasks/{last}").get_json()["queue_position"] == 3
