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
from app.web.work_queue import LIMITS, Asker, Kind, Limit, Told, WorkQueue, kind_of
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
    """Slots, which are all taken, and requests that wait for one in threads of their own."""

    def __init__(self, limits: dict[Kind, Limit] | None = None, taken_by: tuple[str, ...] = ("somebody",)) -> None:
        self.now = 100.0
        self.queue = WorkQueue(len(taken_by), limits or LIMITS, clock=lambda: self.now)
        self.ended: list[tuple[str, bool]] = []
        self.why: list[Told] = []
        self._threads: list[threading.Thread] = []
        for who in taken_by:
            assert self.queue.take_free(asker(who))

    def asks(self, name: str, kind: Kind, who: str = "") -> None:
        """Returns when it stands in line, or has been told that it need not. Each is of an account of its own."""

        def wait() -> None:
            told = self.queue.wait(kind, 60, asker(who or name))
            self.why.append(told)
            self.ended.append((name, bool(told)))

        stood = len(self.ended) + self._long()
        thread = threading.Thread(target=wait)
        thread.start()
        self._threads.append(thread)
        until(lambda: len(self.ended) + self._long() > stood)

    def gives(self, who: str = "") -> None:
        """A slot, of that account or the one that had it longest; returns when whom it has reached has gone on."""
        ended, long = len(self.ended), self._long()
        self.queue.give(next(each for each in self.queue._at_work if not who or each.who == who))
        until(lambda: len(self.ended) - ended == long - self._long())

    def at_work(self) -> list[str]:
        return sorted(each.who for each in self.queue._at_work)

    def _long(self) -> int:
        return len(self.queue._line) + len(self.queue._beyond)


def asker(who: str) -> Asker:
    return Asker(lambda: who)


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
    line.gives()
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
    line.asks("burst", Kind.BEGUN)
    line.asks("paid", Kind.PAID)
    line.now += 2.9
    line.gives()
    line.now += 1.0
    for kind in LIMITS:
        line.asks(kind.name, kind)

    assert line.ended == [("burst", True), ("POLL", False), ("PAGE", False)]
    for _ in range(4):
        line.gives()


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


# Shares


FLOOD = ("eve",) * 8


def test_of_an_account_that_floods_all_wait_behind_the_one_request_of_another():
    line = Line(LONG, FLOOD)
    for number in range(20):
        line.asks(f"flood {number}", Kind.CHANGE, "eve")
    line.asks("a page", Kind.PAGE, "ada")
    line.asks("a poll", Kind.POLL, "ada")
    line.asks("flood goes on", Kind.BEGUN, "eve")

    line.gives()
    line.gives()

    assert line.ended == [("a page", True), ("a poll", True)]
    for _ in range(29):
        line.gives()
    assert sorted(line.ended) == sorted([(f"flood {number}", True) for number in range(20)] + ALL_OTHERS)
    assert line.queue._at_work == []


ALL_OTHERS = [("a page", True), ("a poll", True), ("flood goes on", True)]


def test_accounts_that_flood_come_to_have_equal_shares():
    line = Line(LONG, FLOOD)
    for number in range(20):
        line.asks(f"eve {number}", Kind.PAGE, "eve")
    for number in range(20):
        line.asks(f"ada {number}", Kind.PAGE, "ada")
    for _ in range(8):
        line.gives()
        assert line.at_work().count("ada") <= 4 or line.at_work().count("eve") >= 4

    assert line.at_work() == ["ada"] * 4 + ["eve"] * 4
    line.gives("ada")
    line.gives("eve")
    assert line.at_work() == ["ada"] * 4 + ["eve"] * 4
    served = [name for name, _ in line.ended]
    assert [name for name in served if name.startswith("ada")] == [f"ada {number}" for number in range(5)]
    for _ in range(38):
        line.gives()


