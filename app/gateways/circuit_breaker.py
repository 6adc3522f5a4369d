"""Calls to services that are not ours: how many at once, for how long, and when one is not asked at all."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, perf_counter
from typing import Any, TypeVar, cast

from app.telemetry.instruments import BREAKERS, OUTSIDE_CALLS
from app.telemetry.spans import CLIENT, span
from app.telemetry.switch import switch

log = logging.getLogger(__name__)

T = TypeVar("T")
AT_ONCE = 8  # calls of one process to one service
AT_ONCE_BY_ONE = 2  # of them for one account
FAILURES = 3  # so many within the window, and the service is left alone
WINDOW_SECONDS = 30.0
OPEN_SECONDS = 15.0  # then one call tries whether it is back


class CircuitBreaker:
    """Before one service, as one process sees it: closed while it answers, open (nobody asks it) once it does not.

    A call never keeps a request from working that does not need the service.

    `error` makes what is raised when the service does not answer, or is not asked; the same kind from the gateway
    counts as a failure, and so does an answer after `slow_seconds`. `aside` is entered while a call lasts, `who` names
    the account that it is for. Nobody waits longer than `deadline_seconds`, however slowly an answer dribbles in: then
    the call goes on by itself, and takes one of the places until it ends.
    """

    def __init__(
        self,
        name: str,
        error: type[Exception],
        *,
        deadline_seconds: float,
        slow_seconds: float,
        failures: int = FAILURES,
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
        who: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._error = error
        self._deadline_seconds = deadline_seconds
        self._slow_seconds = slow_seconds
        self._most_failures = failures
        self._aside = aside
        self._who = who
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: Counter[str | None] = Counter()
        self._failed_at: deque[float] = deque(maxlen=failures or 1)
        self._open_until: float | None = None
        BREAKERS.set(0, service=name)

    def call(self, ask: Callable[[], T]) -> T:
        """What `ask` returns or raises. Raises `error` at once when there is no place, or nothing to hope for."""
        who = self._who()
        self._admit(who)
        answer: list[T] = []
        raised: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            started = self._clock()
            try:
                answer.append(ask())
            except BaseException as error:
                raised.append(error)
            finally:
                slow = self._clock() - started > self._slow_seconds
                self._ended(who, failed=slow or any(isinstance(error, self._error) for error in raised))
                done.set()

        with self._aside():
            thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=self._name, daemon=True)
            thread.start()
            in_time = done.wait(self._deadline_seconds)
        if not in_time:
            log.error("%s did not answer within %g s", self._name, self._deadline_seconds)
            self._note(failed=True)
            raise self._error()
        if raised:
            raise raised[0]
        return answer[0]

    def measured(self, name: str, ask: Callable[[], T]) -> T:
        """`call`, and what it was and how long it took is told."""
        began, outcome = perf_counter(), "failed"
        try:
            with span(f"{self._name} {name}", CLIENT, within=True):
                found = self.call(ask)
            outcome = "ok"
            return found
        except Exception as error:
            if not isinstance(error, self._error):
                outcome = "refused"
            raise
        finally:
            OUTSIDE_CALLS.record(perf_counter() - began, service=self._name, call=name, outcome=outcome)

    def _admit(self, who: str | None) -> None:
        with self._lock:
            mine = self._under_way[who] if who is not None else 0
            now = self._clock()
            alone = self._open_until is not None and now < self._open_until
            if alone or mine >= AT_ONCE_BY_ONE or self._under_way.total() >= AT_ONCE:
                log.warning(
                    "%s is not asked: %s", self._name, "it does not answer" if alone else "too many calls at once"
                )
                raise self._error()
            if self._open_until is not None:
                self._open_until = now + OPEN_SECONDS  # for all but this call, which tries
            self._under_way[who] += 1

    def _ended(self, who: str | None, *, failed: bool) -> None:
        with self._lock:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]
        self._note(failed=failed)

    def _note(self, *, failed: bool) -> None:
        if not self._most_failures:
            return
        with self._lock:
            now = self._clock()
            if not failed:
                self._failed_at.clear()
                if self._open_until is not None:
                    self._open_until = None
                    BREAKERS.set(0, service=self._name)
                return
            self._failed_at.append(now)
            many = len(self._failed_at) == self._most_failures and now - self._failed_at[0] <= WINDOW_SECONDS
            if many or self._open_until is not None:
                self._open_until = now + OPEN_SECONDS
                BREAKERS.set(1, service=self._name)
                log.error("%s does not answer: it is left alone for %g s", self._name, OPEN_SECONDS)


def through(breaker: CircuitBreaker, gateway: T, *calls: str) -> T:
    """The gateway, with these of its methods going through `breaker`; the others make no call, or are for commands."""
    return cast("T", _Through(breaker, gateway, frozenset(calls)))


class _Through:
    def __init__(self, breaker: CircuitBreaker, gateway: object, calls: frozenset[str]) -> None:
        self._breaker = breaker
        self._gateway = gateway
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        if name not in self._calls:
            return found
        breaker = self._breaker
        if switch.on:
            return lambda *given, **named: breaker.measured(name, lambda: found(*given, **named))
        return lambda *given, **named: breaker.call(lambda: found(*given, **named))
