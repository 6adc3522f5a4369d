"""A restore from a backup into tables of a fresh prefix, and what shows that it is the same.

Nothing is made before the backup was read from beginning to end and found whole. Rows are put under their keys, so that
a run which was killed is begun again and goes on: the checkpoint says how far it was, and at most what was put in its
last second is put again. Tables bear the mark of their restore (a tag); rows of anything else are never written to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from app.data.table_copies import WRITTEN_AT_ONCE, TableCopies
from app.data.table_setup import create_tables
from app.data.tables import ALL
from app.data.threads import WRITERS, side_by_side
from app.domain.errors import DomainError, InvalidInput
from app.domain.formatting import elapsed
from app.domain.paging import batched
from app.gateways.depots import Depot

from ..books import Difference
from . import looking
from .looking import Backup, TableExport
from .own_export import digest_of

WINDOW = 8 * 4 * WRITTEN_AT_ONCE  # rows that are put side by side: four requests for each of eight writers
ENDED = " ended"  # behind the mark
WRITERS_AT_ONCE = 8
KEEP_SECONDS = 1.0
WORD_SECONDS = 5.0


class NotWhole(DomainError):
    """The backup lacks something, or holds something else: `faults` says what."""

    code = "not_whole"

    def __init__(self, faults: list[looking.Fault]) -> None:
        super().__init__("The backup is not whole: nothing was restored.")
        self.faults = faults


@dataclass(slots=True)
class Checkpoint:
    """How far a restore is, in a file of this machine. `done`: rows of each data file that have been put."""

    path: Path
    mark: str
    digests: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    ended: bool = False

    @classmethod
    def at(cls, path: Path, mark: str) -> Checkpoint:
        """The one that is there, or a new one. Raises InvalidInput where it is of another restore."""
        if not path.exists():
            return cls(path, mark)
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            digests = {table: int(text, 16) for table, text in told["digests"].items()}
            found = cls(path, told["mark"], digests, dict(told["done"]), bool(told["ended"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{path} cannot be read: remove it, and the restore begins anew.") from error
        if found.mark != mark:
            raise InvalidInput(f"{path} is of another restore ({found.mark}): give another --checkpoint.")
        return found

    def keep(self) -> None:
        digests = {table: f"{number:x}" for table, number in self.digests.items()}
        told = {"mark": self.mark, "digests": digests, "done": self.done, "ended": self.ended}
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps(told), encoding="utf-8")
        part.replace(self.path)


def mark_of(backup: Backup) -> str:
    """What tables of this restore are known by: the exports that it consists of."""
    ids = sorted(f"{table} {export.folder}" for table, export in backup.exports.items())
    return f"{backup.name or 'export'} {sha256(' '.join(ids).encode()).hexdigest()[:16]}"


def run(
    depot: Depot,
    backup: Backup,
    copies: TableCopies,
    path: Path,
    *,
    say: Callable[[str], None] = lambda line: None,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[Difference]:
    """Put every row of the backup into the tables of `copies`, and compare them. Returns what differs.

    Safe to repeat and to break off at any moment. Raises NotWhole before anything is made, InvalidInput for a prefix
    with rows of something else, StoreUnavailable, DepotUnavailable.
    """
    if backup.faults:
        raise NotWhole(backup.faults)
    checkpoint = Checkpoint.at(path, mark_of(backup))
    if checkpoint.ended:
        say("this restore has ended: its rows are left as they are now")
        return []
    _refuse_others(copies, checkpoint.mark)
    if not checkpoint.digests:
        looking.read(depot, backup, say=lambda line: say(f"is it whole: {line}"))
        if backup.faults:
            raise NotWhole(backup.faults)
        checkpoint.digests = backup.digests
        checkpoint.keep()
    create_tables(copies.client, copies.prefix, say=say, replace=True, expiring=False)
    for table in ALL:
        copies.mark(table.suffix, checkpoint.mark)
    putting = _Putting(depot, copies, checkpoint, backup.rows, say, monotonic)
    for export in backup.exports.values():
        putting.put(export)
    differences = list(_compare(copies, backup, checkpoint, say))
    if not differences:
        for table in ALL:  # from now on customers may be served from them: nothing is ever put over their rows
            copies.mark(table.suffix, checkpoint.mark + ENDED)
        checkpoint.ended = True
        checkpoint.keep()
    return differences


def _refuse_others(copies: TableCopies, mark: str) -> None:
    for table in ALL:
        name = table.suffix
        if copies.find(name) is None or (found := copies.mark_of(name)) == mark or copies.is_empty(name):
            continue
        if found == mark + ENDED:
            raise InvalidInput(
                f"The restore of {mark} into {copies.prefix} has ended: its rows are left as they are now."
            )
        raise InvalidInput(
            f"{copies.prefix}{name} has rows that are not of this restore ({mark}): choose a prefix that is fresh."
        )


class _Putting:
    """Rows of data files into tables, with a word now and then."""

    def __init__(
        self,
        depot: Depot,
        copies: TableCopies,
        checkpoint: Checkpoint,
        rows: int,
        say: Callable[[str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._depot = depot
        self._copies = copies
        self._checkpoint = checkpoint
        self._rows = rows
        self._say = say
        self._monotonic = monotonic
        self._before = sum(checkpoint.done.values())
        self._put = 0
        self._began = self._kept = self._told = monotonic()
        if self._before:
            say(f"goes on behind {self._before:,} rows that were put before")

    def put(self, export: TableExport) -> None:
        for file in export.files:
            key = f"{export.table} {file.key}"
            done = self._checkpoint.done.get(key, 0)
            if done >= file.items:
                continue
            for window in batched(islice(looking.items_of(self._depot, export, file), done, None), WINDOW):
                parts = [window[begin::WRITERS_AT_ONCE] for begin in range(WRITERS_AT_ONCE)]
                side_by_side(WRITERS, [partial(self._copies.put, export.table, part) for part in parts if part])
                done += len(window)
                self._put += len(window)
                self._checkpoint.done[key] = done
                self._keep()
                self._tell(export.table)
        self._keep(now=True)

    def _keep(self, *, now: bool = False) -> None:
        if now or self._monotonic() - self._kept >= KEEP_SECONDS:
            self._kept = self._monotonic()
            self._checkpoint.keep()

    def _tell(self, table: str) -> None:
        now = self._monotonic()
        if now - self._told < WORD_SECONDS:
            return
        self._told = now
        rate = self._put / max(now - self._began, 0.001)
        left = (self._rows - self._before - self._put) / rate
        done = self._before + self._put
        self._say(f"{table}: {done:,} of {self._rows:,} rows, {rate:,.0f} a second, {elapsed(int(left))} left")


def _compare(
    copies: TableCopies, backup: Backup, checkpoint: Checkpoint, say: Callable[[str], None]
) -> Iterator[Difference]:
    """Row for row, by a digest of each table: the same rows have the same, in whatever order."""
    for table, export in backup.exports.items():
        say(f"{table}: whether it is the same as in the backup")
        if digest_of(copies, table) == checkpoint.digests[table]:
            continue
        expected, found = f"{export.summary.items:,} rows of the backup", f"{copies.count(table):,}, or others"
        yield Difference(table, f"rows of table {table}", expected, found)


def told(backup: Backup) -> dict[str, Any]:
    """Rows by table, for `restored.check`."""
    return {export.summary.table: export.summary.items for export in backup.exports.values()}
