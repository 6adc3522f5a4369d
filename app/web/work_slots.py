"""How many requests a worker process works on at once; those whose body is still arriving do not count.

granian has no time limit for bodies (https://github.com/emmett-framework/granian/issues/728): a client that sends its
headers and then dribbles holds a thread for as long as it likes. So the server has a thread for each connection that it
takes (they are made when they are needed), and this keeps the number of those at work as small as it should be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Condition, local
from time import monotonic
from typing import TYPE_CHECKING

from app.domain.accounts import mask_email
from app.domain.errors import MoreThanItsShare, PlacesTaken, TooBusy
from app.telemetry.instruments import SLOTS_REFUSED, SLOTS_USED, SLOTS_WAITING
from app.web import poll_pace, probes
from app.web.arriving import ArrivingBody
from app.web.work_queue import LIMITS, NOBODY, Asker, Kind, Limit, Told, WorkQueue, kind_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 8.0  # at most (app/web/work_queue.py); with what the request itself takes, 12 s of the threat table
FREE = frozenset(probes.PATHS)  # a balancer must not take a busy server for a dead one
FILES = "/static/"  # they need no store
WHY = {Told.BUSY: TooBusy, Told.SHARE: MoreThanItsShare}
NO_SLOT = "app.no_slot"  # in the environ of a request that is only told to come again: why
REFUSALS = 2  # that many of those at once: what they hold of a person's words is read, and given back
PLACES = 2  # for searches and files
NOT_NOW = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Retry-After", str(TooBusy.retry_after_seconds)),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)
TOLD_EVERY_SECONDS = 60.0  # of an account, by one process
MOST_TOLD = 1_000  # accounts
SLOTS = 8  # a request mostly waits for the store; more threads at once only take turns


def is_free(path: str) -> bool:
    """Whether it is answered without a slot."""
    return path in FREE or path.startswith(FILES)


class Slots:
    """What a request at work holds, and gives away while it does nothing that another one would have to wait for."""

    def __init__(
        self,
        count: int = SLOTS,
        patience_seconds: float = PATIENCE_SECONDS,
        *,
        limits: Mapping[Kind, Limit] = LIMITS,
        measured: bool = True,
    ) -> None:
        self._measured = measured
        self._queue = WorkQueue(count, limits)
        self._patience_seconds = patience_seconds
        self._mine = local()

    @contextmanager
    def held(self, kind: Kind = Kind.BEGUN, asker: Asker = NOBODY) -> Iterator[Told]:
        """Whether there was a slot within the time that its kind may wait; without one nothing is done."""
        told = self._take(kind, asker)
        if not told:
            yield told
            return
        self._mine.held, self._mine.asker = True, asker
        try:
            yield told
        finally:
            if self._mine.held:
                self._mine.held = False
                self._give(asker)

    def are_waited_for(self) -> bool:
        """Whether a line for them has stood for longer than a burst."""
        return self._queue.stands()

    @contextmanager
    def given_away(self) -> Iterator[None]:
        """Inside the block others may work. Outside of requests, and in threads that hold none, nothing happens.

        Afterwards it waits for a slot as long as at its beginning, then goes on without: what has happened meanwhile, a
        refund at Stripe say, must be written down.
        """
        if not getattr(self._mine, "held", False):
            yield
            return
        asker = self._mine.asker
        self._mine.held = False
        self._give(asker)
        try:
            yield
        finally:
            self._mine.held = bool(self._take(Kind.BEGUN, asker))

    def _take(self, kind: Kind = Kind.BEGUN, asker: Asker = NOBODY) -> Told:
        told = Told.SERVED if self._queue.take_free(asker) else self._wait(kind, asker)
        if self._measured and told:
            SLOTS_USED.add(1)
        return told

    def _wait(self, kind: Kind, asker: Asker) -> Told:
        if self._measured:
            SLOTS_WAITING.add(1)
        try:
            return self._queue.wait(kind, self._patience_seconds, asker)
        finally:
            if self._measured:
                SLOTS_WAITING.add(-1)

    def _give(self, asker: Asker = NOBODY) -> None:
        if self._measured:
            SLOTS_USED.add(-1)
        self._queue.give(asker)


class Places:
    """Few places for what costs many times a page, beside the common slots: those stay free for everybody else.

    One account has one place at a time, so that nobody waits for all that somebody else has asked for at once.
    """

    def __init__(self, slots: Slots, count: int = PLACES, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._slots = slots
        self._free = count
        self._patience_seconds = patience_seconds
        self._served: set[str] = set()
        self._changed = Condition()

    @contextmanager
    def held(self, who: str, what: str) -> Iterator[None]:
        """Raises PlacesTaken, naming what is busy, when none comes free within the time that a person waits."""
        with self._slots.given_away():
            self._take(who, what)
            try:
                yield
            finally:
                with self._changed:
                    self._free += 1
                    self._served.discard(who)
                    self._changed.notify_all()

    def _take(self, who: str, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._free > 0 and who not in self._served, timeout=self._patience_seconds
            ):
                raise PlacesTaken(what)
            self._free -= 1
            self._served.add(who)


class WorkSlots:
    """Around everything that could read the body, within what finds out the visitor's address."""

    def __init__(self, app: WSGIApplication, slots: Slots, whose: Callable[[WSGIEnvironment], str]) -> None:
        """`whose` says which account asks, by what the request itself proves, or which address."""
        self._app = app
        self._slots = slots
        self._whose = whose
        self._refusals = Slots(REFUSALS, patience_seconds=1.0, measured=False)
        self._told_at: dict[str, float] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("CONTENT_LENGTH"):
            # The server hands on what has come of a body that breaks off as if it were the whole. Without this promise
            # Werkzeug counts, and half a form is refused instead of charged.
            environ.pop("wsgi.input_terminated", None)
        if is_free(environ.get("PATH_INFO", "")):
            return self._app(environ, start_response)
        kind, asker = kind_of(environ), Asker(partial(self._whose, environ))
        polled = kind is Kind.POLL and poll_pace.TAG in environ  # by a page
        with self._slots.held(kind, asker) as told:
            if told:
                environ["wsgi.input"] = ArrivingBody(environ["wsgi.input"], self._slots.given_away)
                if polled:
                    start_response = poll_pace.telling(start_response, environ, loaded=self._slots.are_waited_for())
                return self._app(environ, start_response)
        SLOTS_REFUSED.add(kind=kind.name.lower(), why=told.name.lower())
        if told is Told.SHARE:
            self._tell_of(asker.who, kind)
        if polled:
            return _not_now(poll_pace.telling(start_response, environ, loaded=True), told)
        return self._refuse(environ, start_response, told)

    def _tell_of(self, who: str, kind: Kind) -> None:
        """Who asks for more than his share, once in a while: of one program's refusals there may be many."""
        now = monotonic()
        if now - self._told_at.get(who, float("-inf")) < TOLD_EVERY_SECONDS:
            return
        if who not in self._told_at and len(self._told_at) >= MOST_TOLD:
            self._told_at.clear()
        self._told_at[who] = now
        log.warning("more than its share", extra={"email": masked(who), "kind": kind.name.lower()})

    def _refuse(self, environ: WSGIEnvironment, start_response: StartResponse, why: Told) -> Iterable[bytes]:
        """503 for who found no slot, by the app: it asks no store and does nothing, but gives back what was typed.

        Who finds none of the few places for that goes on all the same: a text must not be lost.
        """
        with self._refusals.held():
            environ["wsgi.input"] = ArrivingBody(environ["wsgi.input"], self._refusals.given_away)
            return self._app(environ | {NO_SLOT: why}, start_response)


def masked(who: str) -> str | None:
    """For a log: an account; None for a stranger, whose address is nobody's business."""
    return mask_email(who) if "@" in who else None


def _not_now(start_response: StartResponse, why: Told) -> Iterable[bytes]:
    """503 for a page that asks by itself. It shows nothing of it and asks again (app/static/app.js), so this costs a
    hundredth of an answer by the app: of these there are the most."""
    log.warning("refused", extra={"code": TooBusy.code, "status": 503, "kind": Kind.POLL.name.lower()})
    words = WHY[why].message.encode()
    start_response("503 Service Unavailable", [*NOT_NOW, ("Content-Length", str(len(words)))])
    return [words]
