"""The one row of Status that says which check of the books was asked for, and how far it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from app.domain.checks import LEASE, Run
from app.domain.errors import WrongState

from .base import Base
from .client import Stale
from .records import Codec
from .tables import STATUS
from .transaction import Writes

RUN = Codec(Run, always={"version"})
KEY = {"name": "books-run"}
ELSE = "Somebody else has just asked for one: it comes first."


class CheckReads(Base):
    def find(self) -> Run | None:
        row = self._get(STATUS.suffix, KEY)
        return RUN.record(row) if row else None


class CheckWrites(Writes):
    def ask(self, before: Run | None, run: Run) -> None:
        """Put `run` in the place of the one that was read. Raises WrongState when that has changed since."""
        condition, params = _unchanged(before)
        row = RUN.as_set(replace(run, version=(before.version if before else 0) + 1))
        self.update(STATUS.suffix, KEY, set=row, condition=condition, failure=WrongState(ELSE), **params)


class CheckUpdates(Base):
    """Each raises Stale when the run is no longer the one that was read: another has taken it, or its place."""

    def take(self, run: Run, now: datetime) -> Run:
        return self._change(run, taken_at=now, lease_until=now + LEASE)

    def note_step(self, run: Run, step: str, done: int, now: datetime) -> Run:
        """How far it is; with it the lease goes on."""
        return self._change(run, step=step, done=done, lease_until=now + LEASE)

    def end(self, run: Run, now: datetime, failure: str = "") -> Run:
        return self._change(run, ended_at=now, failure=failure)

    def _change(self, run: Run, **changes: Any) -> Run:
        condition, params = _unchanged(run)
        after = replace(run, **changes, version=run.version + 1)
        self._update(STATUS.suffix, KEY, set=RUN.as_set(after), condition=condition, failure=Stale, **params)
        return after


def _unchanged(run: Run | None) -> tuple[str, dict[str, Any]]:
    return ("#version = :version", {"version": run.version}) if run else ("attribute_not_exists(#version)", {})
