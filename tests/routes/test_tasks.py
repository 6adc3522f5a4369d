"""The page of a task: where it stands, its result, cancel, redo, and nobody else's."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.clock import utcnow
from app.services import queue, tasks
from tests.routes.browser import soup
from tests.support import make_account

OP = "op@example.com"


@pytest.fixture
def task(store, ada):
    return submit(store)


def submit(store, text="Summarise the report", email="ada@example.com"):
    return tasks.submit(store, store.accounts.get(email), text, now=utcnow()).task


def complete(store, task, text="# Done\n\nAll of it."):
    queue.claim(store, OP, task.task_id, now=utcnow())
    return queue.complete(store, OP, task.task_id, text, now=utcnow())


def words(response):
    return " ".join(soup(response).select_one("main").get_text(" ").split())


def test_the_page_tells_the_place_in_the_queue_when_the_task_waits(store, ada, task):
    make_account(store, "bob@example.com", credits=100)
    later = submit(store, "Later")

    assert "It is next in the queue." in words(ada.get(f"/tasks/{task.task_id}"))
    assert "1 task is before it in the queue." in words(ada.get(f"/tasks/{later.task_id}"))


def test_the_page_estimates_only_when_enough_was_measured(store, ada, task):
    path = f"/tasks/{task.task_id}"
    now = utcnow()
    for _ in range(4):
        store.updates.figures.note_turnaround(now.replace(minute=0, second=0), now.replace(minute=20, second=0))
    assert "half of the latest tasks" not in words(ada.get(path))

    store.updates.figures.note_turnaround(now.replace(minute=0, second=0), now.replace(minute=20, second=0))

    assert "half of the latest tasks took 20 minutes or less" in words(ada.get(path))


def test_an_open_page_shows_the_result_when_it_polls(store, ada, task):
    path = f"/tasks/{task.task_id}"
    tag = ada.page(path).select_one("#task")["data-hx-ptag"]
    assert ada.get(path, fragment=True, **{"HX-PTag": tag}).status_code == 304

    complete(store, task)
    answer = ada.get(path, fragment=True, **{"HX-PTag": tag})

    fragment = soup(answer)
    assert answer.status_code == 200
    assert fragment.select_one("#result h3").get_text() == "Done"
    assert fragment.select_one("#task").get("data-hx-trigger") is None  # nothing left to wait for
    assert fragment.select_one("#balance-chip")
    assert fragment.select_one("header") is None


def test_the_result_is_shown_as_rich_text_and_downloads_as_it_was_written(store, ada, task):
    complete(store, task, "# Title\n\n<script>alert(1)</script> **bold**")

    page = ada.page(f"/tasks/{task.task_id}")
    download = ada.get(f"/tasks/{task.task_id}/result.md")

    assert page.select_one("#result strong").get_text() == "bold"
    assert page.select("#result script") == []
    assert download.text == "# Title\n\n<script>alert(1)</script> **bold**"
    assert download.headers["Content-Disposition"] == f'attachment; filename="{task.task_id}.md"'
    assert download.headers["Content-Type"] == "text/markdown; charset=utf-8"


def test_the_page_tells_when_each_step_was_and_how_long_it_took(store, ada):
    at = datetime(2026, 11, 2, 13, 5, tzinfo=UTC)
    task = tasks.submit(store, store.accounts.get("ada@example.com"), "Summarise the report", now=at).task
    queue.claim(store, OP, task.task_id, now=at + timedelta(hours=1))
    queue.complete(store, OP, task.task_id, "Done.", now=at + timedelta(hours=1, minutes=27))

    page = words(ada.get(f"/tasks/{task.task_id}"))

    assert "Submitted 2 November 2026, 13:05 UTC Work began 2 November 2026, 14:05 UTC 1 hour later" in page
    assert "Completed 2 November 2026, 14:32 UTC 27 minutes later" in page
    assert "In all 1 hour 27 minutes" in page


def test_what_happened_in_the_same_second_is_not_said_to_be_later(store, ada, task):
    at = task.created_at + timedelta(minutes=5)
    queue.claim(store, OP, task.task_id, now=at)
    queue.reject(store, OP, task.task_id, "No attachment.", now=at)

    page = words(ada.get(f"/tasks/{task.task_id}"))

    assert "5 minutes later Rejected" in page
    assert page.count(" later") == 1


def test_a_cancel_gives_the_credits_back_when_the_button_is_pressed(store, ada, task):
    answer = ada.post(f"/tasks/{task.task_id}/cancel", {})
    again = ada.post(f"/tasks/{task.task_id}/cancel", {})

    assert answer.status_code == again.status_code == 303
    assert store.accounts.get("ada@example.com").credits_balance == 100
    page = words(ada.get(f"/tasks/{task.task_id}"))
    assert "You cancelled this task before work began. Its 10 credits went back" in page
    assert "Cancelled by you, credits given back" in page


def test_a_cancel_is_refused_when_work_has_begun(store, ada, task):
    queue.claim(store, OP, task.task_id, now=utcnow())

    answer = ada.post(f"/tasks/{task.task_id}/cancel", {})

    assert answer.status_code == 409
    assert "can no longer be cancelled" in words(answer)
    assert store.accounts.get("ada@example.com").credits_balance == 90


def test_the_reason_is_read_when_the_task_was_rejected(store, ada, task):
    queue.reject(store, OP, task.task_id, "We do not book flights <b>", now=utcnow())

    page = words(ada.get(f"/tasks/{task.task_id}"))

    assert "We do not book flights <b>" in page
    assert "Its 10 credits went back to your balance." in page


def test_a_redo_is_one_and_linked_when_it_is_asked_for(store, ada, task):
    complete(store, task)
    assert ada.post(f"/tasks/{task.task_id}/redo", {"note": " "}).status_code == 422
    assert store.accounts.get("ada@example.com").open_tasks == 0

    first = ada.post(f"/tasks/{task.task_id}/redo", {"note": "The table\r\nis missing"})
    second = ada.post(f"/tasks/{task.task_id}/redo", {"note": "Again"})

    assert first.headers["Location"] == second.headers["Location"] != f"/tasks/{task.task_id}"
    page = ada.page(first.headers["Location"])
    assert page.select_one(f'a[href="/tasks/{task.task_id}"]')
    assert "The table\nis missing" in page.select_one("#task").get_text()
    assert store.accounts.get("ada@example.com").credits_balance == 90


def test_submit_again_fills_the_composer_when_it_is_the_customers_own(store, ada, task):
    make_account(store, "bob@example.com", credits=100)
    of_bob = submit(store, "Secret of Bob", "bob@example.com")

    page = ada.page(f"/dashboard?again={task.task_id}")

    assert page.select_one("#description").get_text().strip() == "Summarise the report"
    assert ada.get(f"/dashboard?again={of_bob.task_id}").status_code == 404


@pytest.mark.parametrize("path", ["", "/result.md", "/files/1"])
def test_nothing_is_shown_when_the_task_is_somebody_elses(store, ada, path):
    make_account(store, "bob@example.com", credits=100)
    of_bob = submit(store, "Secret of Bob", "bob@example.com")
    complete(store, of_bob, "Secret answer")

    answer = ada.get(f"/tasks/{of_bob.task_id}{path}")

    assert answer.status_code == 404
    assert "Secret" not in answer.text


@pytest.mark.parametrize("act", ["cancel", "redo"])
def test_nothing_changes_when_the_task_is_somebody_elses(store, ada, act):
    make_account(store, "bob@example.com", credits=100)
    of_bob = submit(store, "Secret of Bob", "bob@example.com")

    assert ada.post(f"/tasks/{of_bob.task_id}/{act}", {"note": "x"}).status_code == 404

    assert store.accounts.get("bob@example.com").credits_balance == 90


def test_a_task_whose_lease_ran_out_waits_again_when_its_owner_looks(store, ada, task):
    from datetime import timedelta

    queue.claim(store, OP, task.task_id, now=utcnow() - timedelta(hours=5))

    page = ada.page(f"/tasks/{task.task_id}")

    assert page.select_one(".pill.pending")
    assert ada.post(f"/tasks/{task.task_id}/cancel", {}).status_code == 303
