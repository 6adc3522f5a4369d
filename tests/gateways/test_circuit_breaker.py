"""Calls to services that are not ours: places, patience, and leaving alone who does not answer."""

from __future__ import annotations

import threading

import pytest

from app.domain.errors import PaymentsUnavailable
from app.gateways.circuit_breaker import (
    AT_ONCE,
    AT_ONCE_BY_ONE,
    FAILURES,
    OPEN_SECONDS,
    WINDOW_SECONDS,
    CircuitBreaker,
    through,
)
from app.web.work_slots import Slots

pytestmark = pytest.mark.threat(102)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock=None, **more) -> CircuitBreaker:
    settings = {"deadline_seconds": 5, "slow_seconds": 5, "clock": clock or Clock()} | more
    return CircuitBreaker("Stripe", PaymentsUnavailable, **settings)


def fail():
    raise PaymentsUnavailable


def refused(stripe: CircuitBreaker) -> bool:
    """Whether the service is not even asked."""
    asked = []
    try:
        stripe.call(lambda: asked.append(1))
    except PaymentsUnavailable:
        return not asked
    return False


def fail_often(stripe: CircuitBreaker, times: int = FAILURES) -> None:
    for _ in range(times):
        with pytest.raises(PaymentsUnavailable):
            stripe.call(fail)


def test_answer_and_error_of_the_service_come_through():
    stripe = breaker()

    assert stripe.call(lambda: 7) == 7
    with pytest.raises(KeyError):
        stripe.call(lambda: {}["missing"])


def test_service_is_left_alone_after_failures_and_tried_by_one_call_later():
    clock = Clock()
    stripe = breaker(clock)
    fail_often(stripe, FAILURES - 1)
    assert not refused(stripe)  # an answer forgets the failures before
    fail_often(stripe)

    assert refused(stripe)
    clock.now += OPEN_SECONDS
    with pytest.raises(PaymentsUnavailable):
        stripe.call(lambda: (refused(stripe), fail())[1])
    assert refused(stripe)
    clock.now += OPEN_SECONDS
    assert stripe.call(lambda: refused(stripe)) is True  # while one tries, nobody else does
    assert not refused(stripe)


def test_failures_far_apart_are_no_breakdown():
    clock = Clock()
    stripe = breaker(clock)
    for _ in range(2 * FAILURES):
        fail_often(stripe, 1)
        clock.now += WINDOW_SECONDS

    assert not refused(stripe)


def test_refusals_of_a_service_that_answers_are_no_failures():
    stripe = breaker()
    for _ in range(2 * FAILURES):
        with pytest.raises(ValueError, match="card"):
            stripe.call(lambda: int("card"))

    assert not refused(stripe)


def test_slow_answers_count_as_failures():
    clock = Clock()
    stripe = breaker(clock)
    for _ in range(FAILURES):
        assert stripe.call(lambda: setattr(clock, "now", clock.now + 6)) is None

    assert refused(stripe)


def test_nobody_waits_beyond_the_deadline_and_the_place_is_free_when_the_call_has_ended():
    end = threading.Event()
    ended = threading.Event()
    stripe = breaker(deadline_seconds=0.05, who=lambda: "ada")

    def dribble():
        end.wait()
        ended.set()

    for _ in range(AT_ONCE_BY_ONE):
        with pytest.raises(PaymentsUnavailable):
            stripe.call(dribble)
    assert refused(stripe)
    end.set()
    ended.wait()
    for thread in threading.enumerate():
        if thread.name == "Stripe":
            thread.join()

    assert not refused(stripe)


@pytest.mark.parametrize(("names", "places"), [(["ada"] * AT_ONCE, AT_ONCE_BY_ONE), (list("abcdefghij"), AT_ONCE)])
def test_calls_at_once_are_capped_for_an_account_and_in_all(names, places):
    name = threading.local()
    end = threading.Event()
    stripe = breaker(who=lambda: name.value)
    answers = []
    settled = threading.Semaphore(0)

    def poll(who: str) -> None:
        name.value = who
        try:
            stripe.call(lambda: (settled.release(), end.wait()))
            answers.append("answered")
        except PaymentsUnavailable:
            answers.append("refused")
            settled.release()

    threads = [threading.Thread(target=poll, args=(who,)) for who in names]
    for thread in threads:
        thread.start()
    for _ in threads:
        settled.acquire()
    end.set()
    for thread in threads:
        thread.join()

    assert answers.count("answered") == places
    assert len(answers) == len(names)


def test_a_call_holds_no_work_slot_and_goes_on_without_one_when_all_are_taken_afterwards():
    slots = Slots(count=1, patience_seconds=0.05)
    stripe = breaker(aside=slots.given_away)
    taken, end = threading.Event(), threading.Event()

    def other() -> None:
        with slots.held() as mine:
            assert mine
            taken.set()
            end.wait()

    thread = threading.Thread(target=other)
    with slots.held():
        stripe.call(lambda: (thread.start(), taken.wait(5)))  # another request works while Stripe is asked
        assert taken.is_set()
    end.set()
    thread.join()
    with slots.held() as mine:
        assert mine  # exactly as many slots as before


def test_only_calls_go_through():
    class Gateway:
        name = "a name"

        def ask(self, what, *, loudly):
            return what, loudly

        def link(self):
            return "no call"

    stripe = breaker()
    gateway = through(stripe, Gateway(), "ask")
    assert gateway.ask("x", loudly=True) == ("x", True)
    fail_often(stripe)

    with pytest.raises(PaymentsUnavailable):
        gateway.ask("x", loudly=True)
    assert (gateway.link(), gateway.name) == ("no call", "a name")
