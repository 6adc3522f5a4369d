"""What was typed stands in the answer of each refusal: each form of the pages against each way of saying no."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from flask import request
from werkzeug.exceptions import InternalServerError, RequestEntityTooLarge

from app.domain.clock import utcnow
from app.domain.errors import Forbidden, RateLimited, StoreUnavailable, WrongState
from app.services import queue, tasks
from app.web.admission import MAX_CARRIED, MAX_GIVEN_BACK, MAX_TYPED
from app.web.typed import LABELS
from app.web.work_slots import NO_SLOT
from tests.crawl import crawl
from tests.routes.browser import Browser, soup
from tests.routes.test_identifiers import OPERATOR, furnish, getter, signed_in
from tests.routes.test_typed import resumed
from tests.support import every_task, make_account

pytestmark = pytest.mark.long

NOBODY = ""
SECRET = "s3cr3t-w0rd"
NOT_TYPED = {"hidden", "file", "checkbox", "radio", "submit", "password"}
WORDS = {"email": "ada+typed@example.com", "amount": "-17", "credits": "1717", "max_uses": "17"}
LINES = "Ünïque words\nof mine & <mine>"
SECRETS = {"second_factor": {"code", "name"}}  # a code of a second factor; a passkey's name goes with its challenge
ELSEWHERE = {  # forms with words that are led to by sending another form
    "admin.bulk": ("/admin/bulk", {"act": "complete", "task_id": "t"}, "result"),
    "credits.keep_draft": ("/credits/draft", {"request_id": "r"}, "description"),
}
REFUSALS: dict[str, tuple[int, Any]] = {
    "a wrong token": (400, None),
    "forbidden": (403, Forbidden()),
    "changed meanwhile": (409, WrongState()),
    "too large": (413, RequestEntityTooLarge()),
    "too many": (429, RateLimited(60)),
    "a fault": (500, RuntimeError("broken")),
    "a fault of the server's": (500, InternalServerError()),
    "the store is away": (503, StoreUnavailable()),
    "no slot": (503, None),
}


class Form(NamedTuple):
    endpoint: str
    path: str
    who: str
    fields: dict[str, str]  # what a person types
    fixed: dict[str, str]


def typed_fields(form: Any) -> dict[str, str]:
    """A text for each field of a form that a person writes into."""
    fields = form.select("input[name], textarea[name]:not([hidden])")
    return {
        str(field["name"]): WORDS.get(str(field["name"]), LINES if field.name == "textarea" else "Ünïque & <mine>")
        for field in fields
        if field.get("type", "text") not in NOT_TYPED
    }


def forms_of(app, store) -> dict[str, Form]:
    """One form of each endpoint that takes words, as the pages show it."""
    address = "ada@example.com"
    starts = furnish(app, store, address) | {NOBODY: ["/login", "/signup", "/forgot"]}
    adapter, forms = app.url_map.bind("localhost"), {}
    for who, start in starts.items():
        found = crawl(getter(signed_in(app, who) if who else Browser(app)), app.url_map, start)
        for answer in found.answers.values():
            for form in BeautifulSoup(answer.html, "html.parser").select("form[method=post]"):
                path = urlsplit(str(form["action"])).path
                endpoint, _ = adapter.match(path, "POST")
                if fields := typed_fields(form):
                    hidden = form.select("input[type=hidden][name][value]")
                    fixed = {str(field["name"]): str(field["value"]) for field in hidden}
                    fixed |= {str(field["name"]): SECRET for field in form.select("input[type=password]")}
                    forms[endpoint] = Form(endpoint, path, who, fields, fixed)
    for endpoint, (path, fixed, name) in ELSEWHERE.items():
        forms[endpoint] = Form(endpoint, path, OPERATOR, {name: LINES}, fixed)
    return forms


class Refusing:
    """Each POST to a view ends in `error`, whatever that is at the time."""

    error: Exception | None = None

    def __init__(self, app):
        app.before_request_funcs.setdefault(None, []).append(self)

    def __call__(self) -> None:
        if self.error and request.method == "POST":
            raise self.error


def given_back(answer: Any) -> dict[str, list[str]]:
    page = soup(answer)
    if page.select("form:has(input[name=unsent])"):
        return {name: [v.replace("\r\n", "\n") for v in values] for name, values in resumed(page)[1].items()}
    return {"": [field.get("value") or field.text.strip("\n") for field in page.select("[id^=copy-]")]}


def lost_by(refusal: str, form: Form, browser: Browser, token: str) -> list[Any]:
    """What of a form is missing in the answer of this refusal, or does not belong there."""
    status, _ = REFUSALS[refusal]
    answer = browser.client.post(
        form.path,
        data=form.fixed | form.fields | {"csrf_token": "wrong" if refusal == "a wrong token" else token},
        environ_overrides={NO_SLOT: True} if refusal == "no slot" else {},
    )
    back = given_back(answer)
    lost: list[Any] = [name for name, value in words_of(form).items() if value not in back.get(name, back.get("", ()))]
    if answer.status_code != status or SECRET in answer.text:
        lost.append((answer.status_code, answer.text[-900:]))
    return lost


def words_of(form: Form) -> dict[str, str]:
    secrets = SECRETS.get(form.endpoint.partition(".")[0], ())
    return {name: value for name, value in form.fields.items() if name not in secrets}


@pytest.mark.threat(101)
def test_what_was_typed_into_any_form_stands_in_the_answer_of_any_refusal(app, store):
    forms = forms_of(app, store).values()
    people = {who: signed_in(app, who) if who else Browser(app) for who in {form.who for form in forms}}
    tokens = {who: browser.csrf() for who, browser in people.items()}
    refusing, lost = Refusing(app), []
    for refusal, (_, error) in REFUSALS.items():
        refusing.error = error
        for form in forms:
            if found := lost_by(refusal, form, people[form.who], tokens[form.who]):
                lost.append((refusal, form.endpoint, found))

    assert lost == []
    labelled = {name for form in forms for name in words_of(form)}
    assert labelled == set(LABELS), "a field without a label, or a label that no field has any more"


@pytest.mark.parametrize("path", ["/signup", "/forgot", "/login"])
def test_a_form_of_who_is_not_signed_in_goes_out_again_when_its_token_was_too_old(app, store, path):
    make_account(store)
    browser = Browser(app)
    email = "new@example.com" if path == "/signup" else "ada@example.com"
    form = {"csrf_token": "of long ago", "email": email, "password": "correct horse battery", "next": "/account"}

    answer = browser.client.post(path, data=form)

    action, fields = resumed(soup(answer))
    assert (answer.status_code, action, fields["email"]) == (400, path, [email])
    assert "correct horse" not in answer.text
    done = browser.client.post(action, data=fields | {"password": "correct horse battery"})
    assert done.status_code == (200 if path == "/forgot" else 303)
    if path == "/login":
        assert done.headers["Location"] == "/account"


@pytest.mark.parametrize(
    ("path", "field", "size", "kind"),
    [
        ("/tasks", "description", MAX_TYPED + 1, "application/x-www-form-urlencoded"),
        ("/tasks/batch", "lines", MAX_GIVEN_BACK - 1000, "application/x-www-form-urlencoded"),
        ("/tasks/batch", "lines", MAX_TYPED + 1, "multipart/form-data"),
    ],
)
def test_a_text_of_megabytes_is_refused_and_given_back(app, store, path, field, size, kind):
    make_account(store, credits=100)
    browser = signed_in(app, "ada@example.com")
    text = "x" * size

    answer = browser.client.post(path, data={"csrf_token": browser.csrf(), field: text}, content_type=kind)

    assert answer.status_code in (413, 422)
    page = answer.text
    fields = re.finditer(rf'<textarea[^>]* name="{field}"[^>]*>\n', page)
    assert any(page.startswith(f"{text}</textarea>", opened.end()) for opened in fields)
    assert every_task(store) == []


def test_a_text_from_a_browser_without_any_cookie_is_given_back(app, store):
    text = "Zeile\n" * (MAX_CARRIED // 12)

    answer = app.test_client().post("/tasks/batch", data={"lines": text})

    assert answer.status_code == 413
    assert soup(answer).select_one("textarea").text.strip() == text.strip()


def test_a_note_for_a_redo_stays_when_it_is_too_long(app, store):
    ada = make_account(store, credits=100)
    make_account(store, OPERATOR, role="admin")
    task = tasks.submit(store, ada, "Answer me", now=utcnow()).task
    queue.claim(store, OPERATOR, task.task_id, now=utcnow())
    queue.complete(store, OPERATOR, task.task_id, "Done", now=utcnow())
    note = "It is not what I meant. " * 40

    answer = signed_in(app, ada.email).post(f"/tasks/{task.task_id}/redo", {"note": note})

    assert answer.status_code == 422
    assert resumed(soup(answer))[1]["note"] == [note]


@pytest.mark.parametrize(("ticked", "status"), [([], 422), (["gone-by-now"], 409)])
def test_one_answer_for_several_tasks_stays_when_none_of_them_takes_it(app, store, ticked, status):
    make_account(store, OPERATOR, role="admin")
    form = {"act": "complete", "task_id": ticked, "result": LINES}

    answer = signed_in(app, OPERATOR).post("/admin/bulk", form)

    assert answer.status_code == status
    assert soup(answer).select_one("textarea[name=result]").text.strip() == LINES
    assert soup(answer).select_one(".error").text
