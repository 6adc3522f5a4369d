"""What is typed into a form is kept by its open page, and given back by the form itself, whoever opens it where."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.domain.clock import utcnow
from app.domain.tasks import MAX_BATCH, MAX_DESCRIPTION, MAX_RESULT
from app.services import queue, tasks
from app.web.typed import LONG
from app.web.typed_drafts import PAGES
from tests.crawl import crawl
from tests.routes.browser import Browser, soup
from tests.routes.test_identifiers import OPERATOR, furnish, getter, signed_in
from tests.routes.test_refusals import LINES, typed_fields
from tests.support import every_task, make_account

ADA = "ada@example.com"
LED_TO = {"admin.bulk"}  # by another form: its page is no address of its own


@pytest.fixture
def ada(store):
    return make_account(store, credits=1000)


@pytest.fixture
def operator(store):
    return make_account(store, OPERATOR, role="admin")


@pytest.fixture
def claimed(store, ada, operator):
    task = tasks.submit(store, ada, "Answer me", now=utcnow()).task
    queue.claim(store, OPERATOR, task.task_id, now=utcnow())
    return task


def keep(browser: Browser, place: str, number: int = 1, page: str = "page01", **fields: Any):
    return browser.post("/drafts", {"draft": f"{place} {page}", "number": number, **fields}, fragment=True)


def field_of(page, name: str) -> str:
    found = page.select_one(f"form[data-draft] [name={name}]")
    return found.text.removeprefix("\n") if found.name == "textarea" else found.get("value", "")


@pytest.mark.threat(101)
def test_a_task_is_there_again_in_another_browser_and_submitted_once(app, store, ada):
    text = "Zeile\nfür Zeile 🎻 " * (MAX_DESCRIPTION // 20)
    first, second = signed_in(app, ADA), signed_in(app, ADA)
    request_id = first.composer()["request_id"]
    said = keep(first, "/tasks", description=text.replace("\n", "\r\n"), request_id=request_id)
    assert "Draft kept." in said.text

    page = second.page("/dashboard")
    hidden = second.composer()

    assert "Your draft is here" in page.select_one("#composer [data-draft-line]").text
    assert field_of(page, "description").replace("\r\n", "\n") == text
    assert (hidden["request_id"], hidden["draft"]) == (request_id, "/tasks page01")
    for _ in range(2):
        assert second.client.post("/tasks", data=hidden | {"description": text}).status_code == 303
    assert len(every_task(store)) == 1
    assert field_of(second.page("/dashboard"), "description") == ""
    late = keep(first, "/tasks", number=2, description=text)
    assert (late.status_code, field_of(first.page("/dashboard"), "description")) == (409, "")


def test_the_composer_is_new_after_a_submit_over_htmx(app, store, ada):
    browser = signed_in(app, ADA)
    hidden = browser.composer()
    keep(browser, "/tasks", description="One")

    answer = browser.post("/tasks", hidden | {"description": "One", "draft": "/tasks page01"}, fragment=True)

    form = soup(answer).select_one("#composer")
    assert form.select_one("[name=draft]")["value"] == "/tasks"
    assert not form.select("[data-unsaved], [form=throw-away]")
    assert field_of(browser.page("/dashboard"), "description") == ""


def test_a_form_that_comes_back_goes_on_with_its_draft(app, store, ada):
    browser = signed_in(app, ADA)
    keep(browser, "/tasks", description="x")

    answer = browser.post("/tasks", {"description": " ", "draft": "/tasks page01"}, fragment=True)

    mark = soup(answer).select_one("[name=draft]")
    assert (answer.status_code, mark["value"], mark.has_attr("data-unsaved")) == (422, "/tasks page01", True)


def test_a_task_that_is_submitted_again_has_a_draft_of_its_own(app, store, ada):
    task = tasks.submit(store, ada, "Once more", now=utcnow()).task
    browser = signed_in(app, ADA)
    keep(browser, "/tasks", description="Something else")
    path = f"/dashboard?again={task.task_id}"

    again = browser.page(path)
    assert field_of(again, "description") == "Once more"
    place = field_of(again, "draft")
    keep(browser, place, description="Once more, but shorter")

    assert field_of(browser.page(path), "description") == "Once more, but shorter"
    assert field_of(browser.page("/dashboard"), "description") == "Something else"
    thrown = browser.post("/drafts/discard", {"draft": f"{place} page01"})
    assert thrown.headers["Location"] == path
    assert field_of(browser.page(path), "description") == "Once more"


@pytest.mark.threat(101)
def test_an_answer_and_a_reason_are_there_again_and_gone_once_sent(app, store, operator, claimed):
    browser, path = signed_in(app, OPERATOR), f"/admin/tasks/{claimed.task_id}"
    answer = "答案。" * (MAX_RESULT // 3)
    keep(browser, f"{path}/complete", result=answer)
    keep(browser, f"{path}/reject", reason="Zu wenig <gesagt>")

    page = signed_in(app, OPERATOR).page(path)

    assert field_of(page, "result") == answer
    assert field_of(page, "reason") == "Zu wenig <gesagt>"
    sent = browser.post(f"{path}/complete", {"result": answer, "draft": f"{path}/complete page01"})
    assert sent.status_code == 303
    assert not browser.page(path).select("#answer")


def test_an_answer_is_there_still_when_the_lease_has_run_out(app, store, operator, claimed):
    browser, path = signed_in(app, OPERATOR), f"/admin/tasks/{claimed.task_id}"
    keep(browser, f"{path}/complete", result="Half of it")
    queue.release(store, OPERATOR, claimed.task_id, now=utcnow())

    page = browser.page(path)

    assert field_of(page, "result") == "Half of it"
    assert page.select_one("#answer .act button").has_attr("disabled")


def test_the_longest_batch_is_there_again_until_it_is_paid_for(app, store, ada):
    browser = signed_in(app, ADA)
    lines = "\n".join(f"{number} " + "文" * (MAX_DESCRIPTION - 10) for number in range(MAX_BATCH))
    keep(browser, "/tasks/batch", lines=lines)
    assert field_of(browser.page("/tasks/batch"), "lines") == lines

    preview = browser.post("/tasks/batch", {"lines": lines, "draft": "/tasks/batch page01"})
    assert field_of(browser.page("/tasks/batch"), "lines") == lines
    fields: dict[str, Any] = {}
    for field in soup(preview).select("#batch [name]"):
        fields.setdefault(field["name"], []).append(field.get("value") or field.text.removeprefix("\n"))

    assert browser.client.post("/tasks/batch", data=fields).status_code == 303
    assert len(every_task(store)) == MAX_BATCH
    assert field_of(browser.page("/tasks/batch"), "lines") == ""


def test_a_file_is_no_part_of_a_draft(app, store, ada):
    browser = signed_in(app, ADA)

    answer = keep(browser, "/tasks/batch", lines="One", table=(io.BytesIO(b"Task\nTwo"), "t.csv"))

    assert (answer.status_code, field_of(browser.page("/tasks/batch"), "lines")) == (200, "One")


def test_a_draft_is_thrown_away_by_a_button_that_needs_no_javascript(app, store, ada):
    browser = signed_in(app, ADA)
    keep(browser, "/tasks", description="Never mind")
    button = browser.page("/dashboard").select_one("[form=throw-away]")

    answer = browser.post("/drafts/discard", {button["name"]: button["value"]})

    assert answer.headers["Location"] == "/dashboard"
    page = browser.page("/dashboard")
    assert (field_of(page, "description"), "Thrown away." in page.text) == ("", True)


@pytest.mark.threat(101)
def test_a_draft_is_read_by_its_author_alone(app, store, ada, operator, claimed):
    make_account(store, "eve@example.com", role="admin")
    path = f"/admin/tasks/{claimed.task_id}"
    keep(signed_in(app, OPERATOR), f"{path}/complete", result="A secret plan")
    keep(signed_in(app, ADA), "/tasks", description="Another secret plan")

    eve = signed_in(app, "eve@example.com")

    for page in (path, "/dashboard", "/account/export.json"):
        assert "secret plan" not in eve.get(page).text


@pytest.mark.threat(101)
def test_nothing_is_kept_for_another_account_that_has_signed_in_meanwhile(app, store, ada):
    make_account(store, "eve@example.com")
    browser = signed_in(app, "eve@example.com")
    form = {"draft": "/tasks page01", "number": 1, "description": "Of Ada"}

    answer = browser.post("/drafts", form, fragment=True, X_Opened_By=ada.account_id)

    assert (answer.status_code, "Another account" in answer.text) == (401, True)
    assert field_of(browser.page("/dashboard"), "description") == ""


@pytest.mark.parametrize(
    ("mark", "status"),
    [
        ("", 400),
        ("/tasks", 400),
        ("/account/password page01", 400),
        ("/api/tasks page01", 400),
        ("https://elsewhere.example page01", 400),
        ("/admin/bulk page01", 403),
    ],
)
def test_a_place_that_takes_no_drafts_of_this_account_is_refused(app, store, ada, mark, status):
    answer = signed_in(app, ADA).post("/drafts", {"draft": mark, "number": 1, "result": "x"}, fragment=True)

    assert answer.status_code == status


def test_a_stranger_keeps_nothing(app, store):
    answer = keep(Browser(app), "/tasks", description="x")

    assert (answer.status_code, "You were signed out" in answer.text) == (401, True)


def test_a_page_tells_what_it_took_the_place_of(app, store, ada):
    browser = signed_in(app, ADA)
    keep(browser, "/tasks", description="In one tab")

    said = keep(browser, "/tasks", page="page02", description="In another")

    assert "It takes the place of the one that another page kept" in " ".join(said.text.split())
    assert keep(browser, "/tasks", 2, "page02", description=" ").text.strip() == ""


def test_the_export_has_what_is_being_typed(app, store, ada):
    browser = signed_in(app, ADA)
    keep(browser, "/tasks", description="Half a thought", request_id="r1")

    (draft,) = json.loads(browser.get("/account/export.json").text)["drafts"]

    assert (draft["form"], draft["fields"][0]) == ("/tasks", ["description", "Half a thought"])


@pytest.mark.threat(101)
@pytest.mark.long
def test_every_form_with_words_of_more_than_a_line_gives_them_back(app, store):
    """A form with a reason, a note, a task or an answer that does not, or that no page gives back, is named here."""
    starts, adapter = furnish(app, store, ADA), app.url_map.bind("localhost")
    given_back, missing = set(), []
    for who, start in starts.items():
        browser = signed_in(app, who)
        for path, answer in crawl(getter(signed_in(app, who)), app.url_map, start).answers.items():
            for form in soup_of(answer.html).select("form[method=post]"):
                place = urlsplit(str(form["action"])).path
                endpoint, _ = adapter.match(place, "POST")
                fields = typed_fields(form)
                if not LONG & fields.keys() or endpoint in given_back:
                    continue
                mark = form.select_one("[name=draft]")
                if not mark or not form.has_attr("data-draft"):
                    missing.append((endpoint, "no draft"))
                    continue
                assert keep(browser, str(mark["value"]), **fields).status_code == 200
                again = soup(browser.get(path)).select_one(f'form[data-draft][action="{form["action"]}"]')
                shown = {f["name"]: f.text.removeprefix("\n") or f.get("value") for f in again.select("[name]")}
                lost = [name for name, value in fields.items() if shown[name] != value]
                missing += [(endpoint, lost)] if lost or "Your draft is here" not in again.text else []
                given_back.add(endpoint)

    assert missing == []
    assert given_back == PAGES.keys() - LED_TO


def soup_of(html: str):
    from bs4 import BeautifulSoup

    return BeautifulSoup(html, "html5lib")


def test_one_answer_for_several_tasks_is_there_again(app, store, operator, claimed):
    browser = signed_in(app, OPERATOR)
    keep(browser, "/admin/bulk?act=complete", result=LINES)

    page = soup(browser.post("/admin/bulk", {"act": "compose", "task_id": claimed.task_id}))

    assert field_of(page, "result") == LINES
    sent = {"act": "complete", "task_id": claimed.task_id, "result": LINES, "draft": field_of(page, "draft")}
    assert browser.post("/admin/bulk", sent).status_code == 303
    again = soup(browser.post("/admin/bulk", {"act": "compose", "task_id": claimed.task_id}))
    assert field_of(again, "result") == ""
