"""Commands that go on until somebody asks them to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.web.stops import heed_no_stop


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """The event is set by SIGTERM and by Ctrl-C; when the block ends neither counts any more."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        heed_no_stop()


MINUTE = 60.0


class EveryMinute:
    """Calls `tell` at once and then at most once a minute, however often it is asked to."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._next = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + MINUTE
            self._tell()
