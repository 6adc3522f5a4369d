"""What the operators' desk shows of the queue: one of three views, narrowed by customer, age and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from .accounts import AccountKey
from .tasks import IN_PROGRESS, Task
from .text import finder

WAITING, WORKING, MINE = "waiting", "working", "mine"
VIEWS = (WAITING, WORKING, MINE)
HOURS = (1, 4, 24)  # of an age that one may ask for
MOST_COUNTED = 99  # beyond it a count says that there are more: how many is for the overview


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFilter:
    """As it stands in the address. `hours` is how long a task has been open at least."""

    view: str = WAITING
    q: str = ""
    customer: str = ""
    hours: int = 0

    @property
    def is_set(self) -> bool:
        return bool(self.q or self.customer or self.hours)

    @property
    def looks_into_rows(self) -> bool:
        """Whether a page of it looks at more rows than it shows; an age alone is a part of the key."""
        return bool(self.q or self.customer) or self.view != WAITING

    def address(self) -> dict[str, Any]:
        """The parameters of the address that shows the same."""
        found = asdict(self) | {"view": "" if self.view == WAITING else self.view}
        return {name: str(value) for name, value in found.items() if value}

    def until(self, now: datetime) -> datetime | None:
        return now - timedelta(hours=self.hours) if self.hours else None

    def matcher(
        self, operator: str, now: datetime, owners: frozenset[AccountKey] = frozenset()
    ) -> Callable[[Task], bool]:
        """Whether a task of the view's status belongs to it: a lease that has run out is nobody's work.

        `owners`: accounts that the name of the customer leads to beside those whose key holds it.
        """
        words, customer, until = finder(self.q), finder(self.customer), self.until(now)

        def matches(task: Task) -> bool:
            if self.view != WAITING and not is_worked_on(task, now):
                return False
            if self.view == MINE and task.lease_owner != operator:
                return False
            if until and task.created_at > until:
                return False
            said = f"{task.description} {task.user_email} {task.lease_owner or ''}"
            return (not words or words(said)) and (
                not customer or customer(task.user_email) or task.user_email in owners
            )

        return matches


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks each view holds, none of them narrowed."""

    waiting: int
    working: int
    mine: int


def is_worked_on(task: Task, now: datetime) -> bool:
    return task.as_of(now).status == IN_PROGRESS


def counted(pending: int, in_progress: Sequence[Task], operator: str, now: datetime) -> Counts:
    live = [task for task in in_progress if is_worked_on(task, now)]
    return Counts(
        waiting=pending + len(in_progress) - len(live),
        working=len(live),
        mine=sum(task.lease_owner == operator for task in live),
    )


def count_word(amount: int) -> str:
    return str(amount) if amount <= MOST_COUNTED else f"{MOST_COUNTED}+"
