"""Requests that wait for a change without a thread: what a worker process keeps of them, and who looks for them.

granian hands a request to a thread, and the way to answer it as an object, which any thread may use at any later time.
So a request that asks to wait is taken over by a few threads that all waiters share, and granian's goes on to the next
one. It is run as every other; if its answer is no news, that is dropped. When what it waits for has changed, or its
time is over, the whole request is run again, from its guard on: whatever has become of its session, its task or the
store, the answer is that of a plain request at that moment. Between the two it holds no thread and no work slot, only
its connection.

granian does not tell when a client has gone before its answer. Such a waiter is forgotten at the end of its time, or
when its account has used up its places.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from app.domain.errors import RateLimited, StoreUnavailable, TooBusy
from app.domain.paging import batched
from app.domain.rate_limits import AT_ONE_TIME, Standing
from app.telemetry.instruments import WAITERS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

KEY = "dashboard.asked"  # of a request's environment: the one that may wait
PLACES = 1_500  # of a worker: as many connections as it takes, but for those that others need
PLACES_OF_ONE = 100  # of an account, in each worker
STEADY_SECONDS = 10.0  # whoever has waited for so long may be answered to make room for another of the same account
LOOK_SECONDS = 1.0
BUSY = 0.1  # the share of its time that who looks may take, however many wait
ANSWERERS = 2  # of a worker's eight work slots no more are taken by requests that ask to wait, however many come
TICK_SECONDS = 0.25  # until a drain is noticed
AT_ONCE = 20  # waits end in one second as they were asked to; of more some end earlier, by half their time at most
Look = Callable[[list[str]], Mapping[str, object]]
Run = Callable[[Any, dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Interest:
    """What a request waits for: that what `look` finds under `key` is news to it, as `is_news` says.

    `look` takes up to 100 keys and leaves out those that it could not look for; it raises StoreUnavailable. `again_in`:
    seconds after which the answer changes by itself.
    """

    account: str
    look: Look
    key: str
    is_news: Callable[[Any], bool]
    again_in: float | None = None


class Asked:
    """A request that may wait, in the place of granian's way to answer it. Its views find it under KEY."""

    def __init__(self, waiters: Waiters, run: Run, protocol: Any, scope: dict[str, Any]) -> None:
        self._waiters, self._run, self._protocol = waiters, run, protocol
        self._scope = scope
        self._next: Interest | None = None
        self.interest: Interest | None = None
        self.since: float | None = None  # when the wait began, by the clock of the waiters
        self.ends_at = 0.0
        self.is_over = False

    def answer(self) -> None:
        """Run the request: it is answered then, or it waits."""
        self._next = None
        self._run(self, self._scope | {KEY: self})

    def wait(self, interest: Interest, seconds: float) -> bool:
        """Drop what the request is being answered with now, and ask it again; False if there is no more waiting.

        Raises RateLimited or TooBusy for one that finds no place.
        """
        if not self._waiters.lets(self, interest.account, seconds):
            return False
        self._next = interest
        return True

    def standing(self, account: str) -> Standing:
        return self._waiters.standing(account)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if self._next is None:
            self._protocol.response_bytes(status, headers, body)
        else:
            self._waiters.add(self, self._next)

    def response_iter(self, status: int, headers: list[tuple[str, str]], body: Any) -> None:
        if self._next is None:
            self._protocol.response_iter(status, headers, body)
        else:
            self._waiters.add(self, self._next)
            body.close()

    def fail(self) -> None:
        """As granian answers for a thread of its own that has failed."""
        self._protocol.response_bytes(500, [], b"")


