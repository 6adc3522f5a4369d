"""A program with an API key: what it may ask, and what it is told where it may not."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.accounts import BROWSER, Session
from app.domain.api_keys import ANY, BEGINNING, QUEUE_WORK, SCOPES, SESSION, TASKS_READ, TASKS_WRITE, checksum, wishes
from app.domain.clock import utcnow
from app.services import api_keys, operators
from tests.support import make_account, make_operators

ADA, OP = "ada@example.com", "op@example.com"


def key_of(store, email=ADA, scopes=(TASKS_READ, TASKS_WRITE), name="Nightly", monthly=None, days=None, now=None):
    """The secret of a new key."""
    account, now = store.accounts.get(email), now or utcnow()
    proven = Session("a" * 32, BROWSER, now, now, mfa_at=now)
    wanted = wishes(name, scopes, monthly, days, operator=account.is_operator)
    return api_keys.make(store, account, wanted, proven, require_2fa=True, now=now)[1]


@pytest.fixture
def asked(app):
    """Ask with a key: `asked("GET", "/api/user", secret)`."""
    client = app.test_client(use_cookies=False)

    def ask(method, path, secret, **more):
        return client.open(path, method=method, headers={"Authorization": f"Bearer {secret}"}, **more)

    return ask


@pytest.mark.threat(134)
def test_each_call_asks_for_its_scope_and_a_key_has_no_other(app, store, asked):
    make_operators(store, OP)
    keys = {scope: key_of(store, OP, [scope], scope) for scope in SCOPES}
    wrong = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if "token" not in getattr(view, "access", ""):
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule.replace("<address:email>", "a@example.com"))
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            for scope, secret in keys.items():
                answer = asked(method, path, secret)
                missing = answer.status_code == 403 and answer.get_json()["code"] == "missing_scope"
                may = view.scope in (ANY, scope) and view.scope != SESSION
                if missing == may or (missing and answer.get_json()["scope"] != view.scope):
                    wrong.append((method, path, scope, answer.status_code, answer.text))

    assert not wrong


def test_a_key_submits_and_says_so_wherever_the_task_is_shown(store, asked):
    make_account(store, ADA, credits=100)
    secret = key_of(store, scopes=SCOPES[:3])
    key_id = api_keys.key_id_of(secret)

    submitted = asked("POST", "/api/tasks", secret, json={"description": "By night"})

    assert submitted.status_code == 201
    task_id = submitted.get_json()["task_id"]
    assert asked("GET", f"/api/tasks/{task_id}", secret).get_json()["key_id"] == key_id
    rows = asked("GET", "/api/transactions", secret).get_json()["transactions"]
    assert [(row["type"], row["key_id"]) for row in rows] == [("spend", key_id), ("promo", None)]
    assert store.api_keys.find(key_id).used_at is not None


def test_a_key_over_its_month_is_told_when_it_may_again(store, asked):
    make_account(store, ADA, credits=100)
    secret = key_of(store, monthly=15)

    assert asked("POST", "/api/tasks", secret, json={"description": "One"}).status_code == 201
    refused = asked("POST", "/api/tasks", secret, json={"description": "Two"})

    body = refused.get_json()
    assert (refused.status_code, body["code"], body["limit"], body["used"]) == (402, "key_limit_reached", 15, 10)
    assert re.fullmatch(r"\d{4}-\d\d-01T00:00:00\.000000Z", body["resets_at"])


@pytest.mark.threat(133)
def test_a_wrong_key_is_told_apart_from_an_ended_one_to_its_holder_alone(store, asked):
    make_account(store, ADA)
    now = utcnow()
    secret = key_of(store, now=now - timedelta(days=2), days=1)
    other = BEGINNING + "0" * 32
    guessed = other + checksum(other)

    answers = {
        "cut": asked("GET", "/api/user", secret[:-1]),
        "mistyped": asked("GET", "/api/user", secret[:-7] + ("b" if secret[-7] == "a" else "a") + secret[-6:]),
        "guessed": asked("GET", "/api/user", guessed),
        "ran out": asked("GET", "/api/user", secret),
    }

    assert {answer.status_code for answer in answers.values()} == {401}
    assert [answer.get_json()["code"] for answer in answers.values()] == ["unauthorized"] * 3 + ["key_refused"]
    assert "ran out on" in answers["ran out"].get_json()["error"]
    assert "revoked" not in answers["guessed"].text


@pytest.mark.threat(134)
def test_an_operator_s_key_works_the_queue_without_a_second_factor_until_the_role_ends(config, store, stripe, sender):
    from app import create_app

    strict = create_app(replace(config, require_operator_2fa=True), store=store, sender=sender, stripe=stripe)
    client = strict.test_client(use_cookies=False)
    make_operators(store, OP)
    secret = key_of(store, OP, [QUEUE_WORK])
    header = {"Authorization": f"Bearer {secret}"}

    assert client.post("/api/admin/tasks/claim", headers=header).get_json() == {"task": None}
    operators.revoke(store, OP, actor="me", now=utcnow())
    assert client.post("/api/admin/tasks/claim", headers=header).status_code == 401


@pytest.mark.threat(133)
def test_a_key_opens_no_page_and_stands_in_no_log(store, asked, caplog):
    make_account(store, ADA, credits=100)
    with caplog.at_level("DEBUG"):
        secret = key_of(store)
        asked("POST", "/api/tasks", secret, json={"description": "By night"})
        asked("POST", "/api/tasks", secret, json=[])
        page = asked("GET", "/dashboard", secret)

    said = [str(vars(record)) for record in caplog.records]
    assert page.status_code == 303
    assert any(api_keys.key_id_of(secret) in line for line in said)
    assert not any(secret[13:] in line for line in said)
