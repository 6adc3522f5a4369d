"""How many answers a worker process owes: requests whose body has come and whose answer is not handed over yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from app.web.arriving import ArrivingBody
from app.web.server_state import KEY, ServerState
from app.web.waiters import Waiters

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class InFlight:
    """Outermost around the app, so that a stop knows what to wait for: a body that dribbles does not count.

    While the server is draining each answer ends its connection, so that its client's next request goes elsewhere.
    """

    def __init__(self, app: WSGIApplication, state: ServerState) -> None:
        self._app = app
        self._state = state
        self._count = 0
        self._changed = threading.Condition()
        self.waiters = Waiters(self.change, lambda: state.is_draining)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"] = ArrivingBody(environ["wsgi.input"], self.not_counted)
        environ[KEY] = self._state
        if self._state.is_draining:
            start_response = partial(start_last_response, start_response)
        self.change(1)
        try:
            answer = self._app(environ, start_response)
        except BaseException:
            self.change(-1)
            raise
        return OwedAnswer(answer, self)

    @property
    def owes_nothing(self) -> bool:
        return self._count == 0

    def change(self, by: int) -> None:
        with self._changed:
            self._count += by
            self._changed.notify_all()

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """While the server waits for the client."""
        self.change(-1)
        try:
            yield
        finally:
            self.change(1)

    def wait_until_none(self, seconds: float, steady_seconds: float) -> int:
        """Return once nothing has been owed for a while, or the time is over; how many still are owed."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._changed.wait_for(lambda: self._count == 0, deadline - time.monotonic()):
                if not self._changed.wait_for(lambda: self._count > 0, steady_seconds):
                    return 0  # and not just between two looks at a body that has come already
            return self._count


def start_last_response(
    start_response: StartResponse, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
) -> Callable[[bytes], object]:
    return start_response(status, [*headers, ("Connection", "close")], exc_info)


class OwedAnswer:
    """The answer's parts; its request counts until the server has closed it, at its end or for want of a client."""

    def __init__(self, parts: Iterable[bytes], requests: InFlight) -> None:
        self._parts = parts
        self._requests = requests
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        try:
            if close := getattr(self._parts, "close", None):
                close()
        finally:
            if self._open:
                self._open = False
                self._requests.change(-1)
