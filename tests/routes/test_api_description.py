"""The OpenAPI document: served to anybody, and about the very calls that the app has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.routing import Rule

from app.routes import api
from app.web import manual, openapi
from app.web.asked import Keyed
from app.web.call import told
from app.web.openapi import document
from tests.described import described_calls, hold
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


def test_anybody_reads_the_document_and_may_keep_it_for_an_hour(app, client, config):
    answer = client.get("/api/openapi.json")

    assert answer.status_code == 200
    assert answer.get_json() == json.loads(json.dumps(document(app, config.app_url)))
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert "Set-Cookie" not in answer.headers


def test_a_view_under_api_without_a_definition_is_a_mistake_of_ours():
    app = described_calls()
    app.add_url_rule("/api/more", view_func=lambda: "", endpoint="more")

    with pytest.raises(TypeError, match="/api/more"):
        document(app, "")


def test_every_call_has_a_name_of_its_own_and_every_tag_is_told():
    described = document(described_calls(), "")
    calls = [call for path in described["paths"].values() for call in path.values()]

    names = [call["operationId"] for call in calls]
    assert len(names) == len(set(names))
    assert {tag for call in calls for tag in call["tags"]} <= {tag["name"] for tag in described["tags"]}


def test_every_call_that_takes_an_idempotency_key_says_when_it_tells_again(app):
    keyed = {call.name for *_, call in openapi.calls_of(app) if call.headers and issubclass(call.headers, Keyed)}

    assert len(keyed) > 5
    assert keyed <= {call.name for *_, call in openapi.calls_of(app) if call.replays}


def test_a_list_of_texts_that_is_sent_says_what_each_may_be():
    schemas = document(described_calls(), "")["components"]["schemas"]
    texts = [
        (name, field, kind["items"])
        for name, schema in schemas.items()
        for field, sent in schema.get("properties", {}).items()
        for kind in (sent, *sent.get("anyOf", ()))
        if schema.get("additionalProperties") is False and kind.get("items", {}).get("type") == "string"
    ]

    assert {field for _, field, _ in texts} >= {"task_ids", "tags", "scopes", "types", "files"}
    assert [(name, field) for name, field, kind in texts if not {"pattern", "x-extensible-enum"} & kind.keys()] == []


def test_items_that_would_be_lost_are_a_mistake_of_ours():
    with pytest.raises(TypeError, match="at their type"):
        told(items={"enum": ["one"]})


def test_who_may_ask_is_what_the_view_says(app):
    described = document(described_calls(), "")["paths"]

    for rule, path in rules_of(app):
        call = described[path][(rule.methods & METHODS).pop().lower()]
        access = app.view_functions[rule.endpoint].access
        assert bool(call["security"]) == (access != "public"), path
        assert ("operators" in call["tags"]) == (access == "operator_token"), path


@pytest.mark.parametrize("page", ["api.md", "operators.md"])
def test_every_call_that_the_manual_names_is_described(page):
    named = re.findall(r"`(GET|POST) (/api/[^ `?·]+)", (DOCS / page).read_text())
    known = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in calls_of(document(described_calls(), ""))}

    assert named
    assert {(method, re.sub(r"<[^>]+>", "{}", path)) for method, path in named} <= known


def test_every_code_is_on_the_page_for_programs_or_in_the_manual():
    """The page names those that a program of a customer or operator may get: tests/routes/test_docs_page.py."""
    written = (DOCS / "api.md").read_text()
    on_page = {code for _, _, words in manual.refusals(described_calls()) for code, _ in words}
    codes = re.findall(r'"x-codes": \[([^]]+)]', json.dumps(document(described_calls(), "")))

    assert codes
    for code in {word for words in codes for word in re.findall(r"\w+", words)} - on_page:
        assert f"`{code}`" in written


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
        ("POST", "/api/auth/logout", 200, '{"signed_out": "yes"}', "signed_out: .*boolean"),
        ("POST", "/api/auth/logout", 200, "{}", "required"),
        ("POST", "/api/auth/logout", 201, '{"signed_out": true}', "not described"),
        ("GET", "/api/packs", 200, '{"packs": [{"pack_id": 5}]}', "packs.0"),
        ("GET", "/api/tasks/task_1", 404, '{"error": "No.", "code": "forbidden"}', "code"),
        ("GET", "/api/tasks/task_1", 404, '{"error": "No.", "code": "not_found", "task": 1}', "'task' was unexpected"),
        ("GET", "/api/user", 500, '{"error": "No.", "code": "internal"}', "internal"),
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
