"""References and tags over the JSON API and the composer: given, told, repeated and refused."""

from __future__ import annotations

import pytest

from tests.routes.browser import Browser, Program, soup
from tests.support import make_account

ADA = "ada@example.com"
ORDER = {"description": "Summarise the report", "reference": "order-1042", "tags": ["Invoices", "May"]}


@pytest.fixture
def ada(app, store) -> Program:
    make_account(store, credits=400)
    return Program(app)


def balance(store):
    return store.accounts.get(ADA).credits_balance


def test_a_reference_sent_again_is_the_first_task_and_says_so(ada, store):
    first = ada.submit(ORDER)
    again = ada.submit(ORDER)

    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json() == first.get_json()
    assert {name: first.get_json()[name] for name in ORDER} == ORDER
    assert balance(store) == 390


def test_a_reference_of_another_task_is_a_409_that_names_it(ada, store):
    first = ada.submit(ORDER).get_json()

    refused = ada.submit(ORDER | {"description": "Another thing"})

    said = refused.get_json()
    assert (refused.status_code, said["code"], said["task_id"]) == (409, "reference_used", first["task_id"])
    assert said["error"] == (
        f"The reference order-1042 is that of {first['task_id']}. That task is not the same as this one. "
        "Nothing was charged."
    )
    assert balance(store) == 390


def test_a_task_without_them_says_null_and_an_empty_list(ada):
    made = ada.submit({"description": "A task", "reference": None}).get_json()

    assert (made["reference"], made["tags"]) == (None, [])


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("reference", "", "A reference has 1 to 100 characters that can be seen."),
        ("reference", 7, "Reference must be text."),
        ("reference", "x" * 101, "A reference has at most 100 characters; this one has 101."),
        ("tags", "May", "Tags must be a list."),
        ("tags", ["May", 7], "Tags must be text."),
        ("tags", ["a,b"], "A tag holds no comma: commas part one tag from the next."),
        ("tags", None, "Tags must be a list."),
    ],
)
def test_labels_that_cannot_be_are_refused_by_their_field(ada, store, field, value, sentence):
    refused = ada.submit(ORDER | {field: value})

    assert (refused.status_code, refused.get_json()["errors"]) == (422, [{"field": field, "error": sentence}])
    assert balance(store) == 400


