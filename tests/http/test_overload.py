"""More is asked than can be done: who is told to come again, in which order, and who is served all the same."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.data.table_setup import create_tables
from app.web.work_queue import LIMITS, Kind, Limit, WorkQueue, kind_of
from app.web.work_slots import SLOTS
from tests.conftest import PREFIX
from tests.http.server import Server
from tests.http.test_ended_session import Tab
from tests.support import every_task, make_account, session_event, signed

POLL = {"HX-Request": "true", "HX-PTag": "seen", "X-Quiet-Seconds": "700"}


class Held:
    """Stops every page of a history, until it is let go."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, operation: str, body: bytes) -> None:
        if operation == "Query":
            self.waiting.release()
            assert self.go_on.wait(60)


@pytest.mark.threat(40)
def test_of_a_full_line_polls_and_pages_go_at_once_and_a_submit_and_stripe_are_served(store, proxy, dynamodb, tmp_path):
    create_tables(dynamodb, PREFIX)
    make_account(store, "eve@example.com", credits=100)
    make_account(store, "ada@example.com", credits=100)
    held = Held()
    with (
        Server(
            proxy.url,
            tmp_path / "server.log",
            workers=1,
            target="tests.http.overloaded_server:app",
            STORE_TIMEOUT_SECONDS="60",
        ) as server,
        ThreadPoolExecutor(SLOTS + 2) as pool,
    ):
        eve, ada = Tab(server, "eve@example.com"), Tab(server, "ada@example.com")
        form = {"csrf_token": ada.token("/dashboard"), "description": "Water the plants", "request_id": "the-key"}
        event = json.dumps(session_event(session="cs_1", cents=100)).encode()
        proxy.before = held
        flood = [pool.submit(eve.web.get, "/dashboard") for _ in range(SLOTS)]
        try:
            for _ in range(SLOTS):
                assert held.waiting.acquire(timeout=60)

            submit = pool.submit(ada.web.post, "/tasks", data=form, timeout=90)
            webhook = pool.submit(
                httpx.post,
                f"{server.url}/api/stripe/webhook",
                content=event,
                headers={"Stripe-Signature": signed(event)},
                timeout=90,
                trust_env=False,
            )
            poll = ada.web.get("/dashboard/live", headers=POLL)
            page = ada.web.get("/dashboard")
            health = httpx.get(f"{server.url}/livez", timeout=60, trust_env=False)
        finally:
            held.go_on.set()
        answers = [each.result().status_code for each in flood]
        served = submit.result().status_code, webhook.result().status_code
        log = server.log()
        afterwards = ada.web.get("/dashboard/live", headers=POLL), ada.web.get("/dashboard")

    for shed in (poll, page):
        assert (shed.status_code, shed.headers["Retry-After"]) == (503, "5")
        assert "We are busy. Nothing was charged." in shed.text
    assert poll.headers["Content-Type"] == "text/plain; charset=utf-8"  # nothing of it is shown
    assert poll.headers["Cache-Control"] == "no-store"
    assert poll.headers["X-Poll-Again"] == "48"
    assert health.status_code == 200
    assert '"event": "refused", "logger": "app.web.work_slots", "code": "busy", "status": 503, "kind": "poll"' in log
    assert answers == [200] * SLOTS
    assert served == (303, 200)
    assert [answer.status_code for answer in afterwards] == [200, 200]
    assert afterwards[0].headers["X-Poll-Again"] == "12"
    assert [row["description"] for row in every_task(store)] == ["Water the plants"]


# Who is what


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"PATH_INFO": "/dashboard/live", "HTTP_HX_PTAG": "7"}, Kind.POLL),
        ({"PATH_INFO": "/api/tasks", "HTTP_IF_NONE_MATCH": '"7"'}, Kind.POLL),
        ({"PATH_INFO": "/api/tasks"}, Kind.PAGE),
        ({"PATH_INFO": "/dashboard", "HTTP_IF_NONE_MATCH": '"7"'}, Kind.PAGE),
        ({"PATH_INFO": "/dashboard", "HTTP_HX_REQUEST": "true"}, Kind.PAGE),
        ({"PATH_INFO": "/dashboard", "REQUEST_METHOD": "HEAD"}, Kind.PAGE),
        ({"PATH_INFO": "/tasks", "REQUEST_METHOD": "POST", "HTTP_HX_PTAG": "7"}, Kind.CHANGE),
        ({"PATH_INFO": "/api/tasks", "REQUEST_METHOD": "DELETE"}, Kind.CHANGE),
        ({"PATH_INFO": "/api/stripe/webhook", "REQUEST_METHOD": "POST"}, Kind.PAID),
    ],
)
def test_what_a_request_is_for_is_seen_from_its_first_lines(asked, kind):
    assert kind_of({"REQUEST_METHOD": "GET"} | asked) is kind


# The line itself, by a clock that the test moves


