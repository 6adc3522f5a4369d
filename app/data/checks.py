"""Rows of Status: which check of the books was asked for, which one is at work, and what its parts have found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.domain.checks import LEASE, Begun, Difference, Ended, Run
from app.domain.errors import WrongState
from app.domain.paging import batched

from .base import MAX_AT_ONCE, Base
from .client import Stale
from .records import Codec
from .tables import STATUS
from .transaction import Writes

RUN = Codec(Run, always={"version"})
BEGUN, ENDED = Codec(Begun), Codec(Ended, inner=[Codec(Difference)])
KEY, BEGUN_KEY = {"name": "books-run"}, {"name": "books-begun"}
MOST_KEPT = 1_000  # differences of a part in one row, which holds 400 KB: of a part with more it is read again
ELSE = "Somebody else has just asked for one: it comes first."


class CheckReads(Base):
    def find(self) -> Run | None:
        row = self._get(STATUS.suffix, KEY)
        return RUN.record(row) if row else None

    def begun(self) -> Begun | None:
        """The check of the books that is at work, or was broken off."""
        row = self._get(STATUS.suffix, BEGUN_KEY)
        begun = BEGUN.record(row) if row else None
        return begun if begun and begun.parts else None

    def ended_parts(self, begun: Begun) -> dict[int, tuple[Difference, ...]]:
        """What was found in the parts of a check that have ended; read by the hundred."""
        found: dict[int, tuple[Difference, ...]] = {}
        for some in batched(range(begun.parts), MAX_AT_ONCE):
            rows = self._get_many([(STATUS.suffix, _part_key(part)) for part in some])
            ended = {part: ENDED.record(row) for part, row in zip(some, rows, strict=True) if row}
            found |= {part: one.differences for part, one in ended.items() if one.run == begun.run}
        return found


class CheckWrites(Writes):
    def ask(self, before: Run | None, run: Run) -> None:
        """Put `run` in the place of the one that was read. Raises WrongState when that has changed since."""
        condition, params = _unchanged(before)
        row = RUN.as_set(replace(run, version=(before.version if before else 0) + 1))
        self.update(STATUS.suffix, KEY, set=row, condition=condition, failure=WrongState(ELSE), **params)


class CheckUpdates(Base):
    """Each of a Run raises Stale when it is no longer the one that was read: another has taken it, or its place."""

    def begin(self, begun: Begun) -> None:
        """In the place of any other: a check that goes on without its row keeps nothing more."""
        self._update(STATUS.suffix, BEGUN_KEY, set=BEGUN.as_set(begun))

    def keep_part(self, begun: Begun, part: int, differences: Sequence[Difference]) -> None:
        """Keep what was found in a part, for whoever goes on. Safe to repeat. Of more than fits nothing is kept."""
        if len(differences) <= MOST_KEPT:
            ended = ENDED.as_set(Ended(begun.run, tuple(differences)))
            self._update(STATUS.suffix, _part_key(part), set=ended)

    def forget(self, begun: Begun, kept: Iterable[int]) -> None:
        """A check has come to its end: the next begins anew, and of `kept` parts nothing stays that names anybody. Safe
        to repeat; what another has begun is left alone. In this order: parts without their findings, of a check that
        goes on, would say that nothing was found.
        """
        with suppress(Stale):
            self._update(STATUS.suffix, BEGUN_KEY, set={"parts": 0}, condition="#run = :run", run=begun.run)
        for part in kept:
            self._update(STATUS.suffix, _part_key(part), set=ENDED.as_set(Ended(begun.run)))

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


def _part_key(part: int) -> dict[str, str]:
    return {"name": f"books-part#{part:04}"}


def _unchanged(run: Run | None) -> tuple[str, dict[str, Any]]:
    return ("#version = :version", {"version": run.version}) if run else ("attribute_not_exists(#version)", {})
