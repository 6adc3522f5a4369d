"""The log: one line an event, no secret in any of them, and nobody can forge a line."""

from __future__ import annotations

import json
import logging

import pytest

from app.web import logs
from tests.log_watch import SECRETS
from tests.routes.browser import Browser
from tests.security.test_second_factor import set_up
from tests.support import PASSWORD, make_account, post_webhook, session_event


def events(watch) -> list[dict]:
    return [json.loads(line) for line in watch.lines]


@pytest.mark.threat(95)
def test_a_whole_journey_leaves_the_story_and_no_secret(app, store, client, sender, log_watch):
    """Sign-up, mails, second factor, purchase, task, refusals, a crash: the autouse fixture reads every line."""
    logging.getLogger("app").setLevel(logging.DEBUG)
    stranger = Browser(app)
    stranger.post("/signup", {"email": "eve@example.com", "password": PASSWORD})
    stranger.post("/login", {"email": "eve@example.com", "password": "a wrong but secret guess"})
    stranger.post("/login", {"email": PASSWORD, "password": "eve@example.com"})  # the fields mixed up
    stranger.post("/forgot", {"email": "eve@example.com"})
    post_webhook(client, session_event("eve@example.com"))
    post_webhook(client, session_event("eve@example.com"), **{"Stripe-Signature": "t=1,v1=forged"})
    make_account(store, credits=30)
    browser = Browser(app)
    browser.sign_in()
    secret, codes = set_up(browser)
    program_client = app.test_client()
    answer = program_client.post(
        "/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD, "code": codes[0]}
    )
    token = answer.json["token"]
    for _ in range(4):
        program_client.post(
            "/api/tasks", json={"description": "My private words"}, headers={"Authorization": f"Bearer {token}"}
        )
    program_client.get("/api/user?token=" + token)
    browser.get("/admin/queue")
    browser.post("/tasks", {"description": "x", "csrf_token": "forged"})
    app.test_cli_runner().invoke(args=["mail", "send"])
    for mail in sender.sent:
        for word in mail["text"].split():
            if word.startswith("http://dashboard.test/"):
                browser.get(word.removeprefix("http://dashboard.test"))
    browser.post("/account/delete", {"password": PASSWORD})

    said = {(event["event"], event.get("status"), event.get("code")) for event in events(log_watch)}
    names = {event for event, _, _ in said}
    assert {"signed up", "signed in", "sign-in refused", "task submitted", "second factor added", "request"} <= names
    assert ("request", 401, None) in said
    assert ("refused", 402, "insufficient_credits") in said
    assert {"refused: CSRF token", "credits moved by a payment", "mail sent"} <= names
    text = "\n".join(log_watch.lines)
    for value in (secret, *codes, token, "private words", "secret guess", PASSWORD, browser.csrf(), "forged"):
        assert value not in text
    requests = [event for event in events(log_watch) if event["event"] == "request"]
    assert all(event["request_id"] and event["route"] and event["ms"] >= 0 for event in requests)


@pytest.mark.usefixtures("fault_of_ours")
def test_a_crash_is_told_with_its_reference_and_without_the_body(app, client, monkeypatch, log_watch):
    from app.services import accounts

    def crash(*_args, **_kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr(accounts, "sign_in", crash)

    answer = client.post("/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD})

    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "Traceback" not in answer.text
    crashes = [event for event in events(log_watch) if event["event"] == "unexpected error"]
    assert crashes[0]["request_id"] == answer.headers["X-Request-Id"]
    assert "RuntimeError: broken" in crashes[0]["trace"]


@pytest.mark.threat(95)
@pytest.mark.parametrize(
    "text", ["a\nb", 'a\r\n{"event": "signed in"}', "\u2028", "\x1b[31m", "\x00", "\ud800", "\x85"]
)
def test_nobody_forges_a_line(text):
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "refused: %s", (text,), None)
    record.agent = text

    line = logs.JsonFormatter().format(record)

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["agent"] == text


def test_the_watch_would_notice_each_kind_of_secret():
    samples = {
        "a password": f"given {PASSWORD}",
        "a password hash": "$2b$12$abcdefgh",
        "a token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0",
        "a bearer header": "Authorization: Bearer abcdefgh12",
        "a cookie": "Cookie: session=eyJabcdefgh",
        "a mailed link": "GET /reset/WyJhZGFAZXhh",
        "a signing key": "whsec_newest",
        "a webhook body": '{"customer_details": {}}',
        "a whole e-mail address": "to ada@example.com",
        "a credential of the store": "AWS4-HMAC-SHA256",
    }
    assert samples.keys() == SECRETS.keys()
    assert all(SECRETS[what].search(text) for what, text in samples.items())
    assert not any(mark.search("a***@example.com signed in") for mark in SECRETS.values())
