"""Who waits for a work slot, in which order slots are given, and who is told to come again instead of waiting.

While more is asked than can be done, a line in which everybody waits long serves nobody: so where the line stands, only
those wait who will be served soon, and the others hear 503 at once. After CoDel (https://www.rfc-editor.org/rfc/rfc8289),
which tells a line that stands from a burst, and judges by how long one waited, not by how many wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PAID_AT = "/api/stripe/webhook"


class Kind(IntEnum):
    """What a request is for. The higher is served first, and told to come again last."""

    POLL = 0  # asks by itself whether anything has changed, and will again
    PAGE = 1  # somebody looks at something
    CHANGE = 2  # somebody does something: a form, a call that writes
    PAID = 3  # Stripe tells of money
    BEGUN = 4  # has had a slot and gave it away meanwhile: never told to come again


@dataclass(frozen=True)
class Limit:
    """Seconds. No one waits longer than `wait` once the line has stood, never empty, for `burst`."""

    wait: float
    burst: float


LIMITS = {
    Kind.POLL: Limit(wait=0.1, burst=0.5),
    Kind.PAGE: Limit(wait=0.4, burst=1.0),
    Kind.CHANGE: Limit(wait=0.8, burst=4.0),
    Kind.PAID: Limit(wait=2.0, burst=8.0),
}


def kind_of(environ: WSGIEnvironment) -> Kind:
    """By what stands in front of a body: nothing is read for it, and nothing is believed that would let anybody in."""
    path = environ.get("PATH_INFO", "")
    if path == PAID_AT:
        return Kind.PAID
    if environ.get("REQUEST_METHOD", "GET") not in ("GET", "HEAD"):
        return Kind.CHANGE
    asks_again = "HTTP_IF_NONE_MATCH" in environ and path.startswith("/api/")
    return Kind.POLL if asks_again or "HTTP_HX_PTAG" in environ else Kind.PAGE


class _Waiting:
    """One in the line. `told` is released when it is served or sent away, by whoever gives a slot."""

    __slots__ = ("served", "since", "told", "until")

    def __init__(self, since: float, until: float) -> None:
        self.since, self.until = since, until
        self.served = False
        self.told = Lock()
        self.told.acquire()


class WorkQueue:
    """`count` slots and a line for each kind. A slot that comes free is handed to one that waits; no other wakes."""

    def __init__(
        self, count: int, limits: Mapping[Kind, Limit] = LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._free = count  # while it is more than 0 nobody waits
        self._limits = limits
        self._clock = clock
        self._lines: tuple[deque[_Waiting], ...] = tuple(deque() for _ in Kind)
        self._stands_since = 0.0
        self._lock = Lock()

    def take_free(self) -> bool:
        """A slot if one is free."""
        with self._lock:
            if not self._free:
                return False
            self._free -= 1
            return True

    def wait(self, kind: Kind, patience_seconds: float) -> bool:
        """A slot, maybe after a while. False: none within `patience_seconds`, or sooner by the limits of its kind."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            now = self._clock()
            if not any(self._lines):
                self._stands_since = now
            until = min(now + patience_seconds, self._waits_until(kind, now))
            if until <= now:
                return False
            mine = _Waiting(now, until)
            self._lines[kind].append(mine)
        if not mine.told.acquire(timeout=until - now):
            with self._lock:
                if mine in self._lines[kind]:  # or it was told in this very moment
                    self._lines[kind].remove(mine)
        return mine.served

    def give(self) -> None:
        """Hand a slot on: to the highest kind, there to who has waited longest; whose time is over is sent away."""
        with self._lock:
            now = self._clock()
            for line in reversed(self._lines):
                while line:
                    first = line.popleft()
                    first.served = first.until > now
                    first.told.release()
                    if first.served:
                        return
            self._free += 1

    def stands(self) -> bool:
        """Whether somebody has waited in every moment for so long that polls are told to come again.

        By no lock: it is asked at each poll, and nothing hangs on it but when the next one comes.
        """
        return any(self._lines) and self._clock() - self._stands_since >= self._limits[Kind.POLL].burst

    def _waits_until(self, kind: Kind, now: float) -> float:
        """`now` for one that would wait in vain: those before it have waited half of what it may themselves."""
        limit = self._limits.get(kind)
        if limit is None:
            return float("inf")
        burst_ends = self._stands_since + limit.burst
        before = max((now - line[0].since for line in self._lines[kind : Kind.BEGUN] if line), default=0.0)
        if now >= burst_ends and before >= limit.wait / 2:
            return now
        return max(now + limit.wait, burst_ends)