class Waiters:
    """All that wait in a worker process. `owe` is told of each that comes and goes; `is_ending` says that nobody is to
    wait any more. Its threads begin with the first that waits.
    """

    def __init__(
        self,
        owe: Callable[[int], None],
        is_ending: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
        threads: bool = True,
    ) -> None:
        self._owe, self._is_ending, self._clock = owe, is_ending, clock
        self._changed = threading.Condition()
        self._waiting: dict[Asked, None] = {}
        self._of: Counter[str] = Counter()  # how many of them are of which account
        self._ready: deque[Asked] = deque()
        self._turns: list[tuple[float, int, Asked, Interest]] = []  # a heap: when each is asked again, come what may
        self._number = count()
        self._ends: Counter[int] = Counter()  # how many waits end in which second
        self._begun = not threads
        self._stopped = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_over(self) -> bool:
        return self._stopped or self._is_ending()

    def stop(self) -> None:
        """Answer all that wait, and let nobody wait any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def standing(self, account: str) -> Standing:
        """How many more requests of an account may wait in this process."""
        return Standing("wait", PLACES_OF_ONE, left=max(0, PLACES_OF_ONE - self._of[account]), unit=AT_ONE_TIME)

    def lets(self, asked: Asked, account: str, seconds: float) -> bool:
        """Whether it may wait (on). A place is taken when its answer is dropped, so a few more than PLACES may come by
        at once; what they cost is what each costs.
        """
        now = self._clock()
        if asked.since is None:
            if not self.is_over:
                self._find_place(account, now)
            asked.since, asked.ends_at = now, self._end(now, seconds)
        return not self.is_over and not asked.is_over and now < asked.ends_at

    def _find_place(self, account: str, now: float) -> None:
        with self._changed:
            if len(self._waiting) >= PLACES:
                raise TooBusy
            if self._of[account] < PLACES_OF_ONE:
                return
            mine = [asked for asked in self._waiting if asked.interest and asked.interest.account == account]
            oldest = min(mine, key=lambda asked: asked.since or now)
            waited = now - (oldest.since or now)
            if waited < STEADY_SECONDS:
                seconds = int(STEADY_SECONDS - waited) + 1
                standing = replace(self.standing(account), resets_in=seconds)
                raise RateLimited(seconds, f"{PLACES_OF_ONE} requests of this account wait already.", standing)
            oldest.is_over = True
            self._wake([oldest])

    def _end(self, now: float, seconds: float) -> float:
        """When a wait that begins now is over. Those that began together, after a release say, do not end together:
        where many end in its second already, it goes to the one within the second half of its time that has fewest.
        """
        last = int(now + seconds)
        with self._changed:
            for passed in [second for second in self._ends if second < now - 1]:
                del self._ends[passed]
            if self._ends[last] >= AT_ONCE:
                last = min(range(last, int(now + seconds / 2), -1), key=lambda second: self._ends[second], default=last)
            self._ends[last] += 1
        return min(last + (now % 1), now + seconds)

    def begin(self, asked: Asked) -> None:
        """Take over a request that has not been run yet."""
        self._owe(1)
        with self._changed:
            self._ready.append(asked)
            self._see_to_it()

    def add(self, asked: Asked, interest: Interest) -> None:
        """Keep one whose answer was no news."""
        asked.interest = interest
        turn = asked.ends_at
        if interest.again_in is not None:
            turn = min(turn, self._clock() + interest.again_in)
        self._owe(1)
        with self._changed:
            self._waiting[asked] = None
            self._of[interest.account] += 1
            WAITERS.add(1)
            heapq.heappush(self._turns, (turn, next(self._number), asked, interest))
            self._see_to_it()

    def _see_to_it(self) -> None:
        if not self._begun:
            self._begin()
        self._changed.notify_all()

    def _begin(self) -> None:
        self._begun = True
        for number in range(ANSWERERS):
            threading.Thread(target=self._answer_on, name=f"waited-{number}", daemon=True).start()
        threading.Thread(target=self._look_on, name="waiting", daemon=True).start()

    # Who answers

    def _answer_on(self) -> None:
        while True:
            with self._changed:
                while (asked := self.due()) is None:
                    self._changed.wait(TICK_SECONDS if self._waiting else None)
            self.answer(asked)

    def due(self) -> Asked | None:
        """Take out one that is to be asked again: what it waits for has changed, or its turn has come, or nobody is to
        wait any more.
        """
        with self._changed:
            if self._ready:
                return self._ready.popleft()
            if self.is_over:
                return self._take(next(iter(self._waiting), None))
            while self._turns and (self._turns[0][0] <= self._clock() or not self._still(self._turns[0])):
                turn = heapq.heappop(self._turns)
                if self._still(turn):
                    return self._take(turn[2])
            return None

    def _still(self, turn: tuple[float, int, Asked, Interest]) -> bool:
        return turn[2] in self._waiting and turn[2].interest is turn[3]

    def _take(self, asked: Asked | None) -> Asked | None:
        if asked is not None:
            del self._waiting[asked]
            if asked.interest:
                self._of[asked.interest.account] -= 1
                if not self._of[asked.interest.account]:
                    del self._of[asked.interest.account]
            WAITERS.add(-1)
        return asked

    def answer(self, asked: Asked) -> None:
        try:
            asked.answer()
        except Exception:
            log.exception("unexpected error")
            asked.fail()
        finally:
            self._owe(-1)

    # Who looks

    def _look_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
            begun = time.monotonic()
            self.look()
            took = time.monotonic() - begun
            time.sleep(max(LOOK_SECONDS, took / BUSY - took))

    def look(self) -> None:
        """Ask once for all that anybody waits for, and wake those for whom something has changed."""
        wanted: dict[Look, dict[str, list[tuple[Asked, Interest]]]] = {}
        with self._changed:
            for asked in self._waiting:
                if interest := asked.interest:
                    wanted.setdefault(interest.look, {}).setdefault(interest.key, []).append((asked, interest))
        for look, by_key in wanted.items():
            for keys in batched(by_key, 100):
                try:
                    found = look(keys)
                except StoreUnavailable:  # the store's client has said so; the answer in the end will, too
                    continue
                except Exception:
                    log.exception("unexpected error")
                    continue
                who = [one for key in keys if key in found for one in by_key[key] if one[1].is_news(found[key])]
                with self._changed:
                    self._wake(asked for asked, interest in who if asked.interest is interest)

    def _wake(self, who: Iterable[Asked]) -> None:
        for asked in who:
            if asked in self._waiting and self._take(asked):
                self._ready.append(asked)
        self._changed.notify_all()


def with_waiters(plain: Callable[..., Run], waiters: Waiters) -> Callable[..., Run]:
    """granian's wrapper of a WSGI app, by which requests that ask for it may wait; all others go the way they went. So
    does one that brings a body: who dribbles holds a thread of granian's, and none that the waiters share.
    """

    def wrap(app: WSGIApplication, *options: Any) -> Run:
        run = plain(app, *options)

        def answer(protocol: Any, scope: dict[str, Any]) -> Any:
            if "wait=" in scope["QUERY_STRING"] and may_wait(scope):
                return waiters.begin(Asked(waiters, run, protocol, scope))
            return run(protocol, scope)

        return answer

    return wrap


def may_wait(scope: dict[str, Any]) -> bool:
    has_body = "CONTENT_LENGTH" in scope or "HTTP_TRANSFER_ENCODING" in scope
    return scope["REQUEST_METHOD"] == "GET" and scope["PATH_INFO"].startswith("/api/") and not has_body
