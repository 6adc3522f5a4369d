"""A check of the books, or a reconciliation with Stripe, that an operator asks for: one at a time, by a lease."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from .accounts import AccountKey

CHECK, RECONCILE = "check", "reconcile"
KINDS = {CHECK: "Check of the books", RECONCILE: "Reconciliation with Stripe"}
LEASE = timedelta(minutes=2)  # whoever runs one renews it every few seconds
LASTS = timedelta(hours=6)  # what a check that was broken off has found: well below the day after which the next is due
TAKEN_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in the books that does not follow: `subject` is an account, a task or a payment."""

    subject: str
    what: str
    expected: str
    found: str
    email: AccountKey | None = None  # whose spending stops if asked for


@dataclass(frozen=True, slots=True)
class Begun:
    """A check of the books that goes through the accounts, in so many parts: who takes it up goes on with the others.

    `run` tells it from those before and after it.
    """

    run: str
    begun_at: datetime
    parts: int

    def lasts(self, now: datetime) -> bool:
        """Whether what it has found still counts; an older one is begun anew."""
        return timedelta() <= now - self.begun_at < LASTS


@dataclass(frozen=True, slots=True)
class Ended:
    """One part of a check that has ended, with all that was found in it."""

    run: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for last. `step` and `done` are how far it is; `version` counts the changes of its row."""

    kind: str
    asked_by: str
    asked_at: datetime
    version: int = 0
    taken_at: datetime | None = None
    lease_until: datetime | None = None
    step: str = ""
    done: int = 0
    ended_at: datetime | None = None
    failure: str = ""

    @property
    def title(self) -> str:
        return KINDS[self.kind]

    def state(self, now: datetime) -> str:
        """`waiting`, `unseen` (nobody has taken it for a minute), `running`, `lapsed`, `failed` or `done`."""
        if self.ended_at:
            return "failed" if self.failure else "done"
        if self.taken_at is None:
            return "waiting" if now - self.asked_at < TAKEN_WITHIN else "unseen"
        return "running" if self.lease_until and now < self.lease_until else "lapsed"

    def is_open(self, now: datetime) -> bool:
        """Whether whoever asks for another has to wait."""
        return self.state(now) in ("waiting", "running")
