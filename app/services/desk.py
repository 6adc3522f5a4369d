"""The operators' desk: a page of the queue, what waits beside it, and how much there is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app.data import Store
from app.data.threads import KINDS, side_by_side
from app.domain.desk import MINE, MOST_COUNTED, WAITING, Counts, QueueFilter, counted, is_worked_on
from app.domain.paging import Page
from app.domain.tasks import IN_PROGRESS, PENDING, Task

from .customer_search import owners

PAGE = 25
SURVEYED = 249  # tasks in progress: the oldest, for the counts and the leases that have run out


@dataclass(frozen=True, slots=True)
class Desk:
    """`lapsed` are tasks whose lease has run out: they wait too, and stand above the first page of those that do."""

    page: Page[Task]
    lapsed: list[Task]
    counts: Counts


def look(store: Store, found: QueueFilter, operator: str, *, cursor: str | None, now: datetime) -> Desk:
    """Eight queries, side by side; twelve where the page does not hold all that waits."""
    matches = found.matcher(operator, now, owners(store, found.customer))
    reads: list[Any] = [
        partial(
            store.queue.page,
            PENDING if found.view == WAITING else IN_PROGRESS,
            limit=PAGE,
            cursor=cursor,
            keep=matches if found.looks_into_rows else None,
            until=found.until(now),
            narrowed=(*itertools.chain(*found.address().items()), operator if found.view == MINE else ""),
        ),
        partial(store.queue.page, IN_PROGRESS, limit=SURVEYED),
    ]
    page, surveyed = side_by_side(KINDS, reads)
    whole = found.view == WAITING and not (found.is_set or cursor or page.next_cursor)
    pending = len(page.items) if whole else store.queue.count_open(PENDING, MOST_COUNTED)
    lapsed = []
    if found.view == WAITING and not cursor:
        lapsed = [task for task in surveyed.items if not is_worked_on(task, now) and matches(task)][:PAGE]
    return Desk(page, lapsed, counted(pending, surveyed.items, operator, now))
