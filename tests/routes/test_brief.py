"""What a customer gives for a task, whole: each field of a brief is asked for, kept, shown, handed out and erased.

A field more in `Brief` is tested here by being one: whichever place does not know it fails.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from app.data.erasure import WORDS
from app.domain.errors import IdempotencyKeyReused
from app.domain.tasks import BRIEF_FIELDS, Brief
from app.services import own_data, queue, tasks
from app.web.typed import LABELS
from tests.routes.browser import Browser, Program, soup
from tests.support import NOW, make_account, make_operators

GIVEN = {name: f"Words of {name}" for name in BRIEF_FIELDS}
BRIEF = Brief(**GIVEN | {"tags": (GIVEN["tags"],)})
JSON = GIVEN | {"tags": [GIVEN["tags"]]}
OF_ONE_TASK = {"reference"}  # what neither a redo nor another submit takes along


@pytest.fixture
def browser(app, store):
    make_account(store, credits=100)
    browser = Browser(app)
    browser.enter()
    return browser


def submitted(store):
    (task,) = store.tasks.every_of("ada@example.com")
    return task


def test_the_composer_asks_for_each_field_and_keeps_all_of_them(browser, store):
    asked = {field["name"] for field in browser.page("/dashboard").select("#composer [name]")}

    browser.post("/tasks", browser.composer() | GIVEN)

    assert set(BRIEF_FIELDS) <= asked
    assert submitted(store).brief == BRIEF


def test_a_form_that_comes_back_holds_each_field(browser, store):
    again = browser.post("/tasks", browser.composer() | GIVEN | {"request_id": "ä"})  # no key: asked about
    browser.post("/tasks", browser.composer() | GIVEN)
    once_more = browser.get(f"/dashboard?again={submitted(store).task_id}")

    assert again.status_code == 422
    assert [words for words in GIVEN.values() if words not in again.text] == []
    composer = soup(once_more).select_one("#composer")
    assert [name for name, words in GIVEN.items() if words not in str(composer)] == list(OF_ONE_TASK)


def test_a_form_that_is_handed_back_names_each_field():
    assert set(BRIEF_FIELDS) <= LABELS.keys()


def test_customer_and_operator_read_each_field(app, browser, store):
    browser.post("/tasks", browser.composer() | GIVEN)
    task_id = submitted(store).task_id
    make_operators(store)
    operator = Browser(app)
    operator.sign_in("op@example.com")

    for page in (browser.page(f"/tasks/{task_id}"), operator.page(f"/admin/tasks/{task_id}")):
        assert [words for words in GIVEN.values() if words not in page.select_one("main").text] == []


def test_a_program_gives_and_reads_each_field(app, browser, store):
    program = Program(app)

    answer = program.submit(JSON).get_json()
    read = program.get(f"/api/tasks/{answer['task_id']}").get_json()

    assert submitted(store).brief == BRIEF
    assert {name: answer[name] for name in BRIEF_FIELDS} == JSON
    assert {name: read[name] for name in BRIEF_FIELDS} == JSON


def test_the_command_line_shows_each_field(app, browser, store):
    browser.post("/tasks", browser.composer() | GIVEN)

    shown = app.test_cli_runner().invoke(args=["tasks", "show", submitted(store).task_id])

    assert [words for words in GIVEN.values() if words not in shown.output] == []


@pytest.mark.parametrize("name", BRIEF_FIELDS)
def test_a_repeat_with_one_field_changed_is_another_task(store, name):
    account = make_account(store, credits=100)
    tasks.submit(store, account, BRIEF, now=NOW, idempotency_key="r-1")

    with pytest.raises(IdempotencyKeyReused):
        tasks.submit(
            store,
            account,
            replace(BRIEF, **{name: ("Other",) if name == "tags" else "Other"}),
            now=NOW,
            idempotency_key="r-1",
        )


def test_a_redo_has_each_field_of_the_first(store):
    account = make_account(store, credits=100)
    make_operators(store)
    task = tasks.submit(store, account, BRIEF, now=NOW).task
    queue.claim(store, "op@example.com", task.task_id, now=NOW)
    queue.complete(store, "op@example.com", task.task_id, "Done", now=NOW)

    again = queue.request_redo(store, account, task.task_id, "The table", now=NOW)

    assert again.brief == store.tasks.find(again.task_id).brief == replace(BRIEF, **dict.fromkeys(OF_ONE_TASK, ""))


def test_ones_own_data_hold_each_field(browser, store):
    browser.post("/tasks", browser.composer() | GIVEN)
    file = io.StringIO()

    own_data.write_export(store, "ada@example.com", file)

    (task,) = json.loads(file.getvalue())["tasks"]
    assert {name: task[name] for name in BRIEF_FIELDS} == JSON


def test_an_erased_task_holds_no_word_and_no_move_brings_one_back(store):
    account = make_account(store, credits=100)
    task = tasks.submit(store, account, BRIEF, now=NOW).task

    store.updates.erasure.erase_task(task.task_id)
    with store.transaction() as tx:
        tx.tasks.change(task, replace(task, version=1))  # by who had read it before

    left = store.tasks.find(task.task_id)
    assert WORDS.keys() == set(BRIEF_FIELDS)
    assert [name for name in BRIEF_FIELDS if getattr(left, name) == getattr(BRIEF, name)] == []
