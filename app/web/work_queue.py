"""Who waits for a work slot, in which order slots are given, and who is told to come again instead of waiting.

While more is asked than can be done, a line in which everybody waits long serves nobody: so where the line stands, only
those wait who will be served soon, and the others hear 503 at once. After CoDel (https://www.rfc-editor.org/rfc/rfc8289),
which tells a line that stands from a burst, and judges by how long one waited, not by how many wait.

While accounts wait for each other each has a share of the slots, and who has his waits in a second line, behind all
whose share is free: a hundred requests of one account do not keep another's one waiting. Where others do not wait, an
account may have all slots.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PAID_AT = "/api/stripe/webhook"
LEAST = 2  # slots of an account's share, however many accounts there are: a page, and what is asked beside it


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


class Told(Enum):
    """What became of who asked for a slot; true for who has one."""

    SERVED = auto()
    BUSY = auto()  # more is asked than can be done
    SHARE = auto()  # more is asked than can be done, and by this account more than its share

    def __bool__(self) -> bool:
        return self is Told.SERVED


class Asker:
    """Whose a request is. Where there are slots for all nobody has to know, so it is found out when it matters."""

    __slots__ = ("_find", "_who")

    def __init__(self, find: Callable[[], str]) -> None:
        self._find = find
        self._who: str | None = None

    @property
    def who(self) -> str:
        if self._who is None:
            self._who = self._find()
        return self._who


NOBODY = Asker(str)  # where slots are asked for by nobody's request


class _Waiting:
    """One in a line. `told` is released when it is served or sent away, by whoever gives a slot."""

    __slots__ = ("asker", "kind", "served", "since", "told", "until")

    def __init__(self, asker: Asker, kind: Kind, since: float, until: float) -> None:
        self.asker, self.kind = asker, kind
        self.since, self.until = since, until
        self.served = False
        self.told = Lock()
        self.told.acquire()


class _Line:
    """Those that wait: the highest kind first, of one kind who has waited longest."""

    def __init__(self, limits: Mapping[Kind, Limit]) -> None:
        self._limits = limits
        self._kinds: tuple[deque[_Waiting], ...] = tuple(deque() for _ in Kind)
        self._stands_since = 0.0
        self.of: Counter[str] = Counter()  # how many of whom

    def __len__(self) -> int:
        return sum(map(len, self._kinds))

    def stands(self, now: float) -> bool:
        """Whether somebody has waited in every moment for so long that polls are told to come again."""
        return any(self._kinds) and now - self._stands_since >= self._limits[Kind.POLL].burst

    def waits_until(self, kind: Kind, now: float) -> float:
        """`now` for one that would wait in vain: those before it have waited half of what it may themselves."""
        limit = self._limits.get(kind)
        if limit is None:
            return float("inf")
        burst_ends = (self._stands_since if any(self._kinds) else now) + limit.burst
        before = max((now - line[0].since for line in self._kinds[kind : Kind.BEGUN] if line), default=0.0)
        if now >= burst_ends and before >= limit.wait / 2:
            return now
        return max(now + limit.wait, burst_ends)

    def add(self, one: _Waiting) -> None:
        if not any(self._kinds):
            self._stands_since = one.since
        self._kinds[one.kind].append(one)
        self.of[one.asker.who] += 1

    def remove(self, one: _Waiting) -> None:
        """If it is there."""
        if one in self._kinds[one.kind]:
            self._kinds[one.kind].remove(one)
            self._forget(one)

    def next(self, now: float) -> _Waiting | None:
        """Who is to be served. Whose time is over is sent away."""
        for line in reversed(self._kinds):
            while line:
                first = line.popleft()
                self._forget(first)
                if first.until > now:
                    return first
                first.told.release()
        return None

    def first_of(self, who: str) -> _Waiting | None:
        if who not in self.of:
            return None
        return next(one for line in reversed(self._kinds) for one in line if one.asker.who == who)

    def lowest_of(self, who: str, below: Kind) -> _Waiting | None:
        """Of a kind below that, who has come last."""
        if who not in self.of:
            return None
        return next((one for line in self._kinds[:below] for one in reversed(line) if one.asker.who == who), None)

    def _forget(self, one: _Waiting) -> None:
        self.of[one.asker.who] -= 1
        if not self.of[one.asker.who]:
            del self.of[one.asker.who]


class WorkQueue:
    """`count` slots and the lines for them. A slot that comes free is handed to one that waits; no other wakes."""

    def __init__(
        self, count: int, limits: Mapping[Kind, Limit] = LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._at_work: list[Asker] = []  # while they are fewer than `count` nobody waits
        self._line, self._beyond = _Line(limits), _Line(limits)  # within their shares, and beyond them
        self._clock = clock
        self._lock = Lock()

    def take_free(self, asker: Asker = NOBODY) -> bool:
        """A slot if one is free."""
        with self._lock:
            if len(self._at_work) >= self._count:
                return False
            self._at_work.append(asker)
            return True

    def wait(self, kind: Kind, patience_seconds: float, asker: Asker = NOBODY) -> Told:
        """A slot, maybe after a while: within `patience_seconds`, or sooner by the limits of its kind.

        Who has his share of the slots already waits as long as there is hope; where others' line stands there is none.
        What was begun, and what Stripe tells, is never sent away for that.
        """
        if kind is Kind.POLL and self._sends_polls_away():
            return Told.BUSY  # whosever it is: there are many of these, and to find that out costs more than the rest
        who = asker.who
        with self._lock:
            if len(self._at_work) < self._count:
                self._at_work.append(asker)
                return Told.SERVED
            now = self._clock()
            share = self._share(who)
            line = self._line if self._has(who) < share or self._steps_back(who, kind, now) else self._beyond
            told = Told.SHARE if line is self._beyond and share < self._count else Told.BUSY
            until = min(now + patience_seconds, line.waits_until(kind, now))
            if until <= now or (line is self._beyond and kind < Kind.PAID and self._line.stands(now)):
                return told
            mine = _Waiting(asker, kind, now, until)
            line.add(mine)
        if not mine.told.acquire(timeout=until - now):
            with self._lock:
                for each in (self._line, self._beyond):
                    each.remove(mine)  # or it was told in this very moment
        return Told.SERVED if mine.served else told

    def give(self, asker: Asker = NOBODY) -> None:
        """Hand a slot on: to who has waited within his share, then to who has waited beyond it."""
        with self._lock:
            self._at_work.remove(asker)
            now = self._clock()
            if self._beyond.of:
                self._let_within(asker.who, now)
            following = self._line.next(now) or self._beyond.next(now)
            if following is not None:
                self._at_work.append(following.asker)
                following.served = True
                following.told.release()

    def stands(self) -> bool:
        """Whether a line has stood for so long that polls are told to come again.

        By no lock: it is asked at each poll, and nothing hangs on it but when the next one comes.
        """
        now = self._clock()
        return self._line.stands(now) or self._beyond.stands(now)

    def _sends_polls_away(self) -> bool:
        with self._lock:
            now = self._clock()
            return len(self._at_work) >= self._count and self._line.waits_until(Kind.POLL, now) <= now

    def _let_within(self, who: str, now: float) -> None:
        """One of its share has come free: the first that waits beyond it waits within it from now on."""
        first = self._beyond.first_of(who)
        if first is not None and self._has(who) < self._share(who):
            self._beyond.remove(first)
            first.since = now
            self._line.add(first)

    def _steps_back(self, who: str, kind: Kind, now: float) -> bool:
        """Whether something lower of this account has left its place: a form goes before one's own pages."""
        lower = self._line.lowest_of(who, kind)
        if lower is None:
            return False
        self._line.remove(lower)
        lower.since = now
        self._beyond.add(lower)
        return True

    def _has(self, who: str) -> int:
        """How much of its share an account holds or waits for."""
        return sum(each.who == who for each in self._at_work) + self._line.of[who]

    def _share(self, who: str) -> int:
        """The slots, divided by the accounts that hold one or wait for it."""
        if len(self._line.of) >= self._count // LEAST:
            return LEAST
        accounts = {each.who for each in self._at_work} | self._line.of.keys() | {who}
        return max(LEAST, self._count // len(accounts))
