"""/docs: made from the definitions of the calls; each example on it is sent, and answered as it shows."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bs4 import BeautifulSoup

from app.domain import webhooks
from app.domain.accounts import API, Account, AccountKey, Session, new_session_id, session_key
from app.domain.clock import utcnow
from app.domain.credits import PROMO, LedgerEntry, post
from app.domain.tasks import new_task
from app.services import codes
from app.services.payments import record_fact
from app.services.webhook_sender import WebhookSender
from app.web import manual
from app.web.deps import KEY
from app.web.exports import NAMED
from app.web.openapi import calls_of
from tests.described import described_calls
from tests.routes.browser import Browser
from tests.routes.test_webhooks import Public
from tests.services.test_payments import paid
from tests.support import NOW, PASSWORD, make_account

ADA, OPERATOR = "ada@example.com", "op@example.com"
GIFT = LedgerEntry("promo#1", AccountKey(ADA), PROMO, 5, "A gift")
HEADERS = {"Idempotency-Key": "report-2026-11"}
# Name of the call, who asks, method and path, body, headers; what is in braces comes from an answer before.
STORY: list[tuple[str, str, str, Any, dict[str, str]]] = [
    ("signup", "", "POST /api/auth/signup", {"email": "new@example.com", "password": "correct horse battery"}, {}),
    ("login", "", "POST /api/auth/login", {"email": ADA, "password": PASSWORD}, {}),
    ("user", ADA, "GET /api/user", None, {}),
    ("list_packs", ADA, "GET /api/packs", None, {}),
    ("buy", ADA, "POST /api/checkout", {"pack_id": "pack-1000"}, {"Idempotency-Key": "order-7"}),
    ("redeem", ADA, "POST /api/redeem", {"code": "SPRING-2026"}, {"Idempotency-Key": "spring"}),
    (
        "submit_task",
        ADA,
        "POST /api/tasks",
        {"description": "Summarise the report", "reference": "report-2026-11", "tags": ["Reports"]},
        HEADERS,
    ),
    ("-second", ADA, "POST /api/tasks", {"description": "Translate the letter"}, {"Idempotency-Key": "letter"}),
    ("-third", ADA, "POST /api/tasks", {"description": "Name the ships"}, {"Idempotency-Key": "ships"}),
    ("list_queue", OPERATOR, "GET /api/admin/tasks?limit=2", None, {}),
    ("claim_next", OPERATOR, "POST /api/admin/tasks/claim", {"minutes": 30}, {}),
    ("renew", OPERATOR, "POST /api/admin/tasks/{submit_task}/renew", {"minutes": 60}, {}),
    ("store_file", OPERATOR, "POST /api/admin/tasks/{submit_task}/files?name=report.txt", b"Report\n", {}),
    (
        "complete",
        OPERATOR,
        "POST /api/admin/tasks/{submit_task}/complete",
        {"result": "# Done", "files": ["{file}"]},
        {},
    ),
    ("get_any_task", OPERATOR, "GET /api/admin/tasks/{submit_task}", None, {}),
    ("get_task", ADA, "GET /api/tasks/{submit_task}", None, {}),
    ("get_file", ADA, "GET /api/tasks/{submit_task}/files/1", None, {}),
    ("redo_task", ADA, "POST /api/tasks/{submit_task}/redo", {"note": "Page 2 is missing."}, {}),
    ("claim", OPERATOR, "POST /api/admin/tasks/{-second}/claim", {"minutes": 30}, {}),
    ("release", OPERATOR, "POST /api/admin/tasks/{-second}/release", None, {}),
    ("cancel_task", ADA, "POST /api/tasks/{-second}/cancel", None, {}),
    ("-claimed", OPERATOR, "POST /api/admin/tasks/{-third}/claim", None, {}),
    ("reject", OPERATOR, "POST /api/admin/tasks/{-third}/reject", {"reason": "There is no list of ships."}, {}),
    (
        "submit_batch",
        ADA,
        "POST /api/tasks/batch",
        {"tasks": [{"description": "Summarise page 1"}, {"description": "Summarise page 2"}]},
        {"Idempotency-Key": "pages"},
    ),
    ("cancel_tasks", ADA, "POST /api/tasks/cancel", {"task_ids": ["{submit_batch}", "{-second}"]}, {}),
    ("list_tasks", ADA, "GET /api/tasks?status=pending&limit=2", None, {}),
    ("list_transactions", ADA, "GET /api/transactions?type=spend&limit=1", None, {}),
    ("get_statement", ADA, "GET /api/statement?month=2026-11", None, {}),
    ("get_ledger_file", ADA, "GET /api/statement.csv?type=spend&for=program", None, {}),
    ("get_own_data", ADA, "GET /api/export", None, {}),
    ("get_receipt", ADA, "GET /api/receipts/pi_1", None, {}),
    ("find_customer", OPERATOR, "GET /api/admin/customers?email=ada%40example.com", None, {}),
    ("search_customers", OPERATOR, "GET /api/admin/customers/search?q=ada&limit=2", None, {}),
    ("get_customer", OPERATOR, "GET /api/admin/customers/{account}", None, {}),
    ("adjust", OPERATOR, "POST /api/admin/customers/{account}/adjust", {"amount": 50, "reason": "A gift"}, HEADERS),
    ("get_customer_by_address", OPERATOR, "GET /api/admin/users/ada@example.com", None, {}),
    (
        "adjust_by_address",
        OPERATOR,
        "POST /api/admin/users/ada@example.com/adjust",
        {"amount": 5, "reason": "A gift"},
        {"Idempotency-Key": "gift"},
    ),
    ("make_key", ADA, "POST /api/keys", {"name": "Nightly", "scopes": ["tasks:read"], "password": PASSWORD}, {}),
    ("list_keys", ADA, "GET /api/keys", None, {}),
    ("get_key", ADA, "GET /api/keys/{key}", None, {}),
    ("revoke_key", ADA, "DELETE /api/keys/{key}", None, {}),
    (
        "make_webhook",
        ADA,
        "POST /api/webhooks",
        {"url": "https://example.com/hooks", "types": ["task.completed"], "password": PASSWORD},
        {},
    ),
    ("list_webhooks", ADA, "GET /api/webhooks", None, {}),
    ("get_webhook", ADA, "GET /api/webhooks/{endpoint}", None, {}),
    ("change_webhook", ADA, "PATCH /api/webhooks/{endpoint}", {"name": "Results"}, {}),
    ("webhook_secret", ADA, "POST /api/webhooks/{endpoint}/secret", {"password": PASSWORD, "rotate": True}, {}),
    ("test_webhook", ADA, "POST /api/webhooks/{endpoint}/test", None, {}),
    ("list_webhook_deliveries", ADA, "GET /api/webhooks/{endpoint}/deliveries?limit=1", None, {}),
    ("get_webhook_delivery", ADA, "GET /api/webhooks/{endpoint}/deliveries/{delivery}", None, {}),
    ("send_webhook_again", ADA, "POST /api/webhooks/{endpoint}/deliveries/{delivery}/again", None, {}),
    ("remove_webhook", ADA, "DELETE /api/webhooks/{endpoint}", None, {}),
    ("logout", ADA, "POST /api/auth/logout", None, {}),
]
GIVES = {"store_file": "file_id", "make_key": "key_id", "make_webhook": "endpoint_id", "test_webhook": "delivery_id"}
# What is another each time, and what stands for it on the page.
SHOWN_AS = [
    (r"imp_live_\w+", "imp_live_…"),
    (r"whsec_[\w+/=]+", "whsec_…"),
    (r"\bkey_[a-z2-7]{26}", "key_fmg2xoq4bm7ky4l6d4xkzjm7py"),
    (r"\bwe_\w{16}", "we_4fGhT2yQxB1kLmNp"),
    (r"\bevt_[a-z2-7]{26}", "evt_c5v7u3g2x4q6s7w2r5t6y7o3ia"),
    (r'"webhook-timestamp": "\d+"', '"webhook-timestamp": "1796117400"'),
    (r'"webhook-signature": "[^"]+"', '"webhook-signature": "v1,…"'),
    (r'"took_ms": \d+', '"took_ms": 7'),
    (r'"delivery_id": "[^"]+"', '"delivery_id": "MTc5NjExNzQwMA"'),
    (r"/deliveries/[\w-]+", "/deliveries/MTc5NjExNzQwMA"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "2026-12-01T09:30:00.000000Z"),
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "eyJhbGciOiJIUzI1NiJ9…"),
    (r"acc_[\w-]{16,}", "acc_Yq0o3lH2vX8s7d1nK4tTzQ"),
    (r'"file_id": "[0-9a-f]{16}"', '"file_id": "5f1d7a0c9b3e4682"'),
    (r'"[0-9a-f]{16}"', '"5f1d7a0c9b3e4682"'),
    (r'"next_cursor": "[^"]+"', '"next_cursor": "WyJ0YXNrXzEiXQ"'),
]


def token_of(app, store, email: str) -> str:
    now, session_id = utcnow(), new_session_id()
    store.updates.accounts.add_session(store.accounts.get(email), Session(session_key(session_id), API, now, now), now)
    return app.extensions["impacteragi"].tokens.issue(email, session_id, now)


def shown(value: Any) -> Any:
    text = json.dumps(value)
    for pattern, instead in SHOWN_AS:
        text = re.sub(pattern, instead, text)
    return json.loads(text)


def told(app, store) -> dict[str, Any]:
    """Each example, sent to the app: what was sent, and what came back."""
    ada = make_account(store, ADA, credits=100)
    record_fact(store, paid(), now=NOW)
    make_account(store, OPERATOR, role="admin")
    terms = {"credits_each": 50, "max_uses": 9, "expires_at": utcnow() + timedelta(1)}
    codes.create(store, "SPRING-2026", created_by=OPERATOR, limit=5000, now=utcnow(), **terms)
    app.extensions["impacteragi"].files.create_bucket()
    tokens = {email: token_of(app, store, email) for email in (ADA, OPERATOR)}
    app.extensions[KEY] = replace(app.extensions[KEY], receivers=Public())
    sender = WebhookSender(store, app.extensions[KEY].sealer, Public())
    known, made, client = {"account": ada.account_id}, {}, app.test_client(use_cookies=False)
    for name, who, asked, body, headers in STORY:
        method, path = re.sub(r"{([\w-]+)}", lambda part: known[part[1]], asked).split(" ")
        if name == "complete":
            body = body | {"files": [known["file"]]}
        if name == "cancel_tasks":
            body = {"task_ids": [known["submit_batch"], known["-second"]]}
        sent = {"data": body, "content_type": "application/octet-stream"} if isinstance(body, bytes) else {"json": body}
        signed = {"Authorization": f"Bearer {tokens[who]}"} if who else {}
        answer = client.open(path, method=method, headers=headers | signed, **(sent if body is not None else {}))
        assert answer.status_code < 400, (name, answer.text)
        got = answer.get_json(silent=True) if NAMED not in answer.headers else None
        if got and "task_id" in got:
            known[name] = got["task_id"]
        if name == "submit_batch":
            known[name] = got["tasks"][0]["task_id"]
        if got and name in GIVES:
            known[GIVES[name].removesuffix("_id")] = got[GIVES[name]]
        if name == "test_webhook":
            while sender.look():
                sender.finish()
        if not name.startswith("-"):
            example = {"method": method, "path": path, "headers": headers, "signed_in": bool(who)}
            body = None if isinstance(body, bytes) else body
            text = answer.text if answer.mimetype == "text/csv" else got
            made[name] = shown(example | {"body": body, "status": answer.status_code, "answer": text})
    return made


def test_every_example_on_the_page_is_what_the_app_answers(app, store):
    made = told(app, store)
    if os.environ.get("WRITE_EXAMPLES"):
        manual.EXAMPLES.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
        manual.examples.cache_clear()

    assert made == manual.examples()


def test_every_call_that_is_shown_has_an_example():
    known = {call.name for _, _, _, call in calls_of(described_calls())} - manual.NOT_SHOWN

    assert known == set(manual.examples()), "add it to STORY, and write it: WRITE_EXAMPLES=1 with this file"


def test_the_page_tells_each_call_and_each_code(app, client):
    page = client.get("/docs").text

    for method, path, _, call in calls_of(app):
        assert (f"<code>{method} {path}</code>" in page) == (call.name not in manual.NOT_SHOWN), path
    for status, _, words in manual.refusals(app):
        assert f"<h3>{status}</h3>" in page
        assert [code for code, _ in words if f"<code>{code}</code>" not in page] == []


def test_the_page_tells_what_is_said_in_front_of_the_app(app, client):
    page = client.get("/docs").text
    front = (manual.EXAMPLES.parents[2] / "deploy/cloudflare/worker/src/answers.js").read_text(encoding="utf-8")
    said = set(re.findall(r'^  \w+: \[(\d+), "(\w+)"', front, re.MULTILINE))
    ours = {(str(status), code) for status, _, words in manual.refusals(app) for code, _ in words}

    before_us = {(str(status), code) for status, code, _ in manual.IN_FRONT}
    of_pages = {("405", "method_not_allowed"), ("410", "expired")}
    assert len(said) > 8
    assert said - ours - of_pages - {("503", "unreachable")} == before_us
    assert [code for _, code in before_us if f"<code>{code}</code>" not in page] == []


def test_each_event_is_told_with_the_fields_that_it_has(client):
    task = new_task(AccountKey(ADA), "Name the ships", "key", NOW)
    row, ada = post(Account(email=AccountKey(ADA), account_id="acc_1", created_at=NOW), GIFT, NOW)
    events = [webhooks.of_task(kind, task) for kind in (webhooks.STARTED, webhooks.COMPLETED, webhooks.REJECTED)]
    events += [webhooks.low_credits(ada, NOW), webhooks.added_credits(row, NOW)]
    events += [webhooks.revoked_key("key_1", "Nightly", NOW), webhooks.test_event(NOW)]

    assert [(kind, fields) for kind, _, fields in manual.EVENTS] == [(event.type, (*event.data,)) for event in events]
    assert {event.type for event in events} == {*webhooks.TYPES, webhooks.TEST}
    page = BeautifulSoup(client.get("/docs").text, "html.parser")
    told = page.select_one("#webhooks").text
    assert [kind for kind, _, _ in manual.EVENTS if kind not in told] == []
    assert page.select_one("pre[aria-label='Check an event in Python']").text == manual.RECEIVER


def test_an_example_takes_a_key_where_one_may_ask(client):
    page = client.get("/docs").text

    assert page.count("Bearer $TOKEN") > 5  # HTML has the quotes escaped
    for name, secret in (("make_key", "$TOKEN"), ("submit_batch", "$KEY"), ("buy", "$TOKEN")):
        shown = BeautifulSoup(page, "html.parser").select_one(f"#{name} pre").text
        assert f"Bearer {secret}" in shown


def test_a_chapter_leads_to_its_calls_and_no_link_leads_nowhere(app):
    page = Browser(app).page("/docs")

    names = {part["id"] for part in page.select("[id]")}
    assert {link["href"][1:] for link in page.select("nav.index a")} <= names
    assert len(names) == len(page.select("[id]"))


def test_front_page_account_and_welcome_mail_lead_there(app, store):
    make_account(store, credits=10)
    browser = Browser(app)

    assert browser.page("/").select_one("a[href='/docs']")
    browser.sign_in()
    assert browser.page("/account").select_one("#api a[href='/docs']")
    for part in ("txt", "html"):
        assert "/docs" in (manual.EXAMPLES.parents[1] / f"templates/emails/welcome.{part}").read_text()
