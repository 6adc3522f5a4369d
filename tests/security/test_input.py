"""Odd input of every kind at every door: a clear refusal, never a 500, and nothing broken afterwards."""

from __future__ import annotations

import json

import pytest

from tests.routes.browser import Browser, Program
from tests.support import PASSWORD, every_task, make_account

STRANGE = [
    "\x00",
    "a\x00b",
    "\ud800",
    "\u202e",
    "\u2028",
    "\x1b[31m",
    "\r\nX: y",
    "'\"><script>",
    "{{7*7}}",
    "%00",
    "🦕" * 30,
    "=cmd()",
    "x" * 3000,
]
PAGES = ["/dashboard", "/transactions", "/transactions.csv", "/credits/return", "/login"]


@pytest.fixture
def customer(store, browser):
    account = make_account(store, credits=1000)
    browser.sign_in()
    return account


@pytest.mark.threat(86, 97)
@pytest.mark.parametrize("name", ["q", "status", "cursor", "limit", "month", "type", "next", "session_id", "out"])
def test_no_query_breaks_a_page(customer, browser, name):
    for path in PAGES:
        for text in [*STRANGE, "-1", "1e9", "9" * 40, "WzFd", "AAAA", "%ff", "%ed%a0%80"]:
            raw = "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
            answer = browser.client.get(f"{path}?{name}={raw}")
            assert answer.status_code < 500, (path, raw)
            assert "'\"><script>" not in answer.text


@pytest.mark.threat(97)
@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/tasks/%00",
        "/tasks/a%00b",
        "/%ff",
        "/tasks/%ed%a0%80",
        "/tasks/" + "a" * 7000,
        "/%",
        "/%zz",
        "/tasks/%2e%2e",
        "/reset/%00",
        "/confirm/" + "x" * 3000,
        "/set-password/%f0%9f%a6%95",
        "/tasks/" + "%F0%9F%A6%95" * 500,
    ],
)
def test_no_path_breaks_anything(customer, browser, path):
    answer = browser.client.get(path)

    assert 400 <= answer.status_code < 500


@pytest.mark.threat(53, 55, 78, 79)
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/login", "email"),
        ("/login", "password"),
        ("/login", "next"),
        ("/signup", "email"),
        ("/signup", "password"),
        ("/forgot", "email"),
        ("/tasks", "description"),
        ("/tasks", "request_id"),
        ("/account/password", "new_password"),
        ("/account/password", "current_password"),
        ("/account/settings", "theme"),
        ("/account/sign-out", "key"),
        ("/account/delete", "password"),
        ("/account/second-factor/prove", "code"),
        ("/credits/redeem", "code"),
        ("/credits/checkout", "pack"),
        ("/account/second-factor/passkeys", "credential"),
        ("/account/second-factor/passkeys/remove", "key"),
    ],
)
def test_no_form_field_breaks_a_page(app, store, customer, browser, path, field):
    browser = browser if path not in ("/login", "/signup") else Browser(app)
    good = {"email": "eve@example.com", "password": "a long passphrase", "description": "Fine"}
    for text in STRANGE:
        answer = browser.post(path, good | {field: text.encode("utf-8", "surrogatepass")})
        assert answer.status_code < 500, (path, field, text)
        assert "<script>{{" not in answer.text
        assert "'\"><script>" not in answer.text
    assert browser.get("/login").status_code == 200


