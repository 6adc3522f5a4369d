"""Migrations of stored rows: numbered, each safe to repeat, resumed where it was broken off.

A release reads rows of the one before it, so a migration never has to be done before a start: it runs beside customers
at work, and beside itself. It is for what a later release wants to rely on; docs/operating.md has the rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from app.domain.mails import due_shard
from app.domain.migrations import AFTER, ENDED, Progress
from app.domain.proposals import ADJUSTMENT

from .base import Base
from .client import Stale, call
from .codec import decode_item, encode_item
from .ledger_figures import BEHIND, catch_up
from .outbox import DUE
from .payments import PAYMENT
from .records import Codec
from .search_keys import SearchKeyWrites
from .tables import ADJUSTMENTS, OUTBOX, PAYMENTS, STATUS, USERS, Table
from .threads import SEGMENTS, side_by_side
from .transaction import Writes

PROGRESS = Codec(Progress, always={"places", "looked_at", "changed"})
ROWS_A_PAGE = 200
PARTS = 4  # of a table, looked at side by side
WORD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Migration:
    """Rows of `table` that meet `condition` get what `change` says; then they no longer meet it.

    `values` are those that the condition names. `beside` puts rows of other tables into the same transaction.
    `act` takes the place of `change` where other rows change with it: it says whether it has changed anything.
    """

    number: int
    what: str
    table: Table
    condition: str
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: {}
    beside: Callable[[Writes, dict[str, Any]], None] | None = None
    act: Callable[[Base, dict[str, Any]], bool] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def filter(self) -> dict[str, Any]:
        """The condition as a Scan takes it."""
        bound = encode_item({f":{name}": value for name, value in self.values.items()})
        return {"FilterExpression": self.condition} | ({"ExpressionAttributeValues": bound} if bound else {})

    def __str__(self) -> str:
        return f"migration {self.number} ({self.what})"


MIGRATIONS = (
    Migration(
        1,
        "proposals of before there were kinds say that they are adjustments",
        ADJUSTMENTS,
        "attribute_not_exists(kind)",
        lambda row: {"kind": ADJUSTMENT, "terms": row.get("terms", {})},
    ),
    Migration(
        2,
        "accounts are found by any part of their address",
        USERS,
        "attribute_not_exists(searched_by) AND attribute_not_exists(deleted_at)",
        lambda row: {"searched_by": [row["email"]]},
        lambda writes, row: SearchKeyWrites.beside(writes).follow(row["email"], (), (row["email"],)),
    ),
    Migration(
        3,
        "payments are found by every id that Stripe has told of them",
        PAYMENTS,
        "attribute_not_exists(keyed)",
        lambda row: {"keyed": True},
        lambda writes, row: SearchKeyWrites.beside(writes).name_payment(None, PAYMENT.record(row)),
    ),
    Migration(4, "ledgers of before finance's figures are added to them", USERS, BEHIND, act=catch_up),
    Migration(
        5,
        "payments of before there was a list by month get their month",
        PAYMENTS,
        "attribute_not_exists(created_month) AND attribute_exists(created_at)",
        lambda row: {"created_month": row["created_at"][: len("2026-11")]},
    ),
    Migration(
        6,
        "mails that waited before there were shards stand in theirs",
        OUTBOX,
        "queue = :due AND attribute_not_exists(due_shard)",
        lambda row: {"due_shard": due_shard(row["mail_id"])},
        values={"due": DUE},
    ),
)
FIGURES_OF_BEFORE, MONTHS_OF_PAYMENTS, MAILS_OF_BEFORE = MIGRATIONS[3:6]


class Migrations(Base):
    """Those of this release, in the store that it is given."""

    def pending(self) -> list[Migration]:
        return [migration for migration in MIGRATIONS if not self.has_ended(migration)]

    def has_ended(self, migration: Migration) -> bool:
        return self.progress(migration).finished_at is not None

    def progress(self, migration: Migration) -> Progress:
        return PROGRESS.record(self._get(STATUS.suffix, _key(migration)) or {})

    def count(self, migration: Migration) -> int:
        """How many rows it would change."""
        pages = self._scan_pages(migration.table.suffix, Select="COUNT", **migration.filter)
        return sum(page["Count"] for page in pages)

    def note_new(self, now: datetime) -> None:
        """The tables were made just now: there is nothing to migrate."""
        for migration in MIGRATIONS:
            done = Progress(begun_at=now, finished_at=now)
            self._update(STATUS.suffix, _key(migration), set=PROGRESS.row(done))

    def run(
        self,
        migration: Migration,
        now: datetime,
        *,
        say: Callable[[str], None] = lambda line: None,
        again: bool = False,
    ) -> Progress:
        """To its end, from where an earlier run was broken off; with `again` from the beginning.

        Raises StoreUnavailable; running it again goes on.
        """
        with suppress(Stale):
            condition = None if again else "attribute_not_exists(begun_at)"
            begun = PROGRESS.row(Progress(begun_at=now))
            remove = ("finished_at",) if again else ()
            self._update(STATUS.suffix, _key(migration), set=begun, remove=remove, condition=condition)
        word = _Word(migration, say)
        parts = [partial(self._part_or_failure, migration, part, word) for part in range(PARTS)]
        for failure in filter(None, side_by_side(SEGMENTS, parts)):
            raise failure
        finished = self._update(STATUS.suffix, _key(migration), set=PROGRESS.attributes({"finished_at": now}))
        return PROGRESS.record(finished)

    def _part_or_failure(self, migration: Migration, part: int, word: _Word) -> Exception | None:
        """The other parts go to their end, and none is left at work behind a run that has failed."""
        try:
            self._part(migration, part, word)
        except Exception as failure:
            return failure
        return None

    def _part(self, migration: Migration, part: int, word: _Word) -> None:
        name = f"{part}/{PARTS}"
        place = self.progress(migration).places.get(name, "")
        for page in self._pages(migration, part, place):
            changed = sum(self._change(migration, row) for row in page.rows)
            self._update(
                STATUS.suffix,
                _key(migration),
                set={f"places.{name}": page.place},
                add={"looked_at": page.looked_at, "changed": changed},
            )
            word.say(page.looked_at, changed)

    def _pages(self, migration: Migration, part: int, place: str) -> Iterator[_Page]:
        request: dict[str, Any] = {
            "TableName": self.prefix + migration.table.suffix,
            "ConsistentRead": True,
            **migration.filter,
            "Limit": ROWS_A_PAGE,
            "Segment": part,
            "TotalSegments": PARTS,
        }
        while place != ENDED:
            if place:
                request["ExclusiveStartKey"] = encode_item({migration.table.key: place.removeprefix(AFTER)})
            answer = call(self.client, "scan", **request)
            last = answer.get("LastEvaluatedKey")
            place = AFTER + decode_item(last)[migration.table.key] if last else ENDED
            yield _Page([decode_item(item) for item in answer["Items"]], place, answer["ScannedCount"])

    def _change(self, migration: Migration, row: dict[str, Any]) -> bool:
        """Whether it was this run that has changed it."""
        if migration.act:
            return migration.act(self, row)
        table, key = migration.table, {migration.table.key: row[migration.table.key]}
        still = (
            f"attribute_exists(#{table.key}) AND ({migration.condition})"  # an update would make a row that has gone
        )
        change = {"set": migration.change(row), "condition": still, **migration.values}
        try:
            if migration.beside is None:
                self._update_row(table.suffix, key, **change)
            else:
                writes = Writes(self.client, self.prefix)
                writes._update_row(table.suffix, key, **change)
                migration.beside(writes, row)
                writes.commit()
        except Stale:  # another run, or the row has gone
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Page:
    rows: list[dict[str, Any]]
    place: str
    looked_at: int


class _Word:
    """A line of progress now and then, whichever part it comes from."""

    def __init__(self, migration: Migration, say: Callable[[str], None]) -> None:
        self._migration, self._say = migration, say
        self._looked_at = self._changed = 0
        self._said_at = time.monotonic()

    def say(self, looked_at: int, changed: int) -> None:
        self._looked_at += looked_at
        self._changed += changed
        if time.monotonic() - self._said_at >= WORD_SECONDS:
            self._said_at = time.monotonic()
            self._say(f"{self._migration}: {self._looked_at:,} rows looked at, {self._changed:,} changed ...")


def _key(migration: Migration) -> dict[str, str]:
    return {"name": f"migration#{migration.number}"}