def test_a_batch_takes_references_and_tags_and_its_repeat_is_the_first(ada, store):
    tasks = [ORDER, {"description": "Two", "reference": "order-1043", "tags": ["invoices"]}]
    first, again = (ada.post("/api/tasks/batch", json={"tasks": tasks}) for _ in range(2))

    assert [task["reference"] for task in first.get_json()["tasks"]] == ["order-1042", "order-1043"]
    assert (again.status_code, again.get_json()) == (201, first.get_json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert balance(store) == 380


@pytest.mark.parametrize("fragment", [False, True])
def test_a_reference_that_is_taken_stands_at_its_field_with_all_that_was_typed(app, ada, store, fragment):
    ada.submit(ORDER)
    browser = Browser(app)
    browser.sign_in()
    typed = {"description": "Other words for it", "reference": "order-1042", "tags": "May, June"}

    refused = browser.post("/tasks", browser.composer() | typed, fragment=fragment)

    page = soup(refused)
    assert refused.status_code == 409
    assert "is that of task_" in page.select_one("#reference-error").text
    assert page.select_one("#description").text.strip() == typed["description"]
    assert [page.select_one(f"#{name}")["value"] for name in ("reference", "tags")] == ["order-1042", "May, June"]
    assert page.select_one("details:has(#reference)").has_attr("open")
    assert balance(store) == 390


def test_a_form_sent_again_by_its_reference_asks_about_no_twin(app, ada, store):
    browser = Browser(app)
    browser.sign_in()
    typed = {"description": "Summarise the report of the board", "reference": "board-1"}

    first = browser.post("/tasks", browser.composer() | typed)
    again = browser.post("/tasks", browser.composer() | typed)

    assert again.status_code == 303
    assert again.location == first.location
    assert balance(store) == 390


def listed(program, asked):
    answer = program.client.get(f"/api/tasks?{asked}", headers={"Authorization": f"Bearer {program.token}"})
    assert answer.status_code == 200, answer.text
    return [task["description"] for task in answer.get_json()["tasks"]]


def test_a_program_lists_by_reference_and_by_tag(ada):
    ada.submit(ORDER)
    ada.submit({"description": "Another", "tags": ["invoices"]})
    ada.submit({"description": "A third"})

    assert listed(ada, "reference=%20order-1042") == ["Summarise the report"]
    assert listed(ada, "reference=order-1") == []
    assert listed(ada, "tag=INVOICES") == ["Another", "Summarise the report"]
    assert listed(ada, "tag=invoices&order=oldest&status=pending&q=report") == ["Summarise the report"]
    assert len(listed(ada, "reference=&tag=")) == 3


@pytest.mark.parametrize("asked", ["tag=a,b", "tag=%20", "reference=" + "x" * 101, "tag=may&cursor=abc"])
def test_what_can_be_no_label_is_a_400(ada, asked):
    answer = ada.client.get(f"/api/tasks?{asked}", headers={"Authorization": f"Bearer {ada.token}"})

    assert answer.status_code == 400


@pytest.fixture
def browser(app, ada) -> Browser:
    ada.submit(ORDER)
    ada.submit({"description": "Another", "tags": ["invoices", "<b>June</b>"]})
    ada.submit({"description": "A third"})
    browser = Browser(app)
    browser.sign_in()
    return browser


def rows(page):
    return [row.text for row in page.select("#task-rows li a")]


def test_a_list_shows_the_labels_of_each_task(browser):
    second, first = browser.page("/dashboard").select("#task-rows li .labels")

    assert first.text.split() == ["order-1042", "Invoices", "May"]
    assert second.text.split() == ["invoices", "<b>June</b>"]


def test_a_tag_of_a_task_leads_to_the_tasks_that_have_it(browser):
    address = browser.page("/dashboard").select("#task-rows li a")[1]["href"]
    link = browser.page(address).select(".labels a")[0]

    page = browser.page(link["href"])

    assert link.text == "Tag invoices"
    assert rows(page) == ["Another", "Summarise the report"]
    assert page.select_one("#tag")["value"] == "invoices"
    assert page.select_one("details:has(#tag)").has_attr("open")


def test_a_tag_goes_with_other_filters_and_from_page_to_page(browser):
    assert rows(browser.page("/dashboard?tag=INVOICES&q=report")) == ["Summarise the report"]
    assert rows(browser.page("/dashboard?tag=invoices&status=cancelled")) == []
    assert rows(browser.page("/dashboard?q=order-1042")) == ["Summarise the report"]
    first = browser.page("/dashboard?tag=invoices&limit=1")
    (older,) = [link["href"] for link in first.select("#history a") if "cursor=" in link["href"]]
    assert "tag=invoices" in older
    assert rows(browser.page(older)) == ["Summarise the report"]


def test_a_tag_that_can_be_none_is_refused_in_a_sentence(browser):
    refused = browser.get("/dashboard?tag=a,b")

    assert refused.status_code == 400
    assert "A tag holds no comma" in refused.text


def test_the_tags_of_several_tasks_are_kept_through_the_preview(browser, store):
    preview = browser.post("/tasks/batch", {"lines": "One\nTwo", "tags": "Nightly, June"})
    form = {field["name"]: field.get("value", "") for field in soup(preview).select("#batch input")}
    texts = [area.text.strip() for area in soup(preview).select("#batch textarea")]

    browser.post("/tasks/batch", form | {"description": texts})

    assert "Nightly, June" in soup(preview).select_one("main").text
    made = store.labels.page(ADA, limit=9, tag="nightly").items
    assert [(task.description, task.tags) for task in made] == [
        ("Two", ("Nightly", "June")),
        ("One", ("Nightly", "June")),
    ]


def test_tags_of_several_tasks_that_cannot_be_stand_at_their_field(browser, store):
    refused = browser.post("/tasks/batch", {"lines": "One\nTwo", "tags": "x" * 41})

    page = soup(refused)
    assert refused.status_code == 422
    assert "at most 40 characters" in page.select_one("#tags-error").text
    assert page.select_one("#tags")["value"] == "x" * 41
    assert page.select_one("#lines").text.strip() == "One\nTwo"
    assert balance(store) == 370


@pytest.mark.parametrize("asked", ["tag=may", "reference=order-1042"])
def test_the_order_of_changes_goes_with_no_label_and_says_so(ada, asked):
    headers = {"Authorization": f"Bearer {ada.token}"}

    answer = ada.client.get(f"/api/tasks?updated_since=2026-11-22T12:00:00Z&{asked}", headers=headers)

    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith("updated_since goes with limit, cursor")