@pytest.mark.threat(21)
@pytest.mark.parametrize("raw", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"abc\x80"])
def test_a_form_that_is_not_utf_8_is_refused_rather_than_mended(store, customer, browser, raw):
    token = browser.csrf()
    body = (
        b"csrf_token=" + token.encode() + b"&request_id=r-1&description=" + b"".join(b"%%%02x" % byte for byte in raw)
    )

    answer = browser.client.post("/tasks", data=body, content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 400
    assert every_task(store) == []


@pytest.mark.threat(20, 40)
@pytest.mark.parametrize("size", [300_000, 3_000_000])
def test_what_is_too_large_is_refused(app, store, customer, browser, size):
    program = Program(app)
    answers = [
        Browser(app).post("/login", {"email": "x" * size}),
        program.submit({"description": "x" * size}),
        app.test_client().post("/api/auth/login", json={"email": "x" * size, "password": "x"}),
        app.test_client().post("/api/auth/signup", data=b"x" * size, content_type="application/json"),
    ]

    assert [answer.status_code for answer in answers] == [413] * 4
    typed = browser.post("/tasks", {"description": "x" * size})
    assert typed.status_code == (422 if size < 2 * 1024 * 1024 else 413)  # refused with the text in hand
    assert every_task(store) == []


BODIES = [
    b"",
    b"null",
    b"[]",
    b'"x"',
    b"1",
    b"true",
    b"{",
    b"NaN",
    b"[" * 40_000,
    b'{"a":' * 12_000,
    b"\xff\xfe{\x00}\x00",
    '{"email":"a"}'.encode("utf-16"),
    b'{"email": "\\ud800", "password": "\\udfff"}',
    b'{"a": 1e999999}',
    b'{"a": ' + b"9" * 5000 + b"}",
]


@pytest.mark.threat(92)
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/signup", "/api/tasks", "/api/stripe/webhook"])
def test_no_body_breaks_the_api(app, store, customer, path, body):
    program = Program(app)

    answer = program.post(path, data=body, content_type="application/json")

    assert 400 <= answer.status_code < 500, answer.text
    assert set(answer.get_json()) >= {"error", "code"}
    assert every_task(store) == []


WRONG = [None, 5, 1.5, True, [], ["x"], {}, {"S": "x"}]


@pytest.mark.threat(18, 19)
@pytest.mark.parametrize("value", WRONG, ids=map(str, WRONG))
def test_wrong_types_are_refused(app, store, customer, value):
    program = Program(app)
    client = app.test_client()

    assert program.submit({"description": value}).status_code == 422
    assert client.post("/api/auth/signup", json={"email": value, "password": PASSWORD}).status_code == 422
    assert client.post("/api/auth/signup", json={"email": "new@example.com", "password": value}).status_code == 422
    assert client.post("/api/auth/login", json={"email": value, "password": PASSWORD}).status_code == 401
    assert client.post("/api/auth/login", json={"email": "ada@example.com", "password": value}).status_code == 401
    assert every_task(store) == []
    assert store.accounts.find("new@example.com") is None


@pytest.mark.threat(92)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_another_media_type_is_refused(app, customer, kind):
    answer = Program(app).post("/api/tasks", data=json.dumps({"description": "x"}), content_type=kind)

    assert answer.status_code in (400, 415)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer"),
        ("Authorization", "Bearer a.b.c"),
        ("Authorization", "Bearer " + "a" * 9000),
        ("Authorization", "Bearer \xff\xfe"),
        ("Authorization", "Basic YTpi"),
        ("Authorization", "Bearer ....."),
        ("Cookie", "session=\xff"),
        ("Cookie", "session=" + "." * 4000),
        ("Cookie", "\x01=;;;=,"),
        ("Idempotency-Key", "\xff"),
        ("Idempotency-Key", "x" * 256),
        ("X-CSRFToken", "\xff"),
        ("User-Agent", "\xff\x01" * 90),
        ("HX-Current-URL", "http://["),
        ("HX-PTag", "\xff"),
        ("Accept-Encoding", "\xff"),
        ("If-None-Match", "\xff"),
        ("Range", "bytes=9-1"),
        ("Content-Type", "application/json; charset=\xff"),
        ("X-Forwarded-For", "\xff, ]["),
        ("Referer", "http://["),
        ("Origin", "null"),
    ],
)
def test_no_header_breaks_anything(app, store, customer, browser, name, value):
    program = Program(app)
    for client, path in ((browser.client, "/dashboard"), (program.client, "/api/user"), (app.test_client(), "/login")):
        assert client.get(path, headers={name: value, "HX-Request": "true"}).status_code < 500
    answer = program.client.post(
        "/api/tasks", json={"description": "x"}, headers={"Authorization": f"Bearer {program.token}", name: value}
    )
    assert answer.status_code < 500


def test_a_label_of_a_session_is_words_of_ours(app, store, browser):
    make_account(store)
    token = browser.csrf()
    agent = "<script>alert(1)</script>\x01 Chrome"
    form = {"csrf_token": token, "email": "ada@example.com", "password": PASSWORD}
    browser.client.post("/login", data=form, headers={"User-Agent": agent})

    sessions = store.accounts.get("ada@example.com").sessions.values()
    assert [session.label for session in sessions] == ["Chrome"]
