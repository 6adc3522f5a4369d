"""HEAD and what is fetched ahead: answered as GET, counted by nothing, using nothing up, writing nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from limits import parse

from app.domain.clock import utcnow
from app.services import queue, tasks
from app.web import deps
from tests.routes.browser import Browser, Program
from tests.support import make_account, post_webhook, session_event

pytestmark = pytest.mark.long

WRITES = {"UpdateItem", "PutItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}
# Differ from one GET to the next, or are told by making the file, which HEAD does not.
ITS_OWN = {"RateLimit", "Date", "Expires", "X-Request-Id", "Set-Cookie", "Content-Length", "X-Row-Count", "X-Sum"}
AHEAD = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Purpose": "prefetch"},
    {"X-Moz": "prefetch"},
]
OP = "op@example.com"
FILES = ("/transactions.csv", "/transactions/statement/2026-11.pdf", "/admin/audit.csv")


class World:
    """Two people with something behind every kind of address."""

    def __init__(self, app, store):
        make_account(store, OP, credits=100, role="admin")
        make_account(store, "new@example.com", confirmed_at=None, link_nonces={"confirm": "n" * 22, "reset": "r" * 22})
        post_webhook(app.test_client(), session_event(OP, session="cs_1"))
        account = store.accounts.get(OP)
        task_id = tasks.submit(store, account, "Compare the quotes", now=utcnow(), idempotency_key="r").task.task_id
        queue.claim(store, OP, task_id, now=utcnow())
        queue.complete(store, OP, task_id, "The second one", now=utcnow())
        with app.app_context():
            links = deps.get().links
        token = links.url(store.accounts.get("new@example.com"), "confirm").rpartition("/")[2]
        self.values = {
            "task_id": task_id,
            "email": OP,
            "account_id": account.account_id,
            "payment_id": "pi_cs_1",
            "month": f"{utcnow():%Y-%m}",
            "token": token,
            "number": "1",
            "filename": "app.css",
        }
        self.browser = Browser(app)
        self.browser.sign_in(OP)
        self.program = Program(app, OP)
        account, long_ago = store.accounts.get(OP), utcnow() - timedelta(minutes=20)  # so that a visit would be noted
        sessions = {key: replace(session, seen_at=long_ago) for key, session in account.sessions.items()}
        store.updates.accounts.change(account, sessions=sessions)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> Any:
        if path.startswith("/api/"):
            headers = self.program._headers() | (headers or {})
            return self.program.client.open(path, method=method, headers=headers)
        return self.browser.client.open(path, method=method, headers=headers)


def paths(app, values: dict[str, str]) -> list[str]:
    """An address of each rule that answers GET."""
    found = []
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods:
            path = rule.rule
            for name in rule.arguments:
                for kind in ("", "int:", "path:"):
                    path = path.replace(f"<{kind}{name}>", values.get(name, "x"))
            found.append(path)
    return found


@pytest.mark.threat(110)
def test_head_of_every_view_answers_as_get_and_writes_nothing(app, store, calls):
    world = World(app, store)
    wrong = []
    for path in paths(app, world.values):
        with calls() as made:
            head = world.ask("HEAD", path)
        if written := WRITES & set(made):
            wrong.append(f"{path}: {written}")
        get = world.ask("GET", path)
        shown = [{k: v for k, v in answer.headers.items() if k not in ITS_OWN} for answer in (head, get)]
        if head.status_code != get.status_code or head.data or shown[0] != shown[1]:
            unlike = shown[0].items() ^ shown[1].items()
            wrong.append(f"{path}: {head.status_code}, {get.status_code}, {unlike}")

    assert not wrong


@pytest.mark.threat(110)
@pytest.mark.parametrize("headers", AHEAD, ids=str)
def test_what_a_browser_fetches_ahead_writes_nothing(app, store, calls, headers):
    world = World(app, store)
    written = {}
    for path in paths(app, world.values):
        with calls() as made:
            world.ask("GET", path, headers)
        if found := WRITES & set(made):
            written[path] = found

    assert not written
    assert not store.accounts.get("new@example.com").confirmed


@pytest.mark.threat(110)
@pytest.mark.parametrize("path", ["/login", "/signup", "/forgot"])
def test_an_uptime_monitor_may_ask_for_hours(app, store, calls, path):
    make_account(store)
    monitor = app.test_client()
    with calls() as made:
        answers = {monitor.head(path).status_code for _ in range(150)}

    assert answers == {200}
    assert not made
    assert Browser(app).sign_in().status_code == 303


@pytest.mark.threat(110)
def test_head_makes_no_export_and_does_not_go_round_its_limit(app, store, calls):
    world = World(app, store)
    for _ in range(30):
        head = world.ask("HEAD", "/account/export.json")
        assert (head.status_code, head.data) == (200, b"")
    assert "impacteragi-my-data.json" in head.headers["Content-Disposition"]

    with calls() as made:
        world.ask("HEAD", "/account/export.json")
    assert "Query" not in made

    with calls() as made:
        for path in FILES:
            head = world.ask("HEAD", path)
            assert "Content-Length" not in head.headers, path  # none is known, and none is made up
            assert "attachment" in head.headers["Content-Disposition"]
    assert "Query" not in made

    assert {world.ask("GET", "/account/export.json").status_code for _ in range(10)} == {200}
    assert world.ask("GET", "/account/export.json").status_code == 429
    assert world.ask("HEAD", "/account/export.json").status_code == 429


@pytest.mark.threat(110)
@pytest.mark.parametrize("headers", AHEAD)
@pytest.mark.parametrize("path", [*FILES, "/account/export.json"])
def test_a_browser_that_fetches_a_file_ahead_is_put_off_and_never_gets_an_empty_one(app, store, headers, path):
    """It may show what it has fetched when its person asks."""
    assert World(app, store).ask("GET", path, headers).status_code == 503


@pytest.mark.threat(110)
@pytest.mark.parametrize("headers", [None, *AHEAD[:2]], ids=str)
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/transactions/statement/{month}",
            "/transactions/statement/{month}.pdf",
            "/transactions.csv",
            "/transactions.csv?task={task_id}",
        ),
        *("/account/export.json", "/dashboard?q=needle", "/transactions?type=spend"),
        *("/api/tasks?q=needle", "/api/transactions?type=spend"),
    ],
)
def test_what_is_limited_is_not_read_for_who_only_looks(app, store, calls, path, headers):
    """HEAD has the status of GET; a browser that fetches ahead is put off, or its header would go round the limit."""
    world = World(app, store)
    path = path.format(**world.values)
    method = "GET" if headers else "HEAD"

    with calls() as made:
        answer = world.ask(method, path, headers)

    assert answer.status_code == (503 if headers else 200)
    assert "Query" not in made


@pytest.mark.threat(110)
def test_head_of_a_statement_is_refused_when_get_is(app, store):
    world = World(app, store)
    path = "/transactions/statement/{month}".format(**world.values)

    assert {world.ask("HEAD", path).status_code for _ in range(70)} == {200}
    assert {world.ask("GET", path).status_code for _ in range(60)} == {200}
    for each in (path, f"{path}.pdf", "/transactions.csv"):
        assert [world.ask(method, each).status_code for method in ("GET", "HEAD")] == [429, 429]


@pytest.mark.threat(110)
@pytest.mark.parametrize(("method", "headers"), [("HEAD", None), ("GET", AHEAD[0])])
def test_stripe_is_asked_for_a_guest_who_only_looks_as_often_as_for_any_other(
    app, stripe, method, headers, monkeypatch
):
    monkeypatch.setattr("app.routes.buy.GUEST_LOOKS_BY_ADDRESS", parse("3 per hour"))
    asked = []
    stripe.sessions["cs_guest"] = {"status": "open", "metadata": {}}
    monkeypatch.setattr(stripe, "get_session", lambda session: (asked.append(session), stripe.sessions[session])[1])
    client = app.test_client()

    for _ in range(6):
        answer = client.open("/buy/return?session_id=cs_guest", method=method, headers=headers)
        assert answer.status_code == 200

    assert len(asked) == 3


@pytest.mark.threat(110)
def test_head_of_the_way_back_from_stripe_credits_nothing(app, store, stripe):
    account = make_account(store)
    sold = {"account_id": account.account_id, "account_email": account.email, "credits": "1000", "price_cents": "1000"}
    event = session_event(account.email, session="cs_mine", metadata=sold)
    stripe.sessions["cs_mine"] = event["data"]["object"]
    browser = Browser(app)
    browser.sign_in()

    assert browser.client.head("/credits/return?session_id=cs_mine").status_code == 200
    assert store.accounts.get(account.email).credits_balance == 0

    browser.get("/credits/return?session_id=cs_mine")
    assert store.accounts.get(account.email).credits_balance == 1000


@pytest.mark.threat(110)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("purpose", ["reset", "set_password", "confirm"])
def test_a_scanner_that_opens_a_mailed_link_uses_nothing_up(app, store, method, purpose):
    make_account(store, confirmed_at=None, link_nonces={purpose: "n" * 22})
    with app.app_context():
        links = deps.get().links
    path = links.url(store.accounts.get("ada@example.com"), purpose).removeprefix("http://dashboard.test")
    owner = Browser(app)
    owner.sign_in()
    for client in (app.test_client(), owner.client):  # also one inside the owner's own browser
        for _ in range(3):
            assert client.open(path, method=method, follow_redirects=method == "GET").status_code in (200, 303)

    assert dict(store.accounts.get("ada@example.com").link_nonces) == {purpose: "n" * 22}
    assert not store.accounts.get("ada@example.com").confirmed
