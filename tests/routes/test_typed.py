"""Text that was typed is not lost when its form is refused: an ended session, a stale token, a limit, a failure."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from bs4 import BeautifulSoup
from werkzeug.test import TestResponse

from app.data.accounts import AccountReads
from app.data.tasks import TaskReads
from app.domain.clock import utcnow
from app.domain.errors import StoreUnavailable
from app.domain.tasks import MAX_DESCRIPTION, MAX_RESULT
from app.services import drafts, queue, tasks
from app.web.files import MAX_FILE_BYTES, MAX_FILES
from tests.routes.browser import Browser, soup
from tests.support import PASSWORD, every_task, make_account

pytestmark = pytest.mark.long

CHINESE = "请总结这份报告并列出三个风险。" * (MAX_DESCRIPTION // 15)
LONG = "A task of many words.\n" * 200
OPERATOR = "olga@example.com"


@pytest.fixture
def ada(store):
    return make_account(store, credits=1000)


@pytest.fixture
def operator(store):
    return make_account(store, OPERATOR, role="admin")


@pytest.fixture
def claimed(store, ada, operator):
    done = tasks.submit(store, ada, "Answer me", now=utcnow(), idempotency_key="to-answer")
    queue.claim(store, OPERATOR, done.task.task_id, now=utcnow())
    return done.task


def signed_in(app, email: str = "ada@example.com") -> Browser:
    browser = Browser(app)
    assert browser.sign_in(email).status_code == 303
    return browser


def resumed(page: BeautifulSoup, number: int = 0) -> tuple[str, dict[str, Any]]:
    """Where the form goes that was given back, and all that it holds."""
    form = page.select("form:has(input[name=unsent])")[number]
    fields: dict[str, Any] = {}
    for field in form.select("input[name], textarea[name]"):
        if field.get("type") in ("file", "password"):
            continue
        value = field.text.removeprefix("\n") if field.name == "textarea" else field["value"]
        fields.setdefault(str(field["name"]), []).append(str(value))
    return str(form["action"]), fields


def send(browser: Browser, page: BeautifulSoup) -> TestResponse:
    action, fields = resumed(page)
    return browser.client.post(action, data=fields)


@pytest.mark.threat(101)
@pytest.mark.parametrize("text", [CHINESE, LONG, "🎻" * MAX_DESCRIPTION], ids=["chinese", "lines", "emoji"])
def test_a_task_is_kept_for_its_author_and_sent_once_when_the_session_had_ended(app, store, ada, text):
    browser = signed_in(app)
    form = browser.composer() | {"description": text}
    store.updates.accounts.end_sessions(store.accounts.get(ada.email))

    answer = browser.client.post("/tasks", data=form)

    assert answer.status_code == 303
    assert "next=/unsent" in answer.headers["Location"]
    assert len(browser.cookie()) < 1000
    assert browser.sign_in(next="/unsent").headers["Location"] == "/unsent"
    action, fields = resumed(browser.page("/unsent"))
    assert (action, fields["description"], fields["request_id"]) == ("/tasks", [text], [form["request_id"]])
    assert browser.client.post(action, data=fields).status_code == 303
    assert browser.client.post(action, data=fields).status_code == 303
    assert [task["description"] for task in every_task(store)] == [text]
    assert drafts.waiting(store, store.accounts.get(ada.email), now=utcnow()) == []


@pytest.mark.threat(101)
def test_an_operators_answer_and_reason_are_kept_when_the_session_had_ended(app, store, operator, claimed):
    browser = signed_in(app, OPERATOR)
    text = "Grüße, 结果\n" * (MAX_RESULT // 11)
    page, token = f"/admin/tasks/{claimed.task_id}", browser.csrf()
    store.updates.accounts.end_sessions(store.accounts.get(OPERATOR))
    files = [(io.BytesIO(b"a"), "report.pdf")]
    browser.client.post(f"{page}/complete", data={"csrf_token": token, "result": text, "files": files})
    browser.sign_in(OPERATOR)

    shown = browser.page("/unsent")

    assert "Choose the files again" in shown.text or "Files" in shown.text
    assert resumed(shown)[1]["result"] == [text]
    assert "was not sent" in browser.page("/admin").text
    assert send(browser, shown).status_code == 303
    assert store.tasks.get_with_result(claimed.task_id)[1].text == text.replace("\r\n", "\n")
    assert not drafts.waiting(store, store.accounts.get(OPERATOR), now=utcnow())


@pytest.mark.threat(101)
def test_a_key_that_was_wished_for_is_kept_without_the_password_and_done_with_once_it_is_shown(app, store, ada):
    browser = signed_in(app)
    wished = {
        "name": "Übersicht 概要",
        "may": "tasks:read",
        "credits_a_month": "500",
        "days": "30",
        "password": PASSWORD,
    }
    form = wished | {"csrf_token": browser.csrf()}
    store.updates.accounts.end_sessions(store.accounts.get(ada.email))
    browser.client.post("/account/keys", data=form)
    browser.sign_in()

    action, fields = resumed(browser.page("/unsent"))
    kept = {name: fields.get(name) for name in wished}
    made = browser.client.post(action, data=fields | {"password": PASSWORD})

    assert kept == {name: None if name == "password" else [value] for name, value in wished.items()}
    assert (made.status_code, "imp_live_" in made.text) == (200, True)
    assert drafts.waiting(store, store.accounts.get(ada.email), now=utcnow()) == []


def test_a_batch_and_the_tasks_of_its_file_are_kept_when_the_session_had_ended(app, store, ada):
    browser = signed_in(app)
    token = browser.csrf()
    texts = [f"Line {number}: " + "文" * 3000 for number in range(30)]
    store.updates.accounts.end_sessions(store.accounts.get(ada.email))
    table = (io.BytesIO(("description\n" + "\n".join(texts)).encode()), "tasks.csv")
    browser.client.post("/tasks/batch", data={"csrf_token": token, "lines": "", "table": table})
    browser.sign_in()

    preview = send(browser, browser.page("/unsent"))

    assert preview.status_code == 200
    sent = {"csrf_token": browser.csrf(), "confirmed": "yes", "request_id": "batch-1", "description": texts}
    assert browser.client.post("/tasks/batch", data=sent).status_code == 303
    assert sorted(task["description"] for task in every_task(store)) == sorted(texts)


@pytest.mark.threat(101)
def test_nobody_else_reads_it_when_they_sign_in_at_that_browser(app, store, ada):
    make_account(store, "eve@example.com", credits=100)
    browser = signed_in(app)
    form = browser.composer() | {"description": "My secret plan"}
    store.updates.accounts.end_sessions(store.accounts.get(ada.email))
    browser.client.post("/tasks", data=form)

    browser.sign_in("eve@example.com")

    for path in ("/unsent", "/dashboard", "/credits", "/account"):
        assert "secret plan" not in browser.get(path).text
    assert "secret plan" in signed_in(app).get("/unsent").text


def test_the_text_rides_in_the_page_when_nobody_can_be_named(app, store, ada):
    browser = signed_in(app)
    form = browser.composer() | {"description": LONG}
    browser.post("/logout", {})

    answer = browser.client.post("/tasks", data=form)

    assert answer.status_code == 401
    large = browser.client.post("/tasks/batch", data={"lines": "Zeile\n" * 100_000})
    assert (large.status_code, "Zeile" in large.text) == (401, True)
    assert browser.client.get_cookie("session") is None or len(browser.cookie()) < 1000
    page = soup(answer)
    carried = page.select_one("textarea[name=carried]")
    assert carried
    token = page.select_one("input[name=csrf_token]")
    sign_in = {"csrf_token": str(token["value"]), "email": ada.email, "carried": carried.text.removeprefix("\n")}
    wrong = browser.client.post("/login", data=sign_in | {"password": "not it at all"})
    assert soup(wrong).select_one("textarea[name=carried]").text == carried.text
    done = browser.client.post("/login", data=sign_in | {"password": PASSWORD})
    assert done.headers["Location"] == "/unsent"
    assert send(browser, browser.page("/unsent")).status_code == 303
    assert [task["description"] for task in every_task(store)] == [LONG.strip("\n") + "\n"]


def test_what_another_site_sends_is_not_taken_for_typed(app, store, ada):
    answer = app.test_client().post(
        "/tasks", data={"description": "Buy my course"}, headers={"Sec-Fetch-Site": "cross-site"}
    )

    assert answer.status_code == 400
    assert "Buy my course" not in answer.text


@pytest.mark.parametrize(
    "carried", ["[]", "{", '["/tasks",[["description",1]]]', '["/login",[["email","a"]]]', "[1,2]"]
)
def test_what_rides_in_a_page_is_dropped_when_it_makes_no_sense(app, store, ada, carried):
    browser = Browser(app)

    answer = browser.sign_in(carried=carried)

    assert answer.headers["Location"] == "/dashboard"


@pytest.mark.threat(101)
def test_the_form_comes_back_with_a_token_that_fits_when_the_session_is_a_new_one(app, store, ada):
    browser = signed_in(app)
    form = browser.composer() | {"description": LONG}
    browser.sign_in()  # in another tab

    answer = browser.client.post("/tasks", data=form)

    assert answer.status_code == 400
    action, fields = resumed(soup(answer))
    assert (fields["description"], fields["request_id"]) == ([LONG], [form["request_id"]])
    assert browser.client.post(action, data=fields).status_code == 303
    assert len(every_task(store)) == 1


def test_nothing_goes_out_for_another_account_when_that_has_signed_in_meanwhile(app, store, ada):
    make_account(store, "eve@example.com", credits=100)
    browser = signed_in(app)
    form = browser.composer() | {"description": "Of Ada"}
    browser.sign_in("eve@example.com")

    answer = browser.client.post("/tasks", data=form)

    assert answer.status_code == 400
    assert "Another account has signed in" in answer.text
    assert soup(answer).select("form:has(input[name=unsent])") == []
    mark = {"HX-Request": "true", "X-Opened-By": ada.account_id}
    poll = browser.client.get("/dashboard/live", headers=mark)
    assert (poll.status_code, "Another account" in poll.text) == (401, True)


@pytest.mark.threat(84)
def test_an_open_page_stays_and_gets_its_token_when_the_session_ends_and_is_renewed(app, store, ada):
    browser = signed_in(app)
    form = browser.composer()
    headers = {"HX-Request": "true", "X-CSRFToken": form["csrf_token"], "X-Opened-By": ada.account_id}
    store.updates.accounts.end_sessions(store.accounts.get(ada.email))

    poll = browser.client.get("/dashboard/live", headers=headers)
    posted = browser.client.post("/tasks", data=form | {"description": "Kept"}, headers=headers)

    for answer in (poll, posted):
        assert answer.status_code == 401
        assert not {"HX-Redirect", "Location"} & set(answer.headers.keys())
        assert soup(answer).select_one("#toasts[data-hx-swap-oob] a[target=_blank]")
    browser.sign_in()
    renewed = browser.client.get("/dashboard/live", headers=headers)
    assert renewed.status_code == 200
    refused = browser.client.post("/tasks", data=form | {"description": "Kept"}, headers=headers)
    assert refused.status_code == 400
    fresh = refused.headers["X-CSRF-Token"]
    headers["X-CSRFToken"] = fresh
    sent = browser.client.post("/tasks", data=form | {"csrf_token": fresh, "description": "Kept"}, headers=headers)
    assert sent.status_code == 200
    assert "X-CSRF-Token" not in sent.headers
    assert [task["description"] for task in every_task(store)] == ["Kept"]
    assert not drafts.waiting(store, store.accounts.get(ada.email), now=utcnow())


@pytest.mark.parametrize("failure", [StoreUnavailable, RuntimeError])
def test_each_form_with_words_comes_back_when_the_store_fails_or_we_do(
    app, store, ada, operator, claimed, failure, monkeypatch
):
    customer, worker = signed_in(app), signed_in(app, OPERATOR)
    of_task = f"/admin/tasks/{claimed.task_id}"
    forms = [
        (customer, "/tasks", "description"),
        (customer, "/tasks/batch", "lines"),
        (customer, f"/tasks/{claimed.task_id}/redo", "note"),
        (worker, f"{of_task}/complete", "result"),
        (worker, f"{of_task}/reject", "reason"),
        (worker, f"/admin/customers/{ada.account_id}/disable", "reason"),
    ]
    tokens = {browser: browser.csrf() for browser, *_ in forms}

    def broken(*_: Any, **__: Any) -> None:
        raise failure

    for part, names in ((AccountReads, ("find", "decide")), (TaskReads, ("get", "get_with_result", "find"))):
        for name in names:
            monkeypatch.setattr(part, name, broken)
    for browser, path, field in forms:
        answer = browser.client.post(path, data={"csrf_token": tokens[browser], field: "Ünïque words\nof mine"})
        assert answer.status_code in (500, 503)
        action, fields = resumed(soup(answer))
        assert (action, fields[field], fields["csrf_token"]) == (path, ["Ünïque words\nof mine"], [tokens[browser]])


def test_no_secret_comes_back(app, store, ada, monkeypatch):
    browser = signed_in(app)
    token = browser.csrf()
    monkeypatch.setattr(AccountReads, "find", lambda *_: 1 / 0)

    for path in ("/login", "/account/password", "/account/second-factor/prove"):
        data = {"csrf_token": token, "email": "a@example.com", "current_password": "s3cr3t-w0rd", "code": "123456"}
        assert "s3cr3t" not in browser.client.post(path, data=data | {"new_password": "s3cr3t-too"}).text
        assert "123456" not in browser.client.post(path, data=data).text


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([MAX_FILE_BYTES + 1], "is larger than 10 MB"),
        ([60 * 1024 * 1024], "is larger than 10 MB"),
        ([1] * (MAX_FILES + 6), "At most 5 files"),
        ([MAX_FILE_BYTES] * (MAX_FILES + 1), "At most 5 files"),
    ],
    ids=["a byte too large", "60 MB", "eleven", "six large"],
)
def test_an_answer_stays_in_its_form_when_its_files_are_refused(app, store, operator, claimed, files, words):
    browser = signed_in(app, OPERATOR)
    uploads = [(io.BytesIO(b"x" * size), f"file {number}.bin") for number, size in enumerate(files)]

    answer = browser.post(f"/admin/tasks/{claimed.task_id}/complete", {"result": "My long answer", "files": uploads})

    assert answer.status_code == 422
    page = soup(answer)
    assert page.select_one("textarea[name=result]").text.strip() == "My long answer"
    assert words in page.select_one("#files-error").text
    assert page.select_one("input[type=file]")["data-max-bytes"] == str(MAX_FILE_BYTES)


@pytest.mark.parametrize("size", [0, 3 * 1024 * 1024])
def test_the_lines_of_a_batch_stay_when_its_file_is_refused(app, store, ada, size):
    browser = signed_in(app)
    table = (io.BytesIO(b"x" * size), "tasks.csv")

    answer = browser.post("/tasks/batch", {"lines": "First\nSecond", "table": table})

    assert answer.status_code == 422
    assert soup(answer).select_one("textarea[name=lines]").text.strip() == "First\nSecond"


def test_a_text_that_is_far_too_long_stays_in_the_form(app, store, ada):
    browser = signed_in(app)
    text = "ä" * 90_000

    answer = browser.post("/tasks", {"description": text, "request_id": "long"})

    assert answer.status_code == 422
    assert soup(answer).select_one("#description").text.strip() == text


BAD_KEYS = ["", " ", "x" * 300, "schlüssel", "a\tb"]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_batch_is_never_said_to_be_submitted_when_its_key_is_none(app, store, ada, key):
    browser = signed_in(app)
    form = {"confirmed": "yes", "description": ["One", "Two"], "request_id": key}

    for _ in range(2):
        answer = browser.post("/tasks/batch", form)
        assert answer.status_code == 422
        assert every_task(store) == []
    page = soup(answer)
    fresh = page.select_one("form input[name=request_id]")["value"]
    assert "Nothing was done" in page.select_one("[role=alert]").text
    assert browser.post("/tasks/batch", form | {"request_id": fresh}).status_code == 303
    assert len(every_task(store)) == 2


@pytest.mark.parametrize("key", BAD_KEYS[2:])
def test_a_task_and_an_adjustment_get_a_new_key_when_theirs_is_none(app, store, ada, operator, key):
    customer, worker = signed_in(app), signed_in(app, OPERATOR)
    correct = f"/admin/customers/{ada.account_id}/adjust"
    words = {"description": "Write it", "amount": "10", "reason": "Goodwill", "confirmed": "yes"}

    for browser, path in ((customer, "/tasks"), (worker, correct)):
        answer = browser.post(path, words | {"request_id": key})
        assert answer.status_code == 422
        assert "Nothing was done" in answer.text
        fresh = soup(answer).select_one(f'form[action="{path}"] input[name=request_id]')["value"]
        assert browser.post(path, words | {"request_id": fresh}).status_code == 303
    assert store.accounts.get(ada.email).credits_balance == 1000


@pytest.mark.parametrize("key", ["", " "])
def test_a_second_adjustment_is_not_taken_for_the_first_when_it_has_no_key(app, store, ada, operator, key):
    worker = signed_in(app, OPERATOR)

    for _ in range(2):
        form = {"amount": "10", "reason": "Goodwill", "confirmed": "yes", "request_id": key}
        assert worker.post(f"/admin/customers/{ada.account_id}/adjust", form).status_code == 422
    assert store.accounts.get(ada.email).credits_balance == 1000


def test_what_waits_is_exported_thrown_away_and_gone_with_the_account(app, store, ada):
    browser = signed_in(app)
    for path, text in (("/tasks", "The first"), ("/tasks/batch", "The second")):
        assert drafts.keep(store, ada, path, (("description", text), ("request_id", "k")), now=utcnow())
    export = browser.get("/account/export.json").get_json(force=True)
    assert {dict(row["fields"])["description"] for row in export["unsent"]} == {"The first", "The second"}

    key = soup(browser.get("/unsent")).select_one("form[action='/unsent/discard'] input[name=key]")["value"]
    assert browser.post("/unsent/discard", {"key": key}).status_code == 303

    assert len(drafts.waiting(store, store.accounts.get(ada.email), now=utcnow())) == 1
    browser.post("/account/delete", {"password": PASSWORD})
    gone = store.accounts.get(ada.email)
    assert (gone.deleted_at is not None, gone.unsent) == (True, False)
    assert store.drafts.get(ada.account_id, utcnow()).packed == {}
    assert not drafts.keep(store, ada, "/tasks", (("description", "Late"),), now=utcnow())  # read before it was deleted
    assert store.drafts.get(ada.account_id, utcnow()).packed == {}


def test_what_is_too_much_or_too_old_is_not_kept(store, ada):
    import random

    noise = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FFF), k=200_000)))
    assert not drafts.keep(store, ada, "/tasks/batch", (("lines", noise),), now=utcnow())
    assert drafts.keep(store, ada, "/tasks", (("description", "Short"),), now=utcnow().replace(year=2025))
    assert drafts.waiting(store, store.accounts.get(ada.email), now=utcnow()) == []


# Refused by the form itself, or for some of it


@pytest.mark.threat(101)
@pytest.mark.parametrize("note", ["Too long a note. " * 40, "\u200b\u3164"], ids=["long", "unseen"])
def test_a_refused_note_for_a_redo_comes_back_in_its_form(app, store, ada, operator, claimed, note):
    queue.complete(store, OPERATOR, claimed.task_id, "Done", now=utcnow())
    browser = signed_in(app)

    answer = browser.post(f"/tasks/{claimed.task_id}/redo", {"note": note})

    assert answer.status_code == 422
    if note.strip("\u200b\u3164"):
        action, fields = resumed(soup(answer))
        assert (action, fields["note"]) == (f"/tasks/{claimed.task_id}/redo", [note])


@pytest.mark.threat(101)
def test_a_note_that_was_kept_is_still_kept_when_it_is_sent_and_refused(app, store, ada, operator, claimed):
    queue.complete(store, OPERATOR, claimed.task_id, "Done", now=utcnow())
    browser = signed_in(app)
    token, note = browser.csrf(), "Too long a note. " * 40
    store.updates.accounts.end_sessions(store.accounts.get(ada.email))
    browser.client.post(f"/tasks/{claimed.task_id}/redo", data={"csrf_token": token, "note": note})
    browser.sign_in()

    assert send(browser, browser.page("/unsent")).status_code == 422

    assert resumed(browser.page("/unsent"))[1]["note"] == [note]


@pytest.mark.threat(101)
def test_one_answer_for_several_tasks_comes_back_with_those_that_did_not_take_it(app, store, ada, operator, claimed):
    other = tasks.submit(store, ada, "And me", now=utcnow(), idempotency_key="other").task  # nobody has claimed it
    browser = signed_in(app, OPERATOR)
    form = {"act": "complete", "task_id": [claimed.task_id, other.task_id], "result": "A long answer\nof two lines"}

    answer = browser.post("/admin/bulk", form)

    page = soup(answer)
    assert answer.status_code == 409
    assert page.select_one("textarea[name=result]").text.removeprefix("\n") == form["result"]
    assert [field["value"] for field in page.select("input[name=task_id]")] == [other.task_id]
    assert "1 task completed." in page.text
    assert "And me" in page.text
    assert page.select_one("#result-error")
    assert store.tasks.get_with_result(claimed.task_id)[1].text == form["result"]


def test_one_answer_for_several_tasks_comes_back_when_none_is_ticked(app, store, operator):
    answer = signed_in(app, OPERATOR).post("/admin/bulk", {"act": "complete", "result": "A long answer"})

    assert answer.status_code == 422
    assert "A long answer" in soup(answer).select_one("textarea[name=result]").text


@pytest.mark.threat(101)
@pytest.mark.parametrize("length", [2001, MAX_DESCRIPTION + 1])
def test_a_text_of_any_length_waits_whole_while_credits_are_bought(app, store, ada, length):
    browser = signed_in(app)
    text = ("word " * length)[: length - 3] + "end"

    answer = browser.post("/credits/draft", {"description": text})

    assert answer.headers["Location"] == "/credits"
    assert "We keep the task you wrote" in browser.page("/credits").text
    assert browser.page("/dashboard").select_one("#description").text.removeprefix("\n") == text


def test_a_text_that_no_row_holds_comes_back_instead_of_waiting(app, store, ada):
    noise = random.Random(1)
    text = "".join(chr(noise.randrange(0x20000, 0x2FFFF)) for _ in range(160_000))

    answer = signed_in(app).post("/credits/draft", {"description": text})

    assert (answer.status_code, resumed(soup(answer))[1]["description"]) == (422, [text])