class Line:
    """One slot, which is taken, and requests that wait for it in threads of their own."""

    def __init__(self, limits: dict[Kind, Limit] | None = None) -> None:
        self.now = 100.0
        self.queue = WorkQueue(1, limits or LIMITS, clock=lambda: self.now)
        self.ended: list[tuple[str, bool]] = []
        self._threads: list[threading.Thread] = []
        assert self.queue.take_free()

    def asks(self, name: str, kind: Kind) -> None:
        """Returns when it stands in line, or has been told that it need not."""

        def wait() -> None:
            self.ended.append((name, self.queue.wait(kind, 60)))

        stood = len(self.ended) + self._long()
        thread = threading.Thread(target=wait)
        thread.start()
        self._threads.append(thread)
        until(lambda: len(self.ended) + self._long() > stood)

    def gives(self) -> None:
        """The slot; returns when whom it has reached has gone on."""
        ended, long = len(self.ended), self._long()
        self.queue.give()
        until(lambda: len(self.ended) - ended == long - self._long())

    def _long(self) -> int:
        return sum(len(line) for line in self.queue._lines)


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.001)


LONG = {kind: Limit(wait=60, burst=60) for kind in LIMITS}


def test_a_slot_goes_to_what_was_begun_then_to_money_to_changes_to_pages_and_to_polls_last():
    line = Line(LONG)
    for kind in Kind:
        line.asks(kind.name, kind)
    line.asks("a second page", Kind.PAGE)

    for _ in range(len(Kind) + 1):
        line.gives()

    assert line.ended == [(name, True) for name in ("BEGUN", "PAID", "CHANGE", "PAGE", "a second page", "POLL")]
    line.queue.give()
    assert line.queue.take_free()
    assert not line.queue.take_free()


def test_in_a_burst_nobody_is_sent_away():
    line = Line(LONG | {Kind.POLL: Limit(wait=20, burst=60)})
    line.asks("first", Kind.POLL)
    line.now += 30
    line.asks("later", Kind.POLL)

    line.gives()
    line.gives()

    assert line.ended == [("first", True), ("later", True)]


@pytest.mark.parametrize("kind", LIMITS)
def test_where_the_line_stands_who_comes_is_sent_away_at_once(kind):
    limits = LONG | {kind: Limit(wait=20, burst=10)}
    line = Line(limits)
    line.asks("stands", kind)
    line.now += 9.9
    line.asks("the burst goes on", kind)
    assert line.ended == []

    line.now += 0.2
    line.asks("too late", kind)

    assert line.ended == [("too late", False)]
    line.gives()
    line.gives()
    assert line.ended[1:] == [("stands", True), ("the burst goes on", True)]
    line.gives()
    assert line.queue.take_free()  # it has emptied: the next one is served at once


def test_a_line_stands_when_somebody_has_waited_all_the_while_of_a_burst():
    line = Line(LONG | {Kind.POLL: Limit(wait=1, burst=10)})
    assert not line.queue.stands()
    line.asks("one", Kind.PAGE)
    line.now += 9.9
    line.asks("another", Kind.PAGE)
    assert not line.queue.stands()

    line.now += 0.2
    assert line.queue.stands()
    line.gives()
    assert line.queue.stands()
    line.gives()
    assert not line.queue.stands()


def test_whose_time_is_over_is_sent_away_and_the_slot_goes_to_the_next():
    line = Line(LONG | {Kind.PAGE: Limit(wait=20, burst=10)})
    line.asks("page", Kind.PAGE)
    line.asks("poll", Kind.POLL)
    line.now += 20.1

    line.gives()

    assert sorted(line.ended) == [("page", False), ("poll", True)]


def test_polls_go_before_pages_and_pages_before_changes_and_stripe_last():
    limits = [LIMITS[kind] for kind in (Kind.POLL, Kind.PAGE, Kind.CHANGE, Kind.PAID)]
    assert limits == sorted(limits, key=lambda limit: limit.wait)
    assert limits == sorted(limits, key=lambda limit: limit.burst)
    line = Line()
    for kind in LIMITS:
        assert line.queue._waits_until(kind, line.now) >= line.now

    line.queue._stands_since = line.now - 3.0
    line.queue._lines[Kind.PAID].append(_Since(line.now - 1.0))
    told = {kind for kind in LIMITS if line.queue._waits_until(kind, line.now) <= line.now}

    assert told == {Kind.POLL, Kind.PAGE}


class _Since:
    def __init__(self, since: float) -> None:
        self.since = since


def test_what_was_begun_is_never_sent_away_by_the_line():
    line = Line({kind: Limit(wait=0, burst=0) for kind in LIMITS})
    line.asks("goes on", Kind.BEGUN)
    line.asks("page", Kind.PAGE)

    line.gives()

    assert sorted(line.ended) == [("goes on", True), ("page", False)]


def test_who_waits_in_vain_leaves_the_line():
    queue = WorkQueue(1)
    assert queue.take_free()

    assert not queue.wait(Kind.PAGE, 0.01)

    queue.give()
    assert queue.take_free()