def test_however_many_accounts_wait_each_has_two_slots_before_it_waits_behind_them():
    line = Line(LONG, ("eve", "eve", "bob", "bob", "cleo", "dan", "finn", "gus"))
    for name in ("hal", "ida", "jim", "kim"):
        line.asks(name, Kind.PAGE)
    line.asks("third of eve", Kind.PAGE, "eve")
    line.asks("second of cleo", Kind.CHANGE, "cleo")
    line.asks("fifth", Kind.POLL, "lou")

    for who in ("dan", "finn", "gus", "cleo"):
        line.gives(who)

    assert [name for name, _ in line.ended] == ["second of cleo", "hal", "ida", "jim"]
    for who in ("bob", "bob", "cleo"):
        line.gives(who)
    assert [name for name, _ in line.ended][4:] == ["kim", "fifth", "third of eve"]


def test_a_form_takes_the_place_of_a_page_or_poll_of_the_same_account():
    line = Line(LONG | {Kind.POLL: Limit(wait=60, burst=0.5)}, ("ada", *"bcdefgh"))
    line.asks("waits", Kind.PAGE, "bob")
    line.asks("page", Kind.PAGE, "ada")
    line.now += 0.6
    line.asks("form", Kind.CHANGE, "ada")
    line.asks("second form", Kind.CHANGE, "ada")
    line.asks("begun", Kind.BEGUN, "ada")

    assert line.ended == [("second form", False)]
    for who in "bcdefg":
        line.gives(who)
    assert [name for name, _ in line.ended[1:]] == ["begun", "waits", "form", "page"]


def test_who_comes_beyond_his_share_while_others_line_stands_is_told_at_once_and_why():
    line = Line(LONG | {Kind.POLL: Limit(wait=0.1, burst=0.5)}, FLOOD)
    line.asks("waits", Kind.PAGE, "ada")
    line.now += 0.4
    line.asks("in a burst", Kind.PAGE, "eve")
    assert line.ended == []
    line.now += 0.2
    for kind in LIMITS:
        line.asks(kind.name, kind, "eve")
    line.asks("begun", Kind.BEGUN, "eve")
    line.asks("others wait", Kind.PAGE, "bob")

    assert line.ended == [("POLL", False), ("PAGE", False), ("CHANGE", False)]
    assert line.why == [Told.BUSY, Told.SHARE, Told.SHARE], "of a poll nobody finds out whose it is"
    for _ in range(5):
        line.gives()
    assert [name for name, _ in line.ended[3:]] == ["waits", "others wait", "begun", "PAID", "in a burst"]


def test_who_is_alone_may_have_all_and_hears_of_no_share():
    line = Line(LONG | {Kind.PAGE: Limit(wait=20, burst=10)}, FLOOD)
    for number in range(8):
        line.asks(f"{number}", Kind.PAGE, "eve")
    for _ in range(8):
        line.gives()
    assert line.at_work() == ["eve"] * 8
    line.asks("stands", Kind.PAGE, "eve")
    line.now += 10.1

    line.asks("too late", Kind.PAGE, "eve")

    assert line.why[8:] == [Told.BUSY]
    line.gives()


def test_who_comes_while_another_floods_is_not_judged_by_the_others_line():
    line = Line(LONG | {Kind.PAGE: Limit(wait=20, burst=10)}, FLOOD)
    line.asks("flood", Kind.PAGE, "eve")
    line.now += 10.1
    line.asks("flood, too late", Kind.PAGE, "eve")

    line.asks("a page", Kind.PAGE, "ada")

    assert line.ended == [("flood, too late", False)]
    line.gives()
    assert line.ended[1:] == [("a page", True)]
    line.gives()


def test_nobody_finds_out_whose_a_request_is_while_there_are_slots():
    queue = WorkQueue(2)
    for mine in (asker_of_nobody(), asker_of_nobody()):
        assert queue.take_free(mine)
        queue.give(mine)


def test_a_poll_that_anybody_would_be_told_to_repeat_is_not_asked_whose_it_is():
    line = Line(LONG | {Kind.POLL: Limit(wait=0.1, burst=0.5)}, FLOOD)
    line.asks("stands", Kind.PAGE, "ada")
    line.now += 0.6

    assert line.queue.wait(Kind.POLL, 60, asker_of_nobody()) is Told.BUSY
    line.gives()


def asker_of_nobody() -> Asker:
    def refuse() -> str:
        raise AssertionError

    return Asker(refuse)
