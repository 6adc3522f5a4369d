"""What programs are told of limits with their answers: how much there is, how much is left, and for how long."""

from __future__ import annotations

import re

import pytest

from app.data.rate_limits import RateLimitStorage
from app.domain.clock import utcnow
from app.domain.errors import StoreUnavailable
from app.routes.documents import LIMITS
from app.services import throttle
from app.web import deps
from app.web.openapi import calls_of
from tests.described import described_calls
from tests.routes.browser import Browser, Program
from tests.support import PASSWORD, make_account

ADA = "ada@example.com"
pytestmark = pytest.mark.usefixtures("in_one_window")


@pytest.fixture
def ada(app, store, monkeypatch) -> Program:
    """She submits within one minute, whatever the clock says."""
    make_account(store, credits=1_000)
    signed_in = Program(app)
    monkeypatch.setattr("app.routes.api.utcnow", lambda now=utcnow().replace(second=20): now)
    return signed_in


def left(answer) -> dict[str, int]:
    """What is left of each limit, by its name."""
    return {name: int(much) for name, much in re.findall(r'"([a-z-]+)";r=(\d+)', answer.headers.get("RateLimit", ""))}


def seconds(answer) -> list[int]:
    return [int(found) for found in re.findall(r";t=(\d+)", answer.headers["RateLimit"])]


def used(app, limit, name: str, who: str = ADA, *, but: int = 0) -> None:
    with app.app_context():
        deps.get().throttle.hit(limit, name, who, count=limit.amount - but)


def test_a_submit_says_how_many_are_left_in_this_minute(ada):
    answers = [ada.submit({"description": "A task"}, **{"Idempotency-Key": key}) for key in ("one", "two", "two")]

    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"submit";q=600;w=60'}
    assert [left(answer) for answer in answers] == [{"submit": 599}, {"submit": 598}, {"submit": 598}]
    assert seconds(answers[0]) == [40]


def test_a_submit_that_is_refused_for_its_credits_has_counted_nothing(app, store):
    make_account(store, "poor@example.com", credits=10)
    poor = Program(app, "poor@example.com")
    poor.submit({"description": "The last"})

    refused = poor.submit({"description": "One more"})

    assert (refused.status_code, left(refused)) == (402, {"submit": 599})


def test_a_batch_that_is_more_than_what_is_left_is_told_what_is_left(ada, monkeypatch):
    monkeypatch.setattr("app.domain.credits.SUBMITS_A_MINUTE", 5)
    two, four = ({"tasks": [{"description": f"Task {number}"} for number in range(many)]} for many in (2, 4))

    done, refused = ada.post("/api/tasks/batch", json=two), ada.post("/api/tasks/batch", json=four)

    assert (done.status_code, left(done)) == (201, {"submit": 3})
    assert (refused.status_code, left(refused)) == (429, {"submit": 3})
    assert seconds(refused) == [int(refused.headers["Retry-After"])]


def test_a_submit_over_the_limit_says_that_nothing_is_left(ada, monkeypatch):
    monkeypatch.setattr("app.domain.credits.SUBMITS_A_MINUTE", 1)
    ada.submit({"description": "One"})

    refused = ada.submit({"description": "Two"})

    assert (refused.status_code, left(refused)) == (429, {"submit": 0})


def test_each_limit_that_counts_a_request_is_named_and_what_is_not_done_is_given_back(ada):
    task_id = ada.submit({"description": "A task"}).get_json()["task_id"]

    cancelled = ada.post(f"/api/tasks/{task_id}/cancel")
    missing = ada.post("/api/tasks/task_nowhere/cancel")

    assert cancelled.headers["RateLimit-Policy"] == '"cancel-day";q=100;w=86400, "cancel";q=30;w=3600'
    assert left(cancelled) == left(missing) == {"cancel-day": 99, "cancel": 29}


def test_several_at_once_are_told_of_a_limit_that_refused_some(app, ada):
    used(app, throttle.CANCEL_BY_ACCOUNT, "cancel", but=1)
    made = [ada.submit({"description": "A task"}).get_json()["task_id"] for _ in range(2)]

    answer = ada.post("/api/tasks/cancel", json={"task_ids": made})

    assert [one["code"] for one in answer.get_json()["refused"]] == ["rate_limited"]
    assert left(answer)["cancel"] == 0


