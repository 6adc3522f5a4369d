"""Running figures of the service, for operators: never what money is decided by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

SAMPLES = 50  # the turnarounds that the estimate is made from


@dataclass(frozen=True, slots=True)
class Turnarounds:
    """Seconds from submitted to completed of the latest tasks, oldest first. `version` counts the changes."""

    samples: tuple[int, ...] = ()
    version: int = 0

    def and_one_more(self, created_at: datetime, finished_at: datetime) -> Turnarounds:
        seconds = int((finished_at - created_at).total_seconds())
        return Turnarounds((*self.samples, seconds)[-SAMPLES:], self.version + 1)


@dataclass(frozen=True, slots=True)
class LedgerDays:
    """What the ledger said of each UTC day when it was last read as a whole."""

    days: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    at: datetime | None = None
