"""Commands that go on until somebody asks them to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
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
