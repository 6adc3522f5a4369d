"""Threads for reads that need not wait for one another: every pool of the process, and how large each is.

The low-level clients of botocore may be shared by threads. Calls to Stripe, SES and S3 have a thread each, made by
`app/gateways/circuit_breaker.py`, which leaves one behind that never answers; so has each check of the doctor: `aside`.
Requests that wait share three: `app/web/waiters.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import BoundedSemaphore, Thread
from typing import Any, TypeVar

from app.telemetry.spans import tracing

T = TypeVar("T")

SHARDS = ThreadPoolExecutor(8, thread_name_prefix="queue")  # the four shards of the queue, for two pages at once
KINDS = ThreadPoolExecutor(8, thread_name_prefix="timeline")  # what an operator sees of a customer
SEGMENTS = ThreadPoolExecutor(4, thread_name_prefix="migration")  # the parts of a table that a command walks
WRITERS = ThreadPoolExecutor(8, thread_name_prefix="restore")  # what a restore puts side by side
MAILS = ThreadPoolExecutor(8, thread_name_prefix="mail")  # as many as the breaker lets ask SES at once
BOOKS = ThreadPoolExecutor(8, thread_name_prefix="books")  # the parts of a table that the check of the books reads
THREADS = 16  # Readers: as many as a worker has requests at work, twice over


def side_by_side(pool: ThreadPoolExecutor, reads: Iterable[Callable[[], T]]) -> list[T]:
    """What each of the reads returns, in their order. Raises what the first that fails raises."""
    if tracing.tracer is not None:  # each is a part of the caller's trace
        reads = [partial(copy_context().run, read) for read in reads]
    return list(pool.map(lambda read: read(), reads))


def aside(read: Callable[[], T], name: str) -> Future[T]:
    """Begin a read in a thread of its own, with the context of the caller. For what may never end: nobody waits for
    such a thread, not even the end of the process.
    """
    begun: Future[T] = Future()

    def run() -> None:
        try:
            begun.set_result(read())
        except BaseException as error:
            begun.set_exception(error)

    Thread(target=copy_context().run, args=(run,), name=name, daemon=True).start()
    return begun


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

    def side_by_side(self, acts: Sequence[Callable[[], T]]) -> list[T]:
        """What each of the acts returns, in their order, when all of them have ended: the first in the caller's own
        thread, and so those for which no other is free. They tell of a failure by what they return.
        """
        begun = [self.begin(act) for act in acts[1:]]
        results = [act() for act in acts[:1]]
        return results + [
            act() if there is None else there.result() for act, there in zip(acts[1:], begun, strict=True)
        ]
