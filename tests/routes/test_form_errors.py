"""What is wrong with a form: at its top and at the field, in our words, with what was typed kept."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import email_validator
import flask_wtf
import pytest
import wtforms
from bs4 import BeautifulSoup
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import default_exceptions

from app.domain.clock import utcnow
from app.domain.text import shows
from app.forms import account, admin, admin_finance, auth, credits, tasks  # noqa: F401 - each form, by being there
from app.services import queue
from app.services import tasks as task_service
from tests.routes.browser import Browser, soup
from tests.support import NOW, make_account, make_operators

pytestmark = pytest.mark.long

GARBAGE = (
    *("", " ", "☃", "-1", "1e3", "0x10", "٣", "9" * 400, "9" * 5000, "x" * 6000, "\x00", "\ud800", "<b>&amp;"),
    *("a@", "a@b..c", "@", "2026-13-45", "2026-02-30", "31.12.2026", "0000-00-00", "{}", "[1]", "null"),
)
OPERATOR = "op@example.com"


FILLED_IN = re.compile(r"%\(\w+\)[sd]|\{\w*\}")


@cache
def sentences_of_libraries() -> list[tuple[str, re.Pattern[str]]]:
    """What WTForms, Flask-WTF, email-validator and werkzeug can say, with anything in place of what they fill in; and
    the longest part of each that is always the same, which a page is looked through for in no time."""
    found = {str(error.description) for error in default_exceptions.values()}
    for package in (wtforms, flask_wtf, email_validator):
        for path in Path(package.__file__).parent.rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
            found |= {
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
            }
    return [
        (max(parts, key=len).lower(), re.compile(".+".join(map(re.escape, parts)), re.IGNORECASE))
        for text, parts in ((text, FILLED_IN.split(text)) for text in found)
        if re.search(r"\w+ \w+ \w+.*\.$", text) and "\n" not in text
    ]


def said_by_libraries(text: str) -> list[str]:
    lower = text.lower()
    return [pattern.pattern for part, pattern in sentences_of_libraries() if part in lower and pattern.search(text)]


def every_form(of: type = FlaskForm) -> Iterator[type[FlaskForm]]:
    for form in of.__subclasses__():
        if form.__module__.startswith("app."):
            yield form
        yield from every_form(form)


def test_the_sentences_of_the_libraries_are_known():
    for sentence in (
        "Not a valid integer value.",
        "Not a valid date value.",
        "This field is required.",
        "Field must be at least 3 characters long.",
        "The CSRF token is missing.",
        "An email address must have an @-sign.",
        "The method is not allowed for the requested URL.",
    ):
        assert said_by_libraries(sentence), sentence
    assert not said_by_libraries("Use a whole number, such as 100.")


def test_no_field_of_any_form_answers_garbage_in_words_of_a_library(app):
    forms = list(every_form())
    assert len(forms) > 12
    wrong = set()
    for form in forms:
        for name in fields_of(app, form):
            for value in GARBAGE:
                for message in messages(app, form, name, value):
                    wrong |= {f"{form.__name__}.{name}: {message}" for _ in said_by_libraries(message)}
                    assert shows(message)

    assert wrong == set()


def fields_of(app, form: type[FlaskForm]) -> list[str]:
    with app.test_request_context():
        return [field.name for field in form() if field.name != "csrf_token"]


def messages(app, form: type[FlaskForm], name: str, value: str) -> list[str]:
    with app.test_request_context():
        filled = form(formdata=MultiDict({name: value}), meta={"csrf": False})
        filled.validate()
        return [str(message) for message in filled[name].errors]


@pytest.mark.parametrize(("value", "said"), [("☃", 1), ("9" * 5000, 1), ("", 1), ("-1", 1), ("1e3", 1)])
def test_a_number_that_cannot_be_read_gets_one_sentence(app, value, said):
    assert len(messages(app, admin_finance.PromotionalCodeForm, "credits", value)) == said


# On the pages


@pytest.fixture
def desk(app, store) -> tuple[Browser, list[str]]:
    """An operator, and the pages that have forms."""
    make_operators(store)
    make_account(store, credits=100)
    ada = store.accounts.get("ada@example.com")
    pending, working = (task_service.submit(store, ada, text, now=NOW).task for text in ("Pending", "Working on it"))
    queue.claim(store, OPERATOR, working.task_id, now=NOW)
    browser = Browser(app)
    browser.sign_in(OPERATOR)
    return browser, [
        *("/dashboard", "/credits", "/account", "/account/keys", "/account/second-factor", "/tasks/batch"),
        *("/admin", "/admin/finance/codes", f"/admin/customers/{ada.account_id}"),
        *(f"/admin/tasks/{task.task_id}" for task in (pending, working)),
    ]


def forms_of(page: BeautifulSoup) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Where each form leads, what it holds, and which of its fields are typed into."""
    for form in page.select("form[method=post]"):
        fields = form.select("input[name], textarea[name]")
        typed = [str(field["name"]) for field in fields if field.get("type") not in ("hidden", "file", "radio")]
        yield str(form["action"]), {str(f["name"]): str(f.get("value", "")) for f in fields}, typed


