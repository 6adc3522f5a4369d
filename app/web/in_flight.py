"""How many answers a worker process owes: requests whose body has come and whose answer is not handed over yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

Read = TypeVar("Read")


class InFlight:
    """Outermost around the app, so that a stop knows what to wait for: a body that dribbles does not count."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._count = 0
        self._changed = threading.Condition()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"] = ArrivingBody(environ["wsgi.input"], self)
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


class ArrivingBody:
    """`wsgi.input`: its request does not count while it waits for what the client has not sent yet."""

    def __init__(self, source: InputStream, requests: InFlight) -> None:
        self._source = source
        self._requests = requests

    def read(self, size: int = -1) -> bytes:
        return self._wait(self._source.read, *(() if size is None or size < 0 else (size,)))

    def readline(self, size: int = -1) -> bytes:
        return self._wait(self._source.readline)

    def readlines(self, hint: int = -1) -> list[bytes]:
        return self._wait(self._source.readlines)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _wait(self, read: Callable[..., Read], *arguments: int) -> Read:
        with self._requests.not_counted():
            return read(*arguments)


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
