"""How soon an open page asks again: the rule, and that each answer to a page's poll carries it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.clock import utcnow
from app.services import tasks
from app.web.poll_pace import seconds_until_next
from app.web.work_queue import WorkQueue
from tests.support import make_account


@pytest.mark.parametrize(
    ("quiet", "again", "under_load"),
    [
        (-1, 3, 12),
        (0, 3, 12),
        (599, 3, 12),
        (600, 12, 48),
        (3_599, 12, 48),
        (3_600, 30, 60),
        (10**9, 30, 60),
    ],
)
def test_the_longer_nothing_has_happened_the_longer_the_pause_and_longer_under_load(quiet, again, under_load):
    assert seconds_until_next(quiet, loaded=False) == again
    assert seconds_until_next(quiet, loaded=True) == under_load


@pytest.fixture
def polled(ada):
    """Answers to polls by a page that has seen this version and says that it was quiet for so long."""

    def poll(seen: object, quiet: str | None = None):
        said = {} if quiet is None else {"X_Quiet_Seconds": quiet}
        return ada.get("/dashboard/live", fragment=True, HX_PTag=str(seen), **said)

    return poll


@pytest.mark.parametrize(
    ("quiet", "again"),
    [
        (None, "3"),
        ("0", "3"),
        ("601", "12"),
        ("7200", "30"),
        ("-5", "3"),
        ("", "3"),
        ("soon", "3"),
        ("1e9", "3"),
        ("9" * 5_000, "3"),
    ],
)
def test_a_poll_is_told_when_to_come_again_whether_there_is_news_or_not(polled, store, quiet, again):
    version = store.accounts.get("ada@example.com").version

    unchanged, changed = polled(version, quiet), polled("0", quiet)

    assert [(it.status_code, it.headers["X-Poll-Again"]) for it in (unchanged, changed)] == [(304, again), (200, again)]


def test_a_poll_of_who_is_signed_out_is_told_too(browser):
    answer = browser.get("/dashboard/live", fragment=True, HX_PTag="1", X_Quiet_Seconds="700")

    assert (answer.status_code, answer.headers["X-Poll-Again"]) == (401, "12")


@pytest.mark.parametrize("path", ["/dashboard", "/api/tasks"])
def test_no_other_answer_says_it(ada, path):
    assert "X-Poll-Again" not in ada.get(path, If_None_Match='"1"').headers


def test_while_others_wait_a_poll_that_is_served_is_told_to_come_later(polled, monkeypatch):
    monkeypatch.setattr(WorkQueue, "stands", lambda queue: True)

    assert polled("0").headers["X-Poll-Again"] == "12"


@pytest.mark.parametrize(
    ("path", "module", "selector"),
    [
        ("/tasks/{}", "app.routes.tasks", "#task"),
        ("/admin", "app.routes.admin.screens", "#queue-live"),
        ("/admin/tasks/{}", "app.routes.admin.screens", "#state-live"),
    ],
)
def test_time_alone_changes_of_a_tag_what_stands_behind_its_dot(browser, store, monkeypatch, path, module, selector):
    """So that a page does not take for news what merely counts minutes."""
    account = make_account(store, credits=100, role="admin")
    task_id = tasks.submit(store, account, "Follow me", now=utcnow()).task.task_id
    browser.sign_in()
    now = utcnow()

    def tag() -> str:
        return browser.page(path.format(task_id)).select_one(selector)["data-hx-ptag"]

    monkeypatch.setattr(f"{module}.utcnow", lambda: now)
    before = tag()
    monkeypatch.setattr(f"{module}.utcnow", lambda: now + timedelta(minutes=2))
    after = tag()

    assert before != after
    assert before.split(".")[0] == after.split(".")[0] != ""
