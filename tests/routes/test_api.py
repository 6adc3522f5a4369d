"""The JSON API: its shapes, its refusals, and whose data it shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from app.domain.clock import utcnow
from app.services import links, queue
from tests.routes.browser import Browser, Program
from tests.support import PASSWORD, all_mails, every_task, ledger, make_account, post_webhook, session_event

SECRET = "newest-signing-key-of-the-test-suite"


@pytest.fixture
def ada(app, store) -> Program:
    make_account(store, credits=100)
    return Program(app)


@pytest.fixture
def bob(app, store) -> Program:
    make_account(store, "bob@example.com", credits=100)
    return Program(app, "bob@example.com")


# The seven calls and their shapes


def test_signup_answers_with_a_token_that_works(client, store):
    answer = client.post("/api/auth/signup", json={"email": " New@Example.com", "password": PASSWORD})

    body = answer.get_json()
    assert answer.status_code == 201
    assert set(body) == {"token", "email", "credits"}
    assert (body["email"], body["credits"]) == ("new@example.com", 0)
    user = client.get("/api/user", headers={"Authorization": f"Bearer {body['token']}"})
    assert user.status_code == 200
    assert [mail.kind for mail in all_mails(store)] == ["confirm"]


def test_login_answers_with_a_token_and_the_balance(client, store):
    make_account(store, credits=30)

    answer = client.post("/api/auth/login", json={"email": "ADA@example.com", "password": PASSWORD})

    assert answer.status_code == 200
    assert set(answer.get_json()) == {"token", "email", "credits"}
    assert answer.get_json()["credits"] == 30
    assert "Set-Cookie" not in answer.headers


def test_an_account_tells_e_mail_credits_and_since_when(ada):
    body = ada.get("/api/user").get_json()

    assert {"email", "credits", "created_at"} <= set(body)
    assert (body["email"], body["credits"]) == ("ada@example.com", 100)
    assert datetime.fromisoformat(body["created_at"]).tzinfo


def test_submit_answers_with_the_task_and_what_remains(ada, store):
    answer = ada.submit({"description": "Summarise the report"})

    body = answer.get_json()
    assert answer.status_code == 201
    assert {"task_id", "status", "description", "credits_spent", "credits_remaining", "created_at"} <= set(body)
    assert (body["status"], body["description"]) == ("pending", "Summarise the report")
    assert (body["credits_spent"], body["credits_remaining"]) == (10, 90)
    assert store.accounts.get("ada@example.com").credits_balance == 90
    assert [task["task_id"] for task in every_task(store)] == [body["task_id"]]


def test_tasks_are_listed_newest_first(ada):
    made = [ada.submit({"description": f"Task {n}"}).get_json()["task_id"] for n in range(3)]

    body = ada.get("/api/tasks").get_json()

    assert set(body) == {"tasks", "next_cursor"}
    assert [task["task_id"] for task in body["tasks"]] == made[::-1]
    assert body["next_cursor"] is None
    assert {"task_id", "status", "description", "credits_spent", "created_at"} <= set(body["tasks"][0])


def test_transactions_are_listed_newest_first_with_signed_amounts(ada):
    ada.submit({"description": "Summarise"})

    body = ada.get("/api/transactions").get_json()

    assert set(body) == {"transactions", "next_cursor"}
    assert [(row["type"], row["amount"], row["balance_after"]) for row in body["transactions"]] == [
        ("spend", -10, 90),
        ("promo", 100, 100),
    ]
    assert {"transaction_id", "timestamp", "description"} <= set(body["transactions"][0])


def test_paging_shows_each_row_once(ada):
    made = [ada.submit({"description": f"Task {n}"}).get_json()["task_id"] for n in range(5)]

    seen, cursor = [], ""
    while cursor is not None:
        body = ada.get("/api/tasks", limit=2, cursor=cursor).get_json()
        seen += [task["task_id"] for task in body["tasks"]]
        cursor = body["next_cursor"]

    assert seen == made[::-1]


def test_filters_narrow_the_list(ada):
    ada.submit({"description": "Translate the letter"})
    ada.submit({"description": "Summarise the REPORT"})

    found = ada.get("/api/tasks", q="report").get_json()["tasks"]
    pending = ada.get("/api/tasks", status="pending").get_json()["tasks"]
    completed = ada.get("/api/tasks", status="completed").get_json()["tasks"]

    assert [task["description"] for task in found] == ["Summarise the REPORT"]
    assert (len(pending), len(completed)) == (2, 0)


def test_purchases_alone_are_listed_when_asked_for(client, ada):
    post_webhook(client, session_event(session="cs_1"))
    ada.submit({"description": "Summarise"})

    rows = ada.get("/api/transactions", type="purchase").get_json()["transactions"]

    assert [(row["amount"], row["stripe_payment_intent"]) for row in rows] == [(1000, "pi_cs_1")]


# Repeats: rows 5 to 9 of the threat model


@pytest.mark.threat(5)
def test_one_charge_when_a_key_is_repeated(ada, store):
    first = ada.submit({"description": "Once"}, **{"Idempotency-Key": "k-1"})
    ada.submit({"description": "Another"})

    again = ada.submit({"description": "Once"}, **{"Idempotency-Key": "k-1"})

    assert again.status_code in (200, 201)
    assert again.get_json() == first.get_json()
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    cancelled = [ada.post(f"/api/tasks/{first.get_json()['task_id']}/cancel") for _ in range(2)]
    assert ["Idempotent-Replayed" in answer.headers for answer in cancelled] == [False, True]
    assert store.accounts.get("ada@example.com").credits_balance == 90


def test_a_batch_is_charged_once_however_often_it_comes(ada, store):
    body = {"tasks": [{"description": f"Page {number}"} for number in range(3)]}

    def send(body):
        return ada.post("/api/tasks/batch", json=body, headers={"Idempotency-Key": "b-1"})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: send(body), range(4)))
    again, other = send(body), send({"tasks": body["tasks"][:2]})

    assert {answer.status_code for answer in answers} == {201}
    assert [answer.get_json() for answer in answers] == [again.get_json()] * 4
    assert ["Idempotent-Replayed" in answer.headers for answer in answers].count(False) == 1
    told = again.get_json()
    assert [task["description"] for task in told["tasks"]] == ["Page 0", "Page 1", "Page 2"]
    assert (told["credits_spent"], told["credits_remaining"]) == (30, 70)
    assert (other.status_code, other.get_json()["code"]) == (409, "idempotency_key_reused")
    assert store.accounts.get("ada@example.com").credits_balance == 70


@pytest.mark.parametrize("texts", [[], ["Good", " "], ["Page"] * 31, None])
def test_a_batch_that_cannot_be_is_charged_nothing(ada, store, texts):
    body = {"tasks": [{"description": text} for text in texts]} if texts is not None else {}

    answer = ada.post("/api/tasks/batch", json=body)

    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid")
    assert store.accounts.get("ada@example.com").credits_balance == 100


def test_several_tasks_are_cancelled_and_what_is_not_says_why(ada, bob, store):
    mine = [ada.submit({"description": f"Page {number}"}).get_json()["task_id"] for number in range(3)]
    foreign = bob.submit({"description": "Bob's"}).get_json()["task_id"]
    queue.claim(store, "op@example.com", mine[2], now=utcnow())

    told = ada.post("/api/tasks/cancel", json={"task_ids": [*mine, foreign, mine[0], "", "x" * 3_000]}).get_json()

    assert [(task["task_id"], task["status"]) for task in told["cancelled"]] == [(one, "cancelled") for one in mine[:2]]
    assert [(one["task_id"], one["code"]) for one in told["refused"]] == [
        (mine[2], "wrong_state"),
        *((one, "not_found") for one in (foreign, "", "x" * 3_000)),
    ]
    assert told["credits_remaining"] == store.accounts.get("ada@example.com").credits_balance == 90


def test_the_list_takes_days_and_an_order(ada):
    ids = [ada.submit({"description": f"Page {number}"}).get_json()["task_id"] for number in range(3)]
    today = utcnow().date()

    def found(**asked):
        return [task["task_id"] for task in ada.get("/api/tasks", **asked).get_json()["tasks"]]

    assert found(order="oldest") == found()[::-1] == ids
    assert found(**{"from": str(today - timedelta(days=1)), "to": str(today)}) == ids[::-1]
    assert found(to=str(today - timedelta(days=2))) == found(**{"from": str(today + timedelta(days=1))}) == []
    assert ada.get("/api/tasks", order="sideways").status_code == 400
    assert ada.get("/api/tasks", to="yesterday").status_code == 400
    reversed_days = ada.get("/api/tasks", **{"from": str(today), "to": str(today - timedelta(days=1))})
    assert (reversed_days.status_code, reversed_days.get_json()["code"]) == (400, "malformed")
    assert reversed_days.get_json()["error"] == "from must not be a later day than to."


@pytest.mark.threat(6)
def test_one_charge_when_a_key_races_itself(app, ada, store):
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: ada.submit({"description": "Once"}, **{"Idempotency-Key": "k-1"}), range(10)))

    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert len({a.get_json()["task_id"] for a in answers if a.status_code < 300}) == 1
    assert store.accounts.get("ada@example.com").credits_balance == 90


@pytest.mark.threat(7)
def test_refused_when_a_key_returns_with_another_body(ada, store):
    ada.submit({"description": "One thing"}, **{"Idempotency-Key": "k-1"})

    answer = ada.submit({"description": "Another thing"}, **{"Idempotency-Key": "k-1"})

    assert answer.status_code in (409, 422)
    assert answer.get_json()["code"] == "idempotency_key_reused"
    assert store.accounts.get("ada@example.com").credits_balance == 90


@pytest.mark.threat(8)
def test_a_key_is_its_owners_alone(ada, bob, store):
    answers = [who.submit({"description": "Mine"}, **{"Idempotency-Key": "k-1"}) for who in (ada, bob)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.get_json()["task_id"] for answer in answers}) == 2
    assert store.accounts.get("bob@example.com").credits_balance == 90


@pytest.mark.threat(9)
@pytest.mark.parametrize("key", ["x" * 256, "schlüssel", "tab\tinside"])
def test_refused_when_a_key_is_not_acceptable(ada, store, key):
    answer = ada.submit({"description": "Summarise"}, **{"Idempotency-Key": key})

    assert answer.status_code == 400
    assert store.accounts.get("ada@example.com").credits_balance == 100


@pytest.mark.threat(9)
@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_an_empty_key_is_refused_on_every_call_that_takes_one(app, ada, store, key):
    """The server hands a key that is not ASCII on as empty: taken for none, each retry would be charged."""
    answer = ada.submit({"description": "Same"}, **{"Idempotency-Key": key})

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.get_json()["error"]
    assert store.accounts.get("ada@example.com").credits_balance == 100


# Not enough credits


@pytest.mark.threat(12)
def test_402_says_what_is_required_and_available(app, store):
    make_account(store, credits=9)

    answer = Program(app).submit({"description": "Summarise"})

    body = answer.get_json()
    assert answer.status_code == 402
    assert (body["code"], body["required"], body["available"]) == ("insufficient_credits", 10, 9)
    assert "9 credits" in body["error"]
    assert every_task(store) == []


@pytest.mark.threat(2, 3)
def test_three_of_twenty_are_taken_when_thirty_credits_are_left(app, store):
    make_account(store, credits=30)
    ada = Program(app)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: ada.submit({"description": f"Task {n}"}).status_code, range(20)))

    assert sorted(answers) == [201] * 3 + [402] * 17


# Odd bodies: row 92


BODIES = {
    "broken": (b"{", 400),
    "empty": (b"", 400),
    "list": (b"[]", 400),
    "null": (b"null", 400),
    "text": (b'"description"', 400),
    "brackets": (b"[" * 40_000, 400),
    "nested": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "UTF-16": ('{"description": "x"}'.encode("utf-16"), 400),
    "Latin-1": (b'{"description": "\xe9"}', 400),
    "endless number": (b'{"description": ' + b"9" * 5000 + b"}", 400),
    "no description": (b"{}", 422),
    "null description": (b'{"description": null}', 422),
    "number": (b'{"description": 5}', 422),
    "list as text": (b'{"description": ["x"]}', 422),
    "blank": (b'{"description": " \\n "}', 422),
    "NUL": (b'{"description": "a\\u0000b"}', 422),
    "lone surrogate": (b'{"description": "\\ud800"}', 422),
    "too long": (b'{"description": "' + b"x" * 5001 + b'"}', 422),
    "200 KB": (b'{"description": "' + b"x" * 200_000 + b'"}', 413),
}


@pytest.mark.threat(92)
@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("url", ["/api/tasks", "/api/auth/signup"])
def test_refused_in_plain_words_when_the_body_is_odd(ada, store, case, url):
    body, status = BODIES[case]

    answer = ada.post(url, data=body, content_type="application/json")

    assert answer.status_code == status
    assert set(answer.get_json()) >= {"error", "code"}
    assert store.accounts.get("ada@example.com").credits_balance == 100
    assert [account.email for account in store.accounts.every()] == ["ada@example.com"]


@pytest.mark.parametrize("case", BODIES)
def test_login_never_breaks_on_an_odd_body(client, store, case):
    answer = client.post("/api/auth/login", data=BODIES[case][0], content_type="application/json")

    assert answer.status_code in (400, 401, 413, 422)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_415_when_the_body_is_not_declared_as_json(ada, content_type):
    answer = ada.post("/api/tasks", data=b'{"description": "x"}', content_type=content_type)

    assert answer.status_code == 415
    assert answer.get_json()["code"] == "not_json"


def test_a_body_may_begin_with_the_mark_that_windows_sets_before_utf_8(ada):
    body = b"\xef\xbb\xbf" + '{"description": "Größe ändern"}'.encode()
    answer = ada.post("/api/tasks", data=body, content_type="application/json")

    assert (answer.status_code, answer.get_json().get("description")) == (201, "Größe ändern")


@pytest.mark.threat(21)
@pytest.mark.parametrize(
    "text", ["\u202eright to left", "emoji 👩‍🚀", "line\u2028separator", "\x1b[31mred", "<b>&amp;"]
)
def test_text_comes_back_exactly(ada, text):
    task_id = ada.submit({"description": text}).get_json()["task_id"]

    assert ada.get(f"/api/tasks/{task_id}").get_json()["description"] == text


@pytest.mark.threat(18)
def test_what_a_client_may_not_set_is_refused_by_its_name(ada, store):
    forged = {"credits_spent": 0, "status": "completed", "user_email": "bob@example.com", "task_id": "task_mine"}

    answer = ada.submit({"description": "Summarise"} | forged)

    assert answer.status_code == 422
    assert {error["field"] for error in answer.get_json()["errors"]} == set(forged)
    assert every_task(store) == []


@pytest.mark.threat(87)
def test_signup_takes_nothing_but_e_mail_and_password(client, store):
    forged = {"credits": 999, "credits_balance": 999, "role": "admin", "is_admin": True, "confirmed_at": "2026-01-01"}

    answer = client.post("/api/auth/signup", json={"email": "eve@example.com", "password": PASSWORD} | forged)

    assert {error["field"] for error in answer.get_json()["errors"]} == set(forged)
    assert store.accounts.find("eve@example.com") is None


# Sign-up and sign-in


@pytest.mark.threat(50, 60)
def test_signup_changes_nothing_when_the_address_is_taken(client, store):
    make_account(store, credits=30)

    answer = client.post("/api/auth/signup", json={"email": "ada@example.com", "password": "another good one"})

    assert (answer.status_code, answer.get_json()["code"]) == (409, "account_exists")
    assert "token" not in answer.get_json()
    old = client.post("/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD})
    new = client.post("/api/auth/login", json={"email": "ada@example.com", "password": "another good one"})
    assert (old.status_code, new.status_code) == (200, 401)


@pytest.mark.threat(49)
def test_one_password_works_when_sign_ups_race(app, store):
    passwords = [f"good password {number}" for number in range(8)]

    def sign_up(password: str) -> int:
        body = {"email": "new@example.com", "password": password}
        return app.test_client().post("/api/auth/signup", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(sign_up, passwords))

    assert sorted(answers) == [201] + [409] * 7
    winner = passwords[answers.index(201)]
    login = app.test_client().post("/api/auth/login", json={"email": "new@example.com", "password": winner})
    assert login.status_code == 200


@pytest.mark.threat(58)
def test_same_answer_when_the_address_or_the_password_is_wrong(client, store):
    make_account(store)

    wrong = client.post("/api/auth/login", json={"email": "ada@example.com", "password": "wrong"})
    unknown = client.post("/api/auth/login", json={"email": "nobody@example.com", "password": "wrong"})

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.data == unknown.data
    ignored = {"X-Request-Id", "Date"}
    assert {k: v for k, v in wrong.headers.items() if k not in ignored} == {
        k: v for k, v in unknown.headers.items() if k not in ignored
    }


@pytest.mark.threat(54, 55)
@pytest.mark.parametrize("password", ["x" * 73, "🔒" * 19, "nul \x00", "lone \ud800", "", None, 5, ["x"]])
def test_login_is_refused_when_the_password_cannot_be_one(client, store, password):
    make_account(store)

    answer = client.post("/api/auth/login", json={"email": "ada@example.com", "password": password})

    assert answer.status_code == 401


@pytest.mark.threat(54, 56)
@pytest.mark.parametrize("password", ["short", "password1", "x" * 73, "🔒" * 19, "impacteragi1", "new@example.com"])
def test_signup_is_refused_with_the_reason_when_the_password_is_weak(client, store, password):
    answer = client.post("/api/auth/signup", json={"email": "new@example.com", "password": password})

    assert answer.status_code == 422
    assert answer.get_json()["field"] == "password"
    assert store.accounts.find("new@example.com") is None


@pytest.mark.threat(52, 53)
@pytest.mark.parametrize(
    "email", ["", "ada", "a@b", "ada@example.com\nBcc: eve@example.com", "a,b@example.com", 5, None]
)
def test_signup_is_refused_when_the_address_is_none(client, store, email):
    answer = client.post("/api/auth/signup", json={"email": email, "password": PASSWORD})

    assert answer.status_code == 422
    assert answer.get_json()["field"] == "email"


# Tokens: rows 71 to 74


def claims(**changed):
    now = datetime.now(UTC)
    good = {
        "iss": "impacteragi-dashboard",
        "aud": "impacteragi-api",
        "typ": "access",
        "sub": "ada@example.com",
        "jti": "nobody",
        "iat": now,
        "exp": now + timedelta(hours=1),
    }
    return {name: value for name, value in (good | changed).items() if value is not ...}


def of_another_algorithm(read: dict[str, object]) -> str:
    """By our own secret, which is short for that one: the library warns."""
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        return jwt.encode(read, SECRET, algorithm="HS512")


def forged_tokens(live: str) -> dict[str, str]:
    read = jwt.decode(live, options={"verify_signature": False})
    header, body, signature = live.split(".")
    none = jwt.encode(read, None, algorithm="none")
    return {
        "no signature": f"{header}.{body}.",
        "alg none": none,
        "alg none, signature kept": none + signature,
        "alg HS512": of_another_algorithm(read),
        "another secret": jwt.encode(read, "somebody-else-has-made-this-one-up", algorithm="HS256"),
        "another subject": jwt.encode(read | {"sub": "bob@example.com"}, SECRET, algorithm="HS256"),
        "unknown session": jwt.encode(claims(), SECRET, algorithm="HS256"),
        "expired": jwt.encode(read | {"exp": datetime.now(UTC) - timedelta(1)}, SECRET, algorithm="HS256"),
        "not yet issued": jwt.encode(read | {"iat": datetime.now(UTC) + timedelta(1)}, SECRET, algorithm="HS256"),
        "exp is a word": jwt.encode(read | {"exp": "soon"}, SECRET, algorithm="HS256"),
        "iat is no whole second": jwt.encode(read | {"iat": 1.5}, SECRET, algorithm="HS256"),
        "no exp": jwt.encode({k: v for k, v in read.items() if k != "exp"}, SECRET, algorithm="HS256"),
        "another audience": jwt.encode(read | {"aud": "somebody"}, SECRET, algorithm="HS256"),
        "another issuer": jwt.encode(read | {"iss": "somebody"}, SECRET, algorithm="HS256"),
        "another type": jwt.encode(read | {"typ": "reset"}, SECRET, algorithm="HS256"),
        "subject is a list": jwt.encode(claims(sub=["ada@example.com"]), SECRET, algorithm="HS256"),
        "kid and jku": jwt.encode(
            read, "x" * 40, algorithm="HS256", headers={"kid": "../../dev/null", "jku": "http://x"}
        ),
        "garbage": "garbage",
        "dots": "..",
        "not ASCII": "é.é.é",
        "long": "x" * 6000,
    }


@pytest.mark.threat(71, 72)
@pytest.mark.parametrize("case", forged_tokens(jwt.encode(claims(), SECRET, algorithm="HS256")))
def test_401_when_a_token_is_forged_or_stale(client, ada, bob, case):
    token = forged_tokens(ada.token)[case]

    answer = client.get("/api/user", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.threat(46)
def test_token_of_a_machine_that_is_seconds_ahead_is_taken(client, ada):
    read = jwt.decode(ada.token, options={"verify_signature": False})
    ahead = jwt.encode(read | {"iat": datetime.now(UTC) + timedelta(seconds=5)}, SECRET, algorithm="HS256")

    assert client.get("/api/user", headers={"Authorization": f"Bearer {ahead}"}).status_code == 200


def test_token_signed_with_the_older_secret_works_while_keys_are_rolled(client, ada):
    read = jwt.decode(ada.token, options={"verify_signature": False})
    older = jwt.encode(read, "older-signing-key-of-the-test-suite!", algorithm="HS256")

    answer = client.get("/api/user", headers={"Authorization": f"Bearer {older}"})

    assert answer.status_code == 200


@pytest.mark.threat(72)
def test_mailed_link_is_no_token(client, config, store, ada):
    store.updates.accounts.change(store.accounts.get("ada@example.com"), link_nonces={links.RESET: "nonce"})
    url = links.Links(config.jwt_secrets, config.app_url).url(store.accounts.get("ada@example.com"), links.RESET)

    answer = client.get("/api/user", headers={"Authorization": f"Bearer {url.rpartition('/')[2]}"})

    assert answer.status_code == 401


@pytest.mark.threat(74)
def test_token_is_not_read_from_the_query_or_a_body(client, ada):
    for path in (f"/api/user?token={ada.token}", f"/api/user?access_token={ada.token}"):
        assert client.get(path).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YWRhOnB3", "Token x", "bearer"])
def test_401_when_the_header_holds_no_bearer(client, store, header):
    assert client.get("/api/user", headers={"Authorization": header}).status_code == 401


@pytest.mark.threat(74)
def test_credentials_are_not_taken_by_get(client, store):
    make_account(store)

    answer = client.get("/api/auth/login", query_string={"email": "ada@example.com", "password": PASSWORD})

    assert answer.status_code == 405


@pytest.mark.threat(66)
def test_signed_out_token_is_dead(ada):
    ada.post("/api/auth/logout")

    assert ada.get("/api/user").status_code == 401


@pytest.mark.threat(68)
def test_token_is_dead_when_the_account_is_disabled(ada, store):
    store.updates.accounts.change(store.accounts.get("ada@example.com"), disabled_at=datetime.now(UTC))

    assert ada.get("/api/user").status_code == 401


@pytest.mark.threat(77)
@pytest.mark.parametrize("path", ["/api/user", "/api/tasks", "/api/transactions"])
def test_api_takes_no_cookie(app, store, path):
    make_account(store, credits=100)
    browser = Browser(app)
    browser.sign_in()

    assert browser.get(path).status_code == 401
    assert browser.client.post("/api/tasks", json={"description": "x"}).status_code == 401
    assert store.accounts.get("ada@example.com").credits_balance == 100


def test_pages_take_no_bearer(app, ada):
    answer = app.test_client().get("/dashboard", headers={"Authorization": f"Bearer {ada.token}"})

    assert answer.status_code == 303


# Whose data: rows 85 and 86


@pytest.mark.threat(85)
def test_404_when_a_task_is_somebody_elses(ada, bob):
    task_id = ada.submit({"description": "Mine"}).get_json()["task_id"]

    stranger, missing = bob.get(f"/api/tasks/{task_id}"), bob.get("/api/tasks/task_none")

    assert stranger.status_code == missing.status_code == 404
    assert stranger.get_json() == missing.get_json()


@pytest.mark.threat(85)
def test_cursor_of_another_customer_opens_nothing(ada, bob):
    for number in range(3):
        ada.submit({"description": f"Ada's {number}"})
        bob.submit({"description": f"Bob's {number}"})
    cursor = ada.get("/api/tasks", limit=1).get_json()["next_cursor"]

    answer = bob.get("/api/tasks", cursor=cursor)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_cursor")


CURSORS = [
    "x",
    "%00",
    "é",
    "W10",
    "bnVsbA",
    "WyJhIl0",
    "WyIiLCIiXQ",
    "WzEsMl0",
    "eyJhIjoxfQ",
    "A" * 5000,
    "=",
    "....",
    "W1tb",
]


@pytest.mark.threat(86)
@pytest.mark.parametrize("cursor", CURSORS)
@pytest.mark.parametrize("path", ["/api/tasks", "/api/transactions"])
def test_400_when_a_cursor_is_tampered_with(ada, cursor, path):
    answer = ada.get(path, cursor=cursor)

    assert answer.status_code == 400
    assert answer.get_json()["code"] in ("bad_cursor", "malformed")


@pytest.mark.threat(86)
@pytest.mark.parametrize("limit", ["-1", "0", "1", "100", "1000000000", "9" * 2000])
def test_limit_is_clamped(ada, limit):
    ada.submit({"description": "Summarise"})

    answer = ada.get("/api/tasks", limit=limit)

    assert (answer.status_code, len(answer.get_json()["tasks"])) == (200, 1)


@pytest.mark.parametrize("limit", ["x", "1.5", "\x00", "٣", " 1"])
def test_400_when_limit_is_no_number(ada, limit):
    assert ada.get("/api/tasks", limit=limit).status_code == 400


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/tasks", {"status": "done"}),
        ("/api/transactions", {"type": "gift"}),
        ("/api/transactions", {"month": "2026-13"}),
        ("/api/transactions", {"month": "2026-11-01"}),
        ("/api/transactions", {"month": "20٢٦-11"}),
    ],
)
def test_400_when_a_filter_is_unknown(ada, path, query):
    assert ada.get(path, **query).status_code == 400


# Errors are JSON everywhere under /api


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/nothing", 404), ("DELETE", "/api/tasks", 405)])
def test_errors_are_json_under_api(client, method, path, status):
    answer = client.open(path, method=method)

    assert answer.status_code == status
    assert set(answer.get_json()) == {"error", "code"}


@pytest.mark.threat(83)
def test_no_foreign_origin_is_allowed(client, ada):
    for origin in ("https://evil.example", "null"):
        answer = client.get("/api/user", headers={"Origin": origin, "Authorization": f"Bearer {ada.token}"})
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.threat(23)
def test_ledger_explains_the_balance_after_all_of_it(ada, store):
    for number in range(12):
        ada.submit({"description": f"Task {number}"})

    rows = ledger(store, "ada@example.com")
    assert sum(row.amount for row in rows) == store.accounts.get("ada@example.com").credits_balance == 0