def test_no_page_answers_garbage_in_words_of_a_library(app, desk):
    operator, pages = desk
    wrong, sent = [], 0
    for browser, paths in ((Browser(app), ["/", "/login", "/signup", "/forgot"]), (operator, pages)):
        for path in paths:
            for action, held, typed in forms_of(browser.page(path)):
                for name in typed:
                    for value in GARBAGE:
                        if "\ud800" in value:
                            continue
                        answer = browser.client.post(action, data=held | {name: value})
                        sent += 1
                        text = html.unescape(answer.text)
                        wrong += [f"{action} {name}={value[:20]!r}: {found}" for found in said_by_libraries(text)]
                        assert answer.status_code < 500, (action, name, value[:20])

    assert sent > 300
    assert wrong == []


def test_what_is_wrong_stands_at_the_top_with_links_and_at_each_field(desk):
    browser, _ = desk
    held = {"request_id": "r", "code": "x", "credits": "ten", "max_uses": "", "expires_at": "tomorrow", "note": "Fair"}

    answer = browser.post("/admin/finance/codes", held)

    page = soup(answer)
    summary = page.select_one("form [role=alert]")
    links = [str(link["href"]) for link in summary.select("a")]
    assert answer.status_code == 422
    assert links == ["#code", "#credits", "#max_uses", "#expires_at"]
    for link in links:
        field = page.select_one(f"input{link}")
        message = page.select_one(f"{link}-error")
        assert field["aria-invalid"] == "true"
        assert message["id"] in field["aria-describedby"].split()
        assert message.text in summary.text
    assert "Use a whole number, such as 100." in summary.text
    assert "Use a date with year, month and day, such as 2026-12-31." in summary.text
    assert [page.select_one(f"#{name}")["value"] for name in ("code", "credits", "expires_at", "note")] == [
        *("x", "ten", "tomorrow", "Fair")
    ]


@pytest.mark.parametrize(
    ("path", "data", "fields"),
    [
        ("/signup", {"email": "nobody", "password": "short"}, ["email", "password"]),
        ("/forgot", {"email": "nobody"}, ["email"]),
        ("/account/settings", {"low_balance_threshold": "many", "theme": "dark"}, ["low_balance_threshold"]),
        ("/account/settings", {"low_balance_threshold": "5", "theme": "pink"}, ["theme"]),
        ("/account/password", {"current_password": "wrong", "new_password": "long enough words"}, ["current_password"]),
        ("/account/delete", {"password": "wrong"}, ["password"]),
        ("/credits/redeem", {"code": "☃", "request_id": "r"}, ["code"]),
        ("/tasks", {"description": " ", "request_id": "r"}, ["description"]),
        ("/tasks/batch", {"lines": " "}, ["lines"]),
        ("/tasks/batch", {"lines": ""}, ["lines"]),
        ("/admin/bulk", {"act": "complete", "task_id": "none", "result": ""}, ["result"]),
    ],
)
def test_the_summary_of_each_form_leads_to_its_fields(app, desk, path, data, fields):
    browser = Browser(app) if path in ("/signup", "/forgot") else desk[0]

    page = soup(browser.post(path, data))

    assert [area.text.strip() for area in page.select("#lines, #result, #description")] in ([], [""]), "as it was sent"
    links = [str(link["href"]) for link in page.select("[role=alert] a[href^='#']")]
    assert links == [f"#{field}" for field in fields]
    for field in fields:
        found = page.select_one(f"main #{field}")
        assert found["aria-invalid"] == "true"
        assert f"{field}-error" in found["aria-describedby"].split()
        assert page.select_one(f"#{field}-error").text.strip()


