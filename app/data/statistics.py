"""Running figures in the Status table, so that no page ever has to count what is already done.

They are written beside the change that they count, after it and not in its transaction: many changes at once would
collide on one row. So they may miss one when a process dies in between; the ledger and the audit log never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from app.domain.clock import from_iso, to_iso

from .base import Base
from .client import Stale
from .tables import STATUS

TABLE = STATUS.suffix
SAMPLES = 50  # the turnarounds that the estimate is made from


class StatisticsReads(Base):
    def figures_by_day(self, today: date, days: int) -> list[tuple[date, dict[str, int]]]:
        """The figures of the last days, oldest first, in one call."""
        wanted = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
        rows = self._get_many([(TABLE, {"name": f"day#{day.isoformat()}"}) for day in wanted])
        return [(day, _figures(row)) for day, row in zip(wanted, rows, strict=True)]

    def turnarounds(self) -> list[int]:
        """Seconds from submitted to completed of the latest tasks, oldest first."""
        row = self._get(TABLE, {"name": "turnaround"}, consistent=False)
        return row.get("samples", []) if row else []

    def ledger_days(self) -> tuple[dict[str, dict[str, int]], datetime | None]:
        row = self._get(TABLE, {"name": "ledger-days"}, consistent=False)
        return (row["days"], from_iso(row["at"])) if row else ({}, None)


class StatisticsUpdates(Base):
    def count_day(self, day: date, **figures: int) -> None:
        """Add to the figures of one UTC day, such as `completed=1`."""
        self._update(TABLE, {"name": f"day#{day.isoformat()}"}, add=figures)

    def note_turnaround(self, created_at: datetime, finished_at: datetime) -> None:
        """Keep how long a task took among the last SAMPLES. A sample that loses a race is dropped: others come."""
        row = self._get(TABLE, {"name": "turnaround"}) or {}
        samples = [*row.get("samples", []), int((finished_at - created_at).total_seconds())][-SAMPLES:]
        version = row.get("version", 0)
        condition = "#version = :version" if version else "attribute_not_exists(#version)"
        params = {"version": version} if version else {}
        try:
            self._update(
                TABLE,
                {"name": "turnaround"},
                set={"samples": samples, "version": version + 1},
                condition=condition,
                **params,
            )
        except Stale:
            return

    def keep_ledger_days(self, days: Mapping[str, Mapping[str, int]], now: datetime) -> None:
        """What the ledger said of each day when it was last read as a whole."""
        rows = {day: dict(figures) for day, figures in days.items()}
        self._put(TABLE, {"name": "ledger-days", "days": rows, "at": to_iso(now)})


def _figures(row: dict[str, Any] | None) -> dict[str, int]:
    return {name: value for name, value in (row or {}).items() if name != "name"}
