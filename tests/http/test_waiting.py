"""Requests that wait, through the server as scripts/run starts it: two worker processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from app.data import Store
from app.domain.clock import from_iso, to_iso, utcnow
from app.services import customers, queue, tasks
from tests.http.server import Server
from tests.support import PASSWORD, make_account

OPERATOR = "olga@example.com"
BEFORE = "2020-01-01"


class Program:
    """A customer's program with connections of its own to both workers, and one task."""

    def __init__(self, server: Server, store: Store) -> None:
        self.store = store
        self.ada = make_account(store, credits=1_000)
        make_account(store, OPERATOR, role="admin")
        self.http = httpx.Client(base_url=server.url, timeout=70, trust_env=False)
        answer = self.http.post("/api/auth/login", json={"email": self.ada.email, "password": PASSWORD})
        self.http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self.task_id = tasks.submit(store, self.ada, "Wait for me", now=utcnow(), idempotency_key="one").task.task_id
        self.path = f"/api/tasks/{self.task_id}"
        self.etag = self.http.get(self.path).headers["ETag"]
        self._pool = ThreadPoolExecutor(40)

    def wait(self, seconds: int, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.get(self.path, params={"wait": seconds}, headers=named)

    def begin(self, count: int, seconds: int, **headers: str) -> list[Future[httpx.Response]]:
        return [self._pool.submit(self.wait, seconds, **headers) for _ in range(count)]

    def changes(self, since: str, **query: object) -> httpx.Response:
        named = {"If-None-Match": str(etag)} if (etag := query.pop("etag", None)) else {}
        return self.http.get("/api/tasks", params={"updated_since": since, **query}, headers=named)

    def follow(self, count: int, since: str, **query: object) -> list[Future[httpx.Response]]:
        """So many requests that wait for a change of any task."""
        return [self._pool.submit(self.changes, since, **query) for _ in range(count)]


@pytest.fixture
def program(server: Server, store: Store) -> Program:
    return Program(server, store)


@pytest.fixture(params=["drain", "stop"])
def ending(request: pytest.FixtureRequest, dynamodb_url: str, tmp_path) -> Iterator[tuple[Server, str]]:
    drain = 60 if request.param == "drain" else 0
    with Server(dynamodb_url, tmp_path / "server.log", drain=drain) as server:
        yield server, request.param


def until_they_wait() -> None:
    """No time is asserted: whoever has not begun to wait by then finds at once what the others wait for."""
    time.sleep(1.0)


def test_waiters_at_both_workers_hear_of_each_change_that_they_wait_for(program):
    moved = program.begin(16, 40, If_None_Match=program.etag)
    done = program.begin(16, 40)
    until_they_wait()
    assert not any(one.done() for one in [*moved, *done])

    queue.claim(program.store, OPERATOR, program.task_id, now=utcnow())
    heard = [one.result(30) for one in moved]
    assert not any(one.done() for one in done)
    queue.complete(program.store, OPERATOR, program.task_id, "Here it is.", now=utcnow())
    ended = [one.result(30) for one in done]

    assert {(answer.status_code, answer.json()["status"]) for answer in heard} == {(200, "in-progress")}
    assert {answer.json()["result"] for answer in ended} == {"Here it is."}
    assert program.etag not in {answer.headers["ETag"] for answer in [*heard, *ended]}
    assert {answer.headers["RateLimit-Policy"] for answer in ended} == {'"wait";q=100;qu="concurrent-requests"'}
    assert {answer.headers["RateLimit"].partition(";r=")[0] for answer in ended} == {'"wait"'}
    assert program.wait(40).json()["status"] == "completed"  # there is nothing to wait for


def test_a_wait_without_news_ends_as_a_plain_call_would(program):
    (unchanged,) = program.begin(1, 2, If_None_Match=program.etag)
    (still_open,) = program.begin(1, 2)

    assert (unchanged.result(30).status_code, unchanged.result().content) == (304, b"")
    assert (still_open.result(30).status_code, still_open.result().json()["status"]) == (200, "pending")
    assert unchanged.result().headers["ETag"] == still_open.result().headers["ETag"] == program.etag


@pytest.mark.threat(152)
def test_a_session_that_ends_meanwhile_gets_nothing_in_the_end(program):
    waits = program.begin(4, 2, If_None_Match=program.etag)
    until_they_wait()

    program.store.updates.accounts.end_sessions(program.store.accounts.get(program.ada.email))

    assert [one.result(30).status_code for one in waits] == [401] * 4


@pytest.mark.threat(152)
def test_a_server_that_ends_answers_all_who_wait(ending, store):
    server, how = ending
    program = Program(server, store)
    waits = [*program.begin(10, 45, If_None_Match=program.etag), *program.begin(10, 45)]
    until_they_wait()
    assert not any(one.done() for one in waits)

    server.terminate()

    assert sorted(one.result(30).status_code for one in waits) == [200] * 10 + [304] * 10
    if how == "drain":
        assert program.wait(45, If_None_Match=program.etag).status_code == 304  # nobody begins to wait now
        server.terminate()  # a second signal hurries it
    assert server.wait() == 0
    assert "unexpected" not in server.log()


def test_what_asks_to_wait_for_what_is_no_time_is_refused_and_a_head_does_not_wait(program):
    for wrong in ("61", "-1", "soon", "1.5", "٣"):
        answer = program.http.get(program.path, params={"wait": wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), wrong

    assert program.http.head(program.path, params={"wait": "45"}).status_code == 200
    assert program.http.get(program.path, params={"wait": ""}).status_code == 200


# For a change of any task


def later() -> str:
    return to_iso(utcnow())


def test_whoever_waits_for_any_change_hears_of_it_whichever_process_made_it(program):
    known, since = program.changes(BEFORE), later()
    asked = program.follow(16, since, wait=40)
    held = program.follow(16, BEFORE, wait=40, etag=known.headers["ETag"])
    until_they_wait()
    assert not any(one.done() for one in [*asked, *held])

    assert program.http.post(f"{program.path}/cancel").json()["status"] == "cancelled"
    answers = [one.result(30) for one in [*asked, *held]]

    assert {answer.status_code for answer in answers} == {200}
    told = {tuple((task["task_id"], task["status"]) for task in answer.json()["tasks"]) for answer in answers}
    assert told == {((program.task_id, "cancelled"),)}
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"wait";q=100;qu="concurrent-requests"'}


def test_a_new_task_is_a_change_and_another_s_is_none(program):
    bob = make_account(program.store, "bob@example.com", credits=100)
    since = later()
    (mine,) = program.follow(1, since, wait=40)
    until_they_wait()

    tasks.submit(program.store, bob, "Bob's", now=utcnow(), idempotency_key="bob")
    until_they_wait()
    assert not mine.done()
    tasks.submit(program.store, program.ada, "Ada's", now=utcnow(), idempotency_key="two")

    assert [task["description"] for task in mine.result(30).json()["tasks"]] == ["Ada's"]


def test_a_change_that_is_listed_late_is_heard_of_though_a_later_one_is_known(program):
    """It was begun before the newest that is known, and committed after."""
    begun, since = utcnow(), later()
    tasks.submit(program.store, program.ada, "First", now=utcnow(), idempotency_key="first")
    known = program.changes(since)
    (held,) = program.follow(1, since, wait=40, etag=known.headers["ETag"])
    until_they_wait()

    late = begun + (from_iso(known.json()["tasks"][0]["updated_at"]) - begun) / 2
    assert to_iso(late) > since
    tasks.submit(program.store, program.ada, "Late", now=late, idempotency_key="late")

    assert [task["description"] for task in held.result(30).json()["tasks"]] == ["Late", "First"]


def test_a_wait_for_any_change_ends_as_a_plain_call_would_and_a_page_with_a_next_does_not_wait(program):
    known = program.changes(BEFORE)
    (unchanged,) = program.follow(1, BEFORE, wait=2, etag=known.headers["ETag"])
    (nothing,) = program.follow(1, later(), wait=2)
    assert (unchanged.result(30).status_code, unchanged.result().content) == (304, b"")
    assert nothing.result(30).json() == {"tasks": [], "next_cursor": None}
    for number in range(2):
        tasks.submit(program.store, program.ada, f"{number}", now=utcnow(), idempotency_key=f"{number}")

    first = program.changes(BEFORE, limit=2)
    again = program.changes(BEFORE, limit=2, wait=40, etag=first.headers["ETag"])  # at once: there is more to read
    cursor = first.json()["next_cursor"]
    last = program.changes(BEFORE, limit=2, cursor=cursor)
    (held,) = program.follow(1, BEFORE, limit=2, cursor=cursor, wait=40, etag=last.headers["ETag"])
    until_they_wait()
    assert (again.status_code, held.done()) == (304, False)
    program.http.post(f"{program.path}/cancel")

    assert [task["status"] for task in held.result(30).json()["tasks"]] == ["pending", "cancelled"]


@pytest.mark.threat(152)
@pytest.mark.parametrize("end", ["sessions", "account", "key"])
def test_whose_session_account_or_key_ends_meanwhile_is_told_nothing(program, end):
    ada = program.store.accounts.get(program.ada.email)
    session = program.http.headers["Authorization"]
    if end == "key":
        wanted = {"name": "Nightly", "scopes": ["tasks:read"], "password": PASSWORD}
        made = program.http.post("/api/keys", json=wanted).json()
        program.http.headers["Authorization"] = f"Bearer {made['key']}"
    waits = program.follow(4, later(), wait=2)
    until_they_wait()

    if end == "sessions":
        program.store.updates.accounts.end_sessions(ada)
    elif end == "account":
        customers.disable(program.store, OPERATOR, ada.email, "A test", now=utcnow())
    else:
        gone = program.http.delete(f"/api/keys/{made['key_id']}", headers={"Authorization": session})
        assert gone.status_code == 200

    assert {one.result(30).status_code for one in waits} == {401}


@pytest.mark.threat(152)
def test_a_server_that_ends_answers_all_who_wait_for_any_change(ending, store):
    server, _ = ending
    program = Program(server, store)
    known = program.changes(BEFORE)
    waits = [*program.follow(5, later(), wait=45), *program.follow(5, BEFORE, wait=45, etag=known.headers["ETag"])]
    until_they_wait()
    assert not any(one.done() for one in waits)

    server.terminate()

    assert sorted(one.result(30).status_code for one in waits) == [200] * 5 + [304] * 5
    server.terminate()
    assert server.wait() == 0
