"""How many requests a worker process works on at once; those whose body is still arriving do not count.

granian has no time limit for bodies (https://github.com/emmett-framework/granian/issues/728): a client that sends its
headers and then dribbles holds a thread for as long as it likes. So the server has a thread for each connection that it
takes (they are made when they are needed), and this keeps the number of those at work as small as it should be.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Condition, local
from typing import TYPE_CHECKING

from app.domain.errors import PlacesTaken, TooBusy
from app.telemetry.instruments import SLOTS_REFUSED, SLOTS_USED, SLOTS_WAITING
from app.web import poll_pace, probes
from app.web.arriving import ArrivingBody
from app.web.work_queue import Kind, WorkQueue, kind_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 8.0  # at most (app/web/work_queue.py); with what the request itself takes, 12 s of the threat table
FREE = frozenset(probes.PATHS)  # a balancer must not take a busy server for a dead one
FILES = "/static/"  # they need no store
NO_SLOT = "app.no_slot"  # in the environ of a request that is only told to come again
REFUSALS = 2  # that many of those at once: what they hold of a person's words is read, and given back
PLACES = 2  # for searches and files
NOT_NOW = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Length", str(len(TooBusy.message))),
    ("Retry-After", str(TooBusy.retry_after_seconds)),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]
SLOTS = 8  # a request mostly waits for the store; more threads at once only take turns


def is_free(path: str) -> bool:
    """Whether it is answered without a slot."""
    return path in FREE or path.startswith(FILES)


class Slots:
    """What a request at work holds, and gives away while it does nothing that another one would have to wait for."""

    def __init__(
        self, count: int = SLOTS, patience_seconds: float = PATIENCE_SECONDS, *, measured: bool = True
    ) -> None:
        self._measured = measured
        self._queue = WorkQueue(count)
        self._patience_seconds = patience_seconds
        self._mine = local()

    @contextmanager
    def held(self, kind: Kind = Kind.BEGUN) -> Iterator[bool]:
        """Whether there was a slot within the time that its kind may wait; without one nothing is done."""
        if not self._take(kind):
            yield False
            return
        self._mine.held = True
        try:
            yield True
        finally:
            if self._mine.held:
                self._mine.held = False
                self._give()

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
        self._mine.held = False
        self._give()
        try:
            yield
        finally:
            self._mine.held = self._take()

    def _take(self, kind: Kind = Kind.BEGUN) -> bool:
        if not self._queue.take_free() and not self._wait(kind):
            return False
        if self._measured:
            SLOTS_USED.add(1)
        return True

    def _wait(self, kind: Kind) -> bool:
        if self._measured:
            SLOTS_WAITING.add(1)
        try:
            return self._queue.wait(kind, self._patience_seconds)
        finally:
            if self._measured:
                SLOTS_WAITING.add(-1)

    def _give(self) -> None:
        if self._measured:
            SLOTS_USED.add(-1)
        self._queue.give()


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
    """Outermost in the app, around everything that could read the body."""

    def __init__(self, app: WSGIApplication, slots: Slots) -> None:
        self._app = app
        self._slots = slots
        self._refusals = Slots(REFUSALS, patience_seconds=1.0, measured=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("CONTENT_LENGTH"):
            # The server hands on what has come of a body that breaks off as if it were the whole. Without this promise
            # Werkzeug counts, and half a form is refused instead of charged.
            environ.pop("wsgi.input_terminated", None)
        if is_free(environ.get("PATH_INFO", "")):
            return self._app(environ, start_response)
        kind = kind_of(environ)
        polled = kind is Kind.POLL and poll_pace.TAG in environ  # by a page
        with self._slots.held(kind) as mine:
            if mine:
                environ["wsgi.input"] = ArrivingBody(environ["wsgi.input"], self._slots.given_away)
                if polled:
                    start_response = poll_pace.telling(start_response, environ, loaded=self._slots.are_waited_for())
                return self._app(environ, start_response)
        SLOTS_REFUSED.add(kind=kind.name.lower())
        if polled:
            return _not_now(poll_pace.telling(start_response, environ, loaded=True))
        return self._refuse(environ, start_response)

    def _refuse(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """503 for who found no slot, by the app: it asks no store and does nothing, but gives back what was typed.

        Who finds none of the few places for that goes on all the same: a text must not be lost.
        """
        with self._refusals.held():
            environ["wsgi.input"] = ArrivingBody(environ["wsgi.input"], self._refusals.given_away)
            return self._app(environ | {NO_SLOT: True}, start_response)


def _not_now(start_response: StartResponse) -> Iterable[bytes]:
    """503 for a page that asks by itself. It shows nothing of it and asks again (app/static/app.js), so this costs a
    hundredth of an answer by the app: of these there are the most."""
    log.warning("refused", extra={"code": TooBusy.code, "status": 503, "kind": Kind.POLL.name.lower()})
    start_response("503 Service Unavailable", NOT_NOW)
    return [TooBusy.message.encode()]
