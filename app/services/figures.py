"""The overview's figures: what is counted as it happens, and what the ledger says of each day."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as TooSlow
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.data import Store
from app.data.threads import Readers
from app.domain.credits import CLAWBACK, PURCHASE, REFUND, REINSTATEMENT, SPEND, PostedEntry
from app.domain.errors import DomainError
from app.domain.tasks import IN_PROGRESS, PENDING, Task, median_minutes

log = logging.getLogger(__name__)

DAYS = 30
PUBLIC_SAMPLES = 20  # before anybody is told how long tasks take: a few say nothing, and too much of whose they were
KEPT_SECONDS = 600.0
PATIENCE_SECONDS = 0.3  # of the one visit that a look falls to
MAX_AHEAD = 200  # tasks before one in the queue, counted no further
COUNT_CAP = 500  # open tasks of each shard are counted no further


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day. Sold and spent come from the ledger, up to its last look; the rest is counted as it happens."""

    day: date
    submitted: int = 0
    completed: int = 0
    rejected: int = 0
    cancelled: int = 0
    sold: int = 0
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    days: list[Day]
    pending: int
    in_progress: int
    turnarounds: tuple[int, ...]  # seconds, oldest first
    ledger_read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Usual:
    """Half of the last `samples` completed tasks took `minutes` or less."""

    minutes: int
    samples: int


class UsualTime:
    """What the front page says of it, which anybody may open: a process looks once in ten minutes, and nobody who comes
    waits for a store that is slow or down.
    """

    def __init__(self, store: Store, readers: Readers, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._readers = readers
        self._monotonic = monotonic
        self._next_look = float("-inf")
        self._known: Usual | None = None

    def known(self) -> Usual | None:
        """None while too few tasks were measured, or as long as no look has succeeded."""
        now = self._monotonic()
        if now >= self._next_look:
            self._next_look = now + KEPT_SECONDS
            look = self._readers.begin(self._look)
            with suppress(TooSlow):
                if look:
                    look.result(PATIENCE_SECONDS)
        return self._known

    def _look(self) -> None:
        try:
            samples = self._store.figures.turnarounds()
        except DomainError as error:
            log.warning("usual time not read", extra={"code": error.code})
            return
        minutes = median_minutes(samples) if len(samples) >= PUBLIC_SAMPLES else None
        self._known = Usual(minutes, len(samples)) if minutes else None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What may be told of an open task, as an estimate. `ahead`: how many are before it while it is pending; more than
    MAX_AHEAD are not counted. `usual_minutes`: half of the latest tasks took so long or less, from submitted to done.
    """

    ahead: int | None = None
    usual_minutes: int | None = None


def outlook(store: Store, task: Task) -> Outlook:
    """Of a task `as_of` now; five small reads, and none of one that has ended."""
    if not task.is_open:
        return Outlook()
    ahead = min(store.queue.count_before(task, MAX_AHEAD), MAX_AHEAD + 1) if task.status == PENDING else None
    return Outlook(ahead, median_minutes(store.figures.turnarounds()))


def overview(store: Store, now: datetime) -> Overview:
    """Eleven small reads, however many tasks and ledger rows there are."""
    read = store.figures.ledger_days()
    days = []
    for day, counted in store.figures.figures_by_day(now.date(), DAYS):
        of_ledger = read.days.get(day.isoformat(), {})
        days.append(
            Day(
                day,
                submitted=of_ledger.get("submitted", 0),
                completed=counted.get("completed", 0),
                rejected=counted.get("rejected", 0),
                cancelled=counted.get("cancelled", 0),
                sold=of_ledger.get("sold", 0),
                spent=of_ledger.get("spent", 0),
            )
        )
    return Overview(
        days=days,
        pending=store.queue.count_open(PENDING, COUNT_CAP),
        in_progress=store.queue.count_open(IN_PROGRESS, COUNT_CAP),
        turnarounds=store.figures.turnarounds(),
        ledger_read_at=read.at,
    )


class DaysOfLedger:
    """What each of the last days sold and spent, from ledger rows in any order."""

    def __init__(self, now: datetime) -> None:
        self._oldest, self._tomorrow = (now - timedelta(days=DAYS - 1)).date(), (now + timedelta(days=1)).date()
        self.days: dict[str, dict[str, int]] = defaultdict(lambda: {"sold": 0, "spent": 0, "submitted": 0})

    def add(self, entry: PostedEntry) -> None:
        day = entry.timestamp.date()
        if not self._oldest <= day <= self._tomorrow or entry.is_original:  # what has not come: a clock was ahead
            return
        figures = self.days[day.isoformat()]
        if entry.type in (PURCHASE, CLAWBACK, REINSTATEMENT):
            figures["sold"] += entry.amount
        elif entry.type in (SPEND, REFUND):
            figures["spent"] -= entry.amount
            figures["submitted"] += entry.type == SPEND


def read_ledger(store: Store, entries: Iterable[PostedEntry], now: datetime) -> None:
    """Keep what each of the last days sold and spent."""
    read = DaysOfLedger(now)
    for entry in entries:
        read.add(entry)
    store.updates.figures.keep_ledger_days(read.days, now)
