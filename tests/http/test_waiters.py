"""Who waits, for how long, and who looks for all of them: by a clock that stands still, without a server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.domain.errors import DomainError, StoreUnavailable, TooBusy
from app.telemetry.instruments import WAITERS
from app.web import waiters as waiting
from app.web.waiters import KEY, Asked, Interest, Waiters, may_wait


class Answers:
    """What granian hands over with a request: the answer of this one, once there is one."""

    def __init__(self) -> None:
        self.given: list[tuple[int, Any]] = []
        self.closed = 0

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.given.append((status, body))

    def response_iter(self, status: int, headers: list[tuple[str, str]], body: Any) -> None:
        self.given.append((status, body))
        body.close()

    def close(self) -> None:
        self.closed += 1


@dataclass
class Worker:
    """An app whose one call answers with what stands under a key, and waits while that is as it was told at first."""

    now: float = 1_000.0
    ending: bool = False
    owed: int = 0
    rows: dict[str, object] = field(default_factory=lambda: {"one": 1, "two": 1})
    looks: list[list[str]] = field(default_factory=list)
    again_in: float | None = None
    unwell: bool = False
    left_out: bool = False

    def __post_init__(self) -> None:
        self.waiters = Waiters(self.owe, lambda: self.ending, clock=lambda: self.now, threads=False)

    def owe(self, by: int) -> None:
        self.owed += by

    def look(self, keys: list[str]) -> dict[str, object]:
        self.looks.append(keys)
        if self.unwell:
            raise StoreUnavailable
        return {} if self.left_out else {key: self.rows.get(key) for key in keys}

    def ask(self, key: str = "one", seconds: float = 30, account: str = "ada") -> Answers:
        answers, mark = Answers(), self.rows[key]

        def run(asked: Asked, scope: dict[str, Any]) -> None:
            assert scope[KEY] is asked
            found, interest = self.rows[key], Interest(account, self.look, key, lambda it: it != mark, self.again_in)
            if found == "broken":
                raise RuntimeError("broken")
            try:
                waits = found == mark and scope[KEY].wait(interest, seconds)
            except DomainError as error:
                asked.response_bytes(429, [], error.message.encode())
                return
            asked.response_iter(304 if waits or found == mark else 200, [], answers)

        self.waiters.begin(Asked(self.waiters, run, answers, {}))
        self.go_on()
        return answers

    def go_on(self) -> None:
        """Answer all whose turn has come."""
        while (asked := self.waiters.due()) is not None:
            self.waiters.answer(asked)

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.go_on()


def test_one_look_for_all_wakes_whom_a_change_concerns(monkeypatch):
    told: list[float] = []
    monkeypatch.setattr(WAITERS, "told", lambda amount, labels: told.append(amount))
    worker = Worker()
    ones, twos = [worker.ask("one") for _ in range(40)], [worker.ask("two") for _ in range(40)]
    worker.waiters.look()
    worker.go_on()
    assert not any(answers.given for answers in [*ones, *twos])
    assert sum(told) == 80

    worker.rows["two"] = 2
    worker.waiters.look()
    worker.go_on()

    assert [sorted(keys) for keys in worker.looks] == [["one", "two"]] * 2
    assert {answers.given[0][0] for answers in twos} == {200}
    assert not any(answers.given for answers in ones)
    assert (worker.owed, len(worker.waiters), sum(told)) == (40, 40, 40)
    assert {answers.closed for answers in twos} == {2}  # what was dropped, and what was given


def test_a_wait_ends_at_its_time_and_many_that_began_together_do_not_end_together():
    worker = Worker()
    few = [worker.ask(account=str(number)) for number in range(10)]
    worker.after(29)
    assert not any(answers.given for answers in few)
    worker.after(1)
    assert {answers.given[0][0] for answers in few} == {304}

    many = [worker.ask(account=str(number)) for number in range(600)]
    ends: Counter[int] = Counter()
    for second in range(1, 31):
        before = sum(len(answers.given) for answers in many)
        worker.after(1)
        ends[second] = sum(len(answers.given) for answers in many) - before

    assert min(second for second, number in ends.items() if number) >= 15
    assert max(ends.values()) <= 2 * 600 / 15
    assert (sum(ends.values()), worker.owed, len(worker.waiters)) == (600, 0, 0)


def test_an_answer_that_changes_by_itself_is_asked_again_then_and_waits_on():
    worker = Worker(again_in=10)
    answers = worker.ask()
    worker.after(10)
    assert (answers.given, answers.closed) == ([], 2)

    worker.rows["one"] = 2
    worker.after(10)

    assert answers.given[0][0] == 200


@pytest.mark.threat(151)
def test_an_account_has_its_places_and_who_has_waited_long_makes_room(monkeypatch):
    monkeypatch.setattr(waiting, "PLACES_OF_ONE", 3)
    worker = Worker()
    mine = [worker.ask() for _ in range(3)]
    worker.after(4)

    refused, other = worker.ask(), worker.ask(account="bob")
    assert refused.given[0][0] == 429
    assert b"Try again in 7 seconds" in refused.given[0][1]
    assert not other.given

    worker.after(6)
    assert not worker.ask().given
    assert [[status for status, _ in answers.given] for answers in mine] == [[304], [], []]
    assert len(worker.waiters) == worker.owed == 4
    assert [worker.waiters.standing(account).left for account in ("ada", "bob", "eve")] == [0, 2, 3]


@pytest.mark.threat(151)
def test_a_worker_has_its_places(monkeypatch):
    monkeypatch.setattr(waiting, "PLACES", 2)
    worker = Worker()
    for account in ("ada", "bob"):
        worker.ask(account=account)

    assert worker.ask(account="eve").given[0] == (429, TooBusy.message.encode())


def test_who_has_been_let_in_waits_on_where_no_place_is_free(monkeypatch):
    worker = Worker(again_in=5)
    answers = worker.ask()
    monkeypatch.setattr(waiting, "PLACES", 0)

    worker.after(5)

    assert (answers.given, len(worker.waiters)) == ([], 1)


@pytest.mark.parametrize("how", ["drain", "stop"])
def test_at_the_end_all_are_answered_and_nobody_waits_any_more(how):
    worker = Worker()
    waits = [worker.ask() for _ in range(5)]

    if how == "drain":
        worker.ending = True
    else:
        worker.waiters.stop()
    worker.go_on()

    assert [answers.given[0][0] for answers in [*waits, worker.ask()]] == [304] * 6
    assert worker.owed == 0


def test_a_store_that_does_not_answer_ends_no_wait_nor_does_one_that_leaves_something_out(caplog):
    worker = Worker(unwell=True)
    answers = worker.ask()
    worker.waiters.look()
    worker.go_on()
    assert not answers.given

    worker.unwell, worker.left_out = False, True
    worker.waiters.look()
    worker.go_on()
    assert not answers.given
    assert "unexpected error" not in caplog.text

    worker.after(30)

    assert answers.given[0][0] == 304


def test_a_request_that_breaks_is_a_500_and_nothing_is_owed(caplog):
    worker = Worker()
    answers = worker.ask()
    worker.rows["one"] = "broken"

    worker.waiters.look()
    worker.go_on()

    assert (answers.given, worker.owed) == ([(500, b"")], 0)
    assert "unexpected error" in caplog.text


@pytest.mark.threat(151)
@pytest.mark.parametrize(
    ("changed", "may"),
    [
        ({}, True),
        ({"REQUEST_METHOD": "POST"}, False),
        ({"REQUEST_METHOD": "HEAD"}, False),
        ({"PATH_INFO": "/dashboard"}, False),
        ({"CONTENT_LENGTH": "5"}, False),  # who dribbles holds none of the threads that all waiters share
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, False),
    ],
)
def test_only_a_read_of_the_api_without_a_body_may_wait(changed, may):
    assert may_wait({"REQUEST_METHOD": "GET", "PATH_INFO": "/api/tasks/1"} | changed) is may