@pytest.mark.parametrize(
    ("path", "wrong"),
    [("totp", "totp-password"), ("totp/remove", "totp-password"), ("recovery-codes", "recovery-password")],
)
def test_a_wrong_password_is_told_at_the_form_that_asked_for_it(browser, store, path, wrong):
    make_account(store)
    browser.sign_in()
    if path != "totp":
        ada = store.accounts.get("ada@example.com")
        sessions = {key: replace(session, mfa_at=utcnow()) for key, session in ada.sessions.items()}
        store.updates.accounts.change(ada, totp="sealed", recovery_codes=frozenset("abcd"), sessions=sessions)

    page = soup(browser.post(f"/account/second-factor/{path}", {"password": "wrong"}))

    assert [link["href"] for link in page.select("[role=alert] a")] == [f"#{wrong}"]
    (marked,) = page.select("main [aria-invalid=true]")
    assert (marked["id"], marked["aria-describedby"]) == (wrong, f"{wrong}-error")
    assert page.select_one(f"#{wrong}-error").text
    assert all(fold.has_attr("open") for fold in marked.find_parents("details"))


def test_a_file_that_is_no_list_is_told_at_the_file(desk):
    browser, _ = desk

    page = soup(browser.post("/tasks/batch", {"table": (BytesIO(b"%PDF-1.7"), "tasks.csv")}))

    assert [link["href"] for link in page.select("[role=alert] a")] == ["#table"]
    assert page.select_one("#table")["aria-invalid"] == "true"
    assert not page.select_one("#lines").get("aria-invalid")


def test_a_refusal_on_a_page_of_its_own_is_told_at_the_field_that_it_is_about(desk):
    browser, _ = desk

    browser.post(
        "/admin/finance/codes", {"code": "WELCOME", "credits": "1", "max_uses": "1", "expires_at": "2999-01-01"}
    )
    answer = browser.post("/admin/finance/codes/WELCOME/disable", {"reason": "x" * 501})

    field = soup(answer).select_one("main [name=reason]")
    assert answer.status_code == 422
    assert (field.text.strip(), field["aria-invalid"], field["aria-describedby"]) == ("x" * 501, "true", "refusal")
    assert soup(answer).select_one("#refusal").text.startswith("At most 500 characters")


@pytest.mark.usefixtures("in_one_window")
def test_too_many_sign_ins_keep_the_address_and_offer_the_reset(browser, store):
    make_account(store)
    for _ in range(10):
        browser.sign_in(password="wrong")

    answer = browser.sign_in(password="wrong", next="/credits")

    page = soup(answer)
    form = page.select_one("form.card")
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert form.select_one("#email")["value"] == "ada@example.com"
    assert form.select_one("[name=next]")["value"] == "/credits"
    assert not form.select_one("#password").get("value")
    assert re.search(r"sign in again in \d+ (minutes|seconds)", page.select_one("[role=alert]").text)
    reset = form.select_one("button[formaction]")
    assert (reset["formaction"], reset.has_attr("formnovalidate")) == ("/forgot", True)
    sent = browser.client.post(
        str(reset["formaction"]), data={str(f["name"]): str(f.get("value", "")) for f in form.select("input")}
    )
    assert sent.status_code == 200
    assert "Look in your mailbox" in sent.text


@pytest.mark.usefixtures("in_one_window")
def test_too_many_sign_ins_lose_no_text_that_came_along(browser, store):
    make_account(store)
    for _ in range(10):
        browser.sign_in(password="wrong")
    carried = '["/tasks", [["description", "Precious words"]]]'

    page = soup(browser.sign_in(password="wrong", carried=carried))

    assert "Precious words" in page.select_one("[name=carried]").text
    assert not page.select("button[formaction]"), "the text would not go along"
    assert page.select_one("form a[target=_blank]")["href"] == "/forgot"
