"""Threads for reads that need not wait for one another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from threading import BoundedSemaphore
from typing import Any

THREADS = 16  # as many as a worker has requests at work, twice over


class Readers:
    """Nothing ever queues for a thread: whoever finds none free reads himself."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._free = BoundedSemaphore(threads)

    def begin(self, read: Callable[[], Any]) -> Future[Any] | None:
        """Start a read with the context of the caller; None when every thread is busy."""
        if not self._free.acquire(blocking=False):
            return None
        begun = self._pool.submit(copy_context().run, read)
        begun.add_done_callback(lambda _: self._free.release())
        return begun
