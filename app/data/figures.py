"""Running figures in the Status table, so that no page ever has to count what is already done.

They are written beside the change that they count, after it and not in its transaction: many changes at once would
collide on one row. So they may miss one when a process dies in between; the ledger and the audit log never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any

from app.domain.figures import LedgerDays, Turnarounds

from .base import Base
from .client import Stale
from .records import Codec
from .tables import STATUS

TABLE = STATUS.suffix
TURNAROUNDS, LEDGER_DAYS = Codec(Turnarounds, always={"samples"}), Codec(LedgerDays, always={"days"})


class FigureReads(Base):
    def figures_by_day(self, today: date, days: int) -> list[tuple[date, dict[str, int]]]:
        """The figures of the last days, oldest first, in one call."""
        wanted = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
        rows = self._get_many([(TABLE, {"name": f"day#{day.isoformat()}"}) for day in wanted])
        return [(day, _figures(row)) for day, row in zip(wanted, rows, strict=True)]

    def turnarounds(self) -> tuple[int, ...]:
        """Seconds from submitted to completed of the latest tasks, oldest first."""
        row = self._get(TABLE, {"name": "turnaround"}, consistent=False)
        return TURNAROUNDS.record(row or {}).samples

    def ledger_days(self) -> LedgerDays:
        return LEDGER_DAYS.record(self._get(TABLE, {"name": "ledger-days"}, consistent=False) or {})


class FigureUpdates(Base):
    def count_day(self, day: date, **figures: int) -> None:
        """Add to the figures of one UTC day, such as `completed=1`."""
        self._update(TABLE, {"name": f"day#{day.isoformat()}"}, add=figures)

    def note_turnaround(self, created_at: datetime, finished_at: datetime) -> None:
        """Keep how long a task took among the last SAMPLES. A sample that loses a race is dropped: others come."""
        before = TURNAROUNDS.record(self._get(TABLE, {"name": "turnaround"}) or {})
        condition = "#version = :version" if before.version else "attribute_not_exists(#version)"
        params = {"version": before.version} if before.version else {}
        row = TURNAROUNDS.row(before.and_one_more(created_at, finished_at))
        with suppress(Stale):
            self._update(TABLE, {"name": "turnaround"}, set=row, condition=condition, **params)

    def keep_ledger_days(self, days: Mapping[str, Mapping[str, int]], now: datetime) -> None:
        """What the ledger said of each day when it was last read as a whole."""
        self._update(TABLE, {"name": "ledger-days"}, set=LEDGER_DAYS.row(LedgerDays(days, now)))


def _figures(row: dict[str, Any] | None) -> dict[str, int]:
    return {name: value for name, value in (row or {}).items() if name != "name"}
