"""The OpenAPI document: served to anybody, and about the very calls that the app has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.routing import Rule

from app.forms.api import Sent
from app.routes import api
from app.routes.api_description import document
from app.web import bodies
from tests.described import hold
from tests.routes.browser import Program
from tests.support import make_account

DOCS = Path(__file__).resolve().parents[2] / "docs"
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def calls_of(described: dict) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, calls in described["paths"].items() for method in calls}


def rules_of(app) -> Iterator[tuple[Rule, str]]:
    """The routes under /api, each with its path as the document writes it."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            yield rule, re.sub(r"<(\w+:)?(\w+)>", r"{\2}", rule.rule)


def test_anybody_reads_the_document_and_may_keep_it_for_an_hour(client, config):
    answer = client.get("/api/openapi.json")

    assert answer.status_code == 200
    assert answer.get_json() == document(config.app_url)
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert "Set-Cookie" not in answer.headers


def test_every_call_of_the_app_is_described_and_nothing_else(app):
    found = {(method, path) for rule, path in rules_of(app) for method in rule.methods & METHODS}

    assert calls_of(document("")) == found


def test_who_may_ask_is_what_the_view_says(app):
    described = document("")["paths"]

    for rule, path in rules_of(app):
        call = described[path][(rule.methods & METHODS).pop().lower()]
        access = app.view_functions[rule.endpoint].access
        assert bool(call["security"]) == (access != "public"), path
        assert ("operators" in call["tags"]) == (access == "operator_token"), path


@pytest.mark.parametrize("page", ["api.md", "operators.md"])
def test_every_call_that_the_manual_names_is_described(page):
    named = re.findall(r"`(GET|POST) (/api/[^ `?·]+)", (DOCS / page).read_text())
    known = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in calls_of(document(""))}

    assert named
    assert {(method, re.sub(r"<[^>]+>", "{}", path)) for method, path in named} <= known


def test_the_manual_names_every_call_of_customers():
    manual = (DOCS / "api.md").read_text()
    described = document("")["paths"]

    for method, path in calls_of(document("")):
        if "operators" not in described[path][method.lower()]["tags"]:
            written = path.replace("{", "<").replace("}", ">")
            assert re.search(rf"`{method} {re.escape(written)}[`?]", manual), written


def test_the_manual_names_every_code():
    manual = (DOCS / "api.md").read_text()
    codes = re.findall(r'"code": {"enum": \[([^]]+)]', json.dumps(document("")))

    assert codes
    for code in {word for words in codes for word in re.findall(r"\w+", words)}:
        assert f"`{code}`" in manual


# How every other test holds answers to the document: tests/described.py


def held(method, path, status, answer, **headers):
    named = {"Content-Type": "application/json", "X-Request-Id": "1", **headers}
    hold(method, path, status, named if status >= 400 else named | {"ETag": 'W/"0"'}, answer.encode())


REFUSED = '{"error": "No.", "code": "not_found"}'


def test_an_answer_that_is_described_passes():
    held("POST", "/api/auth/logout", 200, '{"signed_out": true}')
    held("HEAD", "/api/user", 200, "")
    held("GET", "/api/tasks/task_1", 404, REFUSED)
    held("GET", "/api/nothing", 404, REFUSED)
    held("GET", "/api/admin/users/a/b@example.com", 404, REFUSED)


@pytest.mark.parametrize(
    ("method", "path", "status", "answer", "why"),
    [
        ("POST", "/api/auth/logout", 200, '{"signed_out": true, "by": "you"}', "'by' was unexpected"),
        ("POST", "/api/auth/logout", 200, '{"signed_out": "yes"}', "signed_out: true was expected"),
        ("POST", "/api/auth/logout", 200, "{}", "required"),
        ("POST", "/api/auth/logout", 201, '{"signed_out": true}', "not described"),
        ("GET", "/api/packs", 200, '{"packs": [{"pack_id": 5}]}', "packs.0"),
        ("GET", "/api/tasks/task_1", 404, '{"error": "No.", "code": "forbidden"}', "code"),
        ("GET", "/api/tasks/task_1", 404, '{"error": "No.", "code": "not_found", "task": 1}', "'task' was unexpected"),
        ("GET", "/api/user", 500, '{"error": "No.", "code": "internal"}', "not described"),
        ("GET", "/api/user", 503, '{"error": "No.", "code": "busy"}', "Retry-After"),
        ("GET", "/api/nothing", 200, "{}", "no such call"),
        ("GET", "/api/nothing", 404, '{"error": "No.", "code": "not_found", "path": "/"}', "'path' was unexpected"),
    ],
)
def test_an_answer_that_is_not_described_fails(method, path, status, answer, why):
    with pytest.raises(AssertionError, match=why):
        held(method, path, status, answer)


def test_the_clients_of_the_tests_hold_each_answer(app, store, monkeypatch):
    make_account(store, credits=100)
    program = Program(app)
    monkeypatch.setattr(api, "TASK_AND_BALANCE", lambda task, credits_remaining: {"stowaway": True})

    with pytest.raises(AssertionError, match="'stowaway' was unexpected"):
        program.submit({"description": "A task"})


def test_a_view_reads_what_its_call_describes_and_nothing_else():
    body = Sent({"description": "A task", "stowaway": 1}, bodies.SUBMIT)

    assert body.get("description") == "A task"
    with pytest.raises(TypeError, match="stowaway is not described"):
        body.get("stowaway")
    with pytest.raises(TypeError, match="stowaway is not described"):
        assert "stowaway" not in body


def test_a_view_that_reads_its_body_by_another_description_fails(app, store, monkeypatch):
    make_account(store, credits=100)
    program = Program(app)
    monkeypatch.setattr(bodies, "SUBMIT", bodies.REDO | {"properties": bodies.SUBMIT["properties"]})

    with pytest.raises(AssertionError, match="500 is not described"):
        program.submit({"description": "A task"})