def test_a_refusal_says_the_same_as_retry_after(app, ada):
    used(app, throttle.REDEEM_BY_ACCOUNT, "redeem", but=1)

    last, refused = (ada.post("/api/redeem", json={"code": "NO-SUCH-CODE"}) for _ in range(2))

    assert (last.status_code, left(last)) == (422, {"redeem": 0})
    assert (refused.status_code, left(refused)) == (429, {"redeem": 0})
    assert seconds(refused) == [int(refused.headers["Retry-After"])]


@pytest.mark.parametrize(
    ("path", "name", "policy"),
    [
        ("/api/tasks?q=report", "search", '"search";q=60;w=60'),
        ("/api/transactions?type=spend", "search", '"search";q=60;w=60'),
        ("/api/statement?month=2026-11", "file", '"file";q=60;w=3600'),
    ],
)
def test_what_is_costly_to_read_says_so_and_head_is_told_without_being_counted(ada, path, name, policy):
    signed_in = {"Authorization": f"Bearer {ada.token}"}
    first, second = (ada.client.get(path, headers=signed_in) for _ in range(2))
    head = ada.client.head(path, headers=signed_in)

    assert first.headers["RateLimit-Policy"] == policy
    assert [left(answer)[name] for answer in (first, second, head)] == [59, 58, 58]


@pytest.mark.parametrize("path", ["/api/tasks", "/api/transactions", "/api/user"])
def test_what_no_limit_has_counted_says_nothing(ada, path):
    assert {"RateLimit", "RateLimit-Policy"}.isdisjoint(ada.get(path).headers.keys())


def test_pages_say_nothing(app, store, browser: Browser):
    make_account(store, credits=1_000)
    browser.sign_in()

    answer = browser.get("/dashboard?q=report")

    assert answer.status_code == 200
    assert {"RateLimit", "RateLimit-Policy"}.isdisjoint(answer.headers.keys())


@pytest.mark.threat(61)
def test_a_sign_in_tells_nobody_how_often_others_have_tried(app, store):
    """Alike for an account that somebody has guessed at, one that nobody has, and one that there is not."""
    for email in (ADA, "bob@example.com"):
        make_account(store, email)
    client = app.test_client(use_cookies=False)

    def guess(email: str, password: str = "wrong"):
        return client.post("/api/auth/login", json={"email": email, "password": password})

    for _ in range(4):
        guess(ADA)
    answers = [guess(ADA), guess("bob@example.com"), guess("nobody@example.com"), guess(ADA, PASSWORD)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 200]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"sign-in";q=10;w=900'}
    assert not any("RateLimit" in answer.headers for answer in answers)


@pytest.mark.threat(61)
def test_a_refused_sign_in_is_told_alike_whichever_limit_refused(app, store):
    make_account(store)
    client = app.test_client(use_cookies=False)

    def refused() -> str:
        answer = client.post("/api/auth/login", json={"email": ADA, "password": PASSWORD})
        assert (answer.status_code, seconds(answer)) == (429, [int(answer.headers["Retry-After"])])
        return re.sub(r"t=\d+", "t=…", answer.headers["RateLimit"]) + answer.headers["RateLimit-Policy"]

    with app.app_context():
        limiter = deps.get().throttle._limiter
        for name in ("sign-in-from", "sign-in-from-failed"):
            limiter.hit(throttle.SIGN_IN_BY_ADDRESS, name, "127.0.0.1", cost=100)
        by_address = refused()
        for name in ("sign-in-from", "sign-in-from-failed"):
            limiter.hit(throttle.SIGN_IN_BY_ADDRESS, name, "127.0.0.1", cost=-100)
        for name in ("sign-in", "sign-in-failed"):
            limiter.hit(throttle.SIGN_IN_BY_ACCOUNT, name, ADA, cost=10)
        by_account = refused()

    assert by_address == by_account == '"sign-in";r=0;t=…"sign-in";q=10;w=900'


def test_each_limit_that_a_call_names_stands_on_the_page_for_programmers():
    named = {name for _, _, _, call in calls_of(described_calls()) for name in call.limits}

    assert named == {name for _, names, _ in LIMITS for name in names}


def test_counters_out_of_reach_say_nothing_and_let_pass(ada, monkeypatch):
    def down(*_: object, **__: object) -> int:
        raise StoreUnavailable

    monkeypatch.setattr(RateLimitStorage, "incr", down)

    answer = ada.get("/api/statement", month="2026-11")

    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers
