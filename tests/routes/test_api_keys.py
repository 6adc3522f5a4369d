"""A program with an API key: what it may ask, and what it is told where it may not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.api_keys import ANY, BEGINNING, QUEUE_WORK, SCOPES, SESSION, checksum, hash_of
from app.domain.clock import utcnow
from app.services import api_keys, operators
from tests.routes.browser import Program, soup
from tests.support import PASSWORD, all_mails, make_account, make_key, make_operators

ADA, OP = "ada@example.com", "op@example.com"


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
    keys = {scope: make_key(store, OP, [scope], name=scope) for scope in SCOPES}
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
    secret = make_key(store, scopes=SCOPES[:3])
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
    secret = make_key(store, monthly=15)

    assert asked("POST", "/api/tasks", secret, json={"description": "One"}).status_code == 201
    refused = asked("POST", "/api/tasks", secret, json={"description": "Two"})

    body = refused.get_json()
    assert (refused.status_code, body["code"], body["limit"], body["used"]) == (402, "key_limit_reached", 15, 10)
    assert re.fullmatch(r"\d{4}-\d\d-01T00:00:00\.000000Z", body["resets_at"])


@pytest.mark.threat(133)
def test_a_wrong_key_is_told_apart_from_an_ended_one_to_its_holder_alone(store, asked):
    make_account(store, ADA)
    now = utcnow()
    secret = make_key(store, now=now - timedelta(days=2), days=1)
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
    secret = make_key(store, OP, [QUEUE_WORK])
    header = {"Authorization": f"Bearer {secret}"}

    assert client.post("/api/admin/tasks/claim", headers=header).get_json() == {"task": None}
    operators.revoke(store, OP, actor="me", now=utcnow())
    assert client.post("/api/admin/tasks/claim", headers=header).status_code == 401


@pytest.mark.threat(133)
def test_a_key_opens_no_page_and_stands_in_no_log(store, asked, caplog):
    make_account(store, ADA, credits=100)
    with caplog.at_level("DEBUG"):
        secret = make_key(store)
        asked("POST", "/api/tasks", secret, json={"description": "By night"})
        asked("POST", "/api/tasks", secret, json=[])
        page = asked("GET", "/dashboard", secret)

    said = [str(vars(record)) for record in caplog.records]
    assert page.status_code == 303
    assert any(api_keys.key_id_of(secret) in line for line in said)
    assert not any(secret[13:] in line for line in said)


# The page


@pytest.fixture
def ada(browser, store):
    make_account(store, ADA, credits=100)
    browser.enter(ADA)
    return browser


NEW = {"name": "Nightly", "may": ["tasks:read", "tasks:write"], "days": "0", "password": PASSWORD}


def test_an_owner_makes_a_key_sees_it_once_and_revokes_it(ada, store, asked):
    answer = ada.post("/account/keys", NEW | {"credits_a_month": "500", "days": "30"})
    secret = soup(answer).select_one("#api-key").get_text()

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert asked("GET", "/api/user", secret).status_code == 200
    page = ada.page("/account/keys")
    row = page.select_one("#keys li")
    assert "Nightly" in row.get_text()
    assert "0 credits this month of 500" in row.get_text()
    assert secret[:13] in row.get_text()
    assert secret[13:] not in str(page)

    ada.post(row.select_one("form")["action"], {})

    assert asked("GET", "/api/user", secret).get_json()["code"] == "key_refused"
    assert "Nightly" in ada.page("/account/keys").select_one("#ended li").get_text()


@pytest.mark.parametrize(
    ("wrong", "place", "said"),
    [
        ({"name": " "}, "name", "Give the key a name"),
        ({"name": BEGINNING + "x"}, "name", "That is a key"),
        ({"may": []}, "scopes", "Choose at least one"),
        ({"may": ["queue:work"]}, "scopes", "Only an operator"),
        ({"may": ["everything"]}, "scopes", "Choose at least one"),
        ({"credits_a_month": "0"}, "credits_a_month", "from 1 to"),
        ({"credits_a_month": "many"}, "credits_a_month", "whole number"),
        ({"days": "soon"}, "days", "whole number"),
        ({"password": "wrong"}, "key-password", "not your current password"),
    ],
)
def test_what_is_wrong_with_a_new_key_stands_at_its_field(ada, store, wrong, place, said):
    answer = ada.post("/account/keys", NEW | wrong)

    assert answer.status_code == 422
    assert said in soup(answer).select_one(f"#{place}-error").get_text()
    assert store.accounts.get(ADA).api_keys == frozenset()


def test_the_same_form_again_makes_no_second_key(ada, store):
    ada.post("/account/keys", NEW)
    again = ada.post("/account/keys", NEW)

    assert again.status_code == 422
    assert "of this name already" in again.text
    assert len(store.accounts.get(ADA).api_keys) == 1


def test_nobody_makes_a_key_before_the_address_is_confirmed(browser, store):
    make_account(store, ADA, confirmed_at=None)
    browser.sign_in(ADA)

    assert browser.page("/account/keys").select_one("form[action='/account/keys']") is None
    assert browser.post("/account/keys", NEW).status_code == 422
    assert store.accounts.get(ADA).api_keys == frozenset()


@pytest.mark.threat(131)
@pytest.mark.parametrize("ticked", [True, False])
def test_a_key_ends_with_a_new_password_or_a_sign_out_only_if_its_owner_ticks_so(ada, store, asked, ticked):
    first, second = make_key(store, name="One"), make_key(store, name="Two")
    tick = {"keys_too": "y"} if ticked else {}

    ada.post("/account/password", {"current_password": PASSWORD, "new_password": "long enough words"} | tick)
    after_password = asked("GET", "/api/user", first).status_code
    third = second if not ticked else make_key(store, name="Three")
    ada.post("/account/sign-out-everywhere", tick)

    assert after_password == (401 if ticked else 200)
    assert asked("GET", "/api/user", third).status_code == (401 if ticked else 200)


def test_one_s_own_data_has_the_keys_without_what_proves_them(ada, store):
    secret = make_key(store, monthly=500)

    found = ada.get("/account/export.json")

    (key,) = found.get_json(force=True)["api_keys"]
    assert (key["name"], key["scopes"], key["credits_a_month"]) == ("Nightly", ["tasks:read", "tasks:write"], 500)
    assert secret[13:] not in found.text
    assert hash_of(secret) not in found.text


def test_an_operator_sees_a_customer_s_keys_and_revokes_one_with_a_reason(browser, store, asked):
    ada, _ = make_account(store, ADA), make_operators(store, OP)
    secret = make_key(store)
    browser.sign_in(OP)
    page = browser.page(f"/admin/customers/{ada.account_id}")
    form = page.select_one("#api-keys form")

    refused = browser.post(form["action"], {"reason": " "})
    done = browser.post(form["action"], {"reason": "Seen in a public file"})

    assert secret[13:] not in str(page)
    assert (refused.status_code, done.status_code) == (422, 303)
    assert soup(refused).select_one("#api-keys details[open] input[aria-invalid]")
    assert asked("GET", "/api/user", secret).get_json()["code"] == "key_refused"
    told = [mail.context["what"] for mail in all_mails(store) if mail.kind == "security"]
    assert any("revoked by an operator: Seen in a public file" in what for what in told)
    assert "revoked an API key" in browser.page(f"/admin/customers/{ada.account_id}").get_text()


# The command line


def test_commands_list_the_keys_of_an_account_and_end_one_that_somebody_has_found(app, store, asked):
    make_account(store, ADA)
    secret, other = make_key(store, monthly=500), make_key(store, name="Other")
    run = app.test_cli_runner().invoke

    ended = run(args=["keys", "revoke", secret, "--reason", "Found in a public file"])
    again = run(args=["keys", "revoke", api_keys.key_id_of(secret), "--reason", "Found in a public file"])
    unknown = run(args=["keys", "revoke", "key_unknown", "--reason", "Found in a public file"])
    table, rows = run(args=["keys", "list", ADA]), json.loads(run(args=["keys", "list", ADA, "--json"]).output)

    assert (ended.exit_code, again.exit_code, unknown.exit_code) == (0, 1, 1)
    assert "has ended already" in again.output
    assert asked("GET", "/api/user", secret).status_code == 401
    assert asked("GET", "/api/user", other).status_code == 200
    assert {row["name"]: row["alive"] for row in rows} == {"Nightly": False, "Other": True}
    assert "Nightly" in table.output
    assert secret[13:] not in ended.output + table.output + str(rows)


# Over JSON


@pytest.fixture
def program(app, store):
    make_account(store, ADA, credits=100)
    return Program(app)


WANTED = {"name": "Nightly", "scopes": ["tasks:read", "tasks:write"], "password": PASSWORD}


def test_a_program_makes_lists_and_revokes_keys_by_its_session(program, asked):
    made = program.post("/api/keys", json=WANTED | {"credits_a_month": 500, "days": 30})
    secret, key_id = made.get_json()["key"], made.get_json()["key_id"]
    asked("POST", "/api/tasks", secret, json={"description": "By night"})

    listed = program.get("/api/keys")
    one = program.get(f"/api/keys/{key_id}").get_json()
    header = {"Authorization": f"Bearer {program.token}"}
    ended = [program.client.delete(f"/api/keys/{key_id}", headers=header) for _ in range(2)]

    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert listed.get_json() == {"keys": [one]}
    assert (one["alive"], one["credits_a_month"], list(one["spent"].values())) == (True, 500, [10])
    assert secret[13:] not in listed.text
    assert [(answer.status_code, answer.get_json()["alive"]) for answer in ended] == [(200, False)] * 2
    assert asked("GET", "/api/user", secret).get_json()["code"] == "key_refused"


@pytest.mark.threat(134)
def test_no_key_makes_or_ends_another(program, store, asked):
    secret = make_key(store, scopes=SCOPES[:3])
    key_id = api_keys.key_id_of(secret)

    answers = [
        asked("POST", "/api/keys", secret, json=WANTED | {"name": "Another"}),
        asked("DELETE", f"/api/keys/{key_id}", secret),
        asked("GET", "/api/keys", secret),
    ]

    assert [(answer.status_code, answer.get_json()["scope"]) for answer in answers] == [(403, "session")] * 3
    assert store.accounts.get(ADA).api_keys == {key_id}


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"password": "wrong"}, 401, "bad_credentials"),
        ({"name": ""}, 422, "invalid"),
        ({"scopes": []}, 422, "invalid"),
        ({"scopes": ["queue:work"]}, 422, "invalid"),
        ({"scopes": "tasks:read"}, 422, "invalid"),
        ({"credits_a_month": 0}, 422, "invalid"),
        ({"credits_a_month": 1.5}, 422, "invalid"),
        ({"days": -1}, 422, "invalid"),
        ({"everything": True}, 422, "invalid"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_over_json(program, store, wrong, status, code):
    answer = program.post("/api/keys", json=WANTED | wrong)

    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert store.accounts.get(ADA).api_keys == frozenset()


def test_an_account_that_nobody_has_confirmed_makes_none_over_json(app, store):
    make_account(store, ADA, confirmed_at=None)

    answer = Program(app).post("/api/keys", json=WANTED)

    assert (answer.status_code, answer.get_json()["code"]) == (403, "email_not_confirmed")


def test_a_key_costs_a_request_one_read_and_a_submit_no_further_call(store, asked, calls):
    make_account(store, ADA, credits=100)
    secret = make_key(store)
    asked("GET", "/api/user", secret)  # its last use is noted now, and not again within the hour

    with calls(consistent=True) as made:
        asked("GET", "/api/user", secret)
        asked("POST", "/api/tasks", secret, json={"description": "By night"})

    assert made == [*[("GetItem", True)] * 4, ("TransactWriteItems", False)]
