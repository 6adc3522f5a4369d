"""What a check of the books has read, on the disk: SQLite keeps it, and sorts it there when it is asked for in order.

A table that is scanned comes in no order, so what belongs together is brought together here, in memory that does not
grow with it. Rows are written by parts, and a part counts once it has ended: a check that was killed goes on in its
file.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple

from app.domain.accounts import AccountKey
from app.domain.checks import LASTS
from app.domain.errors import DomainError

CACHE_KB = 32_768
FETCHED = 1_000
LARGEST = 2**63
TABLES = {
    "accounts": "email TEXT PRIMARY KEY, ledger_sequence, folded_sequence, unexplained",
    "ownerless": "email TEXT",  # whose account was not among those that were read before
    "unreadable": "transaction_id TEXT, stored TEXT, email TEXT",
    "misplaced": "transaction_id TEXT, stored TEXT, email TEXT",
    "moved": "task_id TEXT, type TEXT, amount, email TEXT",  # spends and refunds
    "applied": "payment_id TEXT, amount",
    "adjusted": "email TEXT, sequence, transaction_id TEXT, amount",
    "sums": "kind TEXT, place TEXT, name TEXT, value",
    "tasks": "task_id TEXT, email TEXT, status TEXT, credits_spent, original, version, unexplained TEXT",
    "payments": "payment_id TEXT, email TEXT, granted, applied, target, resolution TEXT",
}


@contextmanager
def closing_when_done(work: WorkFile) -> Iterator[WorkFile]:
    """The file goes when the block ends well; one that breaks off leaves it for whoever goes on."""
    try:
        yield work
    except BaseException:
        work.close(remove=False)
        raise
    work.close(remove=True)


class NoRoom(DomainError):
    code = "no_room"
    message = "There is no room on the disk for what the check reads. Name a folder with room in TMPDIR."


class KnownAccount(NamedTuple):
    """What the rows of its ledger are judged by."""

    ledger_sequence: int
    folded_sequence: int
    unexplained: str | None

    @property
    def is_folded(self) -> bool:
        return self.folded_sequence == self.ledger_sequence


class WorkFile:
    """One for each check; `name` finds it again on the same machine. Its calls may come from many threads.

    Raises NoRoom. What stands in the file is taken over where nobody else is at work in it; where somebody is, or the
    file is broken, this one begins in another.
    """

    def __init__(self, name: str = "") -> None:
        self._lock = Lock()
        self._held: IO[str] | None = None
        self.path: Path | None = None  # None: a file without a name, which goes when it is closed
        with _told():
            if name:
                folder = Path(tempfile.gettempdir())
                _clear(folder)
                self.path = self._hold(folder / f"books-{name}.sqlite")
            try:
                self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._remove()  # a machine that lost its power leaves half a file
                self._open()

    def _hold(self, path: Path) -> Path | None:
        """The file, if nobody else is at work in it."""
        self._held = _lock(path)
        if self._held is None:
            return None
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))  # it holds addresses
        return path

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path or "", check_same_thread=False, isolation_level=None)
        journal = "WAL" if self.path else "OFF"
        for setting in (
            f"cache_size = -{CACHE_KB}",
            "temp_store = FILE",
            f"journal_mode = {journal}",
            "synchronous = OFF",
        ):
            self._db.execute(f"PRAGMA {setting}")
        for table, columns in TABLES.items():
            plain = "WITHOUT ROWID" if "PRIMARY KEY" in columns else ""
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}, part TEXT) {plain}")
        self._db.execute("CREATE TABLE IF NOT EXISTS ended (part TEXT PRIMARY KEY)")
        if self.path:
            self._clear_unended()

    def _clear_unended(self) -> None:
        for table in TABLES:
            self._db.execute(f"DELETE FROM {table} WHERE part NOT IN (SELECT part FROM ended)")  # noqa: S608 # nosec B608

    def has(self, part: str) -> bool:
        """Whether a part has ended."""
        return bool(self._rows("SELECT 1 FROM ended WHERE part = ?", (part,)))

    def write(self, part: str, rows: Mapping[str, Sequence[tuple[Any, ...]]], *, ends: bool = False) -> None:
        """Rows by their table; all of a call stand, or none."""
        with self._lock, _told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for table, some in rows.items():
                    if some:
                        places = ", ".join("?" * (len(some[0]) + 1))
                        put = f"INSERT OR REPLACE INTO {table} VALUES ({places})"  # noqa: S608 # nosec B608 - our names
                        self._db.executemany(put, ((*map(fitting, row), part) for row in some))
                if ends:
                    self._db.execute("INSERT OR REPLACE INTO ended VALUES (?)", (part,))
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def forget_but(self, *beginnings: str) -> None:
        """Forget what was read in any part but those whose names begin so."""
        with self._lock, _told():
            names = [row[0] for row in self._db.execute("SELECT part FROM ended").fetchall()]
            old = [(name,) for name in names if not name.startswith(beginnings)]
            self._db.executemany("DELETE FROM ended WHERE part = ?", old)
            self._clear_unended()

    def accounts(self, emails: Iterable[str]) -> dict[AccountKey, KnownAccount]:
        """Those of them that were read."""
        wanted = json.dumps(list(emails))
        ask = (
            "SELECT email, ledger_sequence, folded_sequence, unexplained FROM accounts"
            " WHERE email IN (SELECT value FROM json_each(?))"
        )
        return {AccountKey(row[0]): KnownAccount(*row[1:]) for row in self._rows(ask, (wanted,))}

    def sums(self, kind: str) -> Iterator[tuple[str, str, int]]:
        """Place, name and value, added up over all parts."""
        for key, rows in self._groups("SELECT place, name, value FROM sums WHERE kind = ?", (kind,), by=2):
            yield key[0], key[1], sum(int(row[2]) for row in rows)

    def tasks(self) -> Iterator[tuple[tuple[Any, ...] | None, list[tuple[Any, ...]]]]:
        """Each task with the rows that name it; rows without a task stand alone."""
        return _beside(self._in_order("tasks", ""), self._in_order("moved", ", amount, email"))

    def payments(self) -> Iterator[tuple[tuple[Any, ...] | None, list[tuple[Any, ...]]]]:
        return _beside(self._in_order("payments", ""), self._in_order("applied", ""))

    def adjusted(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """Adjustments of each account, in the order of its ledger."""
        for key, rows in self._groups("SELECT email, sequence, transaction_id, amount FROM adjusted", (), by=1):
            yield key[0], sorted(rows, key=lambda row: row[1])

    def credited(self, resolution: str) -> Iterator[tuple[str, int]]:
        ask = "SELECT payment_id, granted FROM payments WHERE resolution = ? ORDER BY payment_id"
        yield from self._each(ask, (resolution,))

    def ownerless(self) -> Iterator[str]:
        return (row[0] for row in self._each("SELECT DISTINCT email FROM ownerless ORDER BY email"))

    def unreadable(self) -> Iterator[tuple[str, str, str]]:
        yield from self._each("SELECT transaction_id, stored, email FROM unreadable ORDER BY transaction_id")

    def misplaced(self) -> Iterator[tuple[str, str, str]]:
        yield from self._each("SELECT transaction_id, stored, email FROM misplaced ORDER BY transaction_id")

    def behind(self) -> Iterator[tuple[str, int, int]]:
        """Accounts that are not whole in finance's figures, how long their ledger is and how much of it counts."""
        ask = (
            "SELECT email, ledger_sequence, folded_sequence FROM accounts"
            " WHERE folded_sequence <> ledger_sequence AND unexplained IS NULL ORDER BY email"
        )
        yield from self._each(ask)

    def close(self, *, remove: bool) -> None:
        """`remove`: nobody goes on in it."""
        with suppress(sqlite3.Error):
            self._db.close()
        if remove:
            self._remove()
        if self._held:
            self._held.close()

    def _remove(self) -> None:
        if self.path:
            _unlink(self.path)

    def _in_order(self, table: str, then: str) -> Iterator[tuple[Any, ...]]:
        columns = ", ".join(column.split()[0] for column in TABLES[table].split(", "))
        key = columns.split(",")[0]
        return self._each(f"SELECT {columns} FROM {table} ORDER BY {key}{then}")  # noqa: S608 # nosec B608 - our names

    def _groups(self, ask: str, given: tuple[Any, ...], *, by: int) -> Iterator[tuple[Any, list[tuple[Any, ...]]]]:
        """Rows in the order of their first columns, `by` of them, together where those are equal."""
        order = ", ".join(str(place + 1) for place in range(by))
        for key, rows in groupby(self._each(f"{ask} ORDER BY {order}", given), key=lambda row: row[:by]):
            yield key, list(rows)

    def _rows(self, ask: str, given: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock, _told():
            return self._db.execute(ask, given).fetchall()

    def _each(self, ask: str, given: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Row by row; for one thread, after the parts have ended."""
        with _told():
            found = self._db.execute(ask, given)
            while some := found.fetchmany(FETCHED):
                yield from some


def _lock(path: Path) -> IO[str] | None:
    """Whoever holds this is at work in the file; None when somebody is. It ends with the process."""
    held = path.with_suffix(".lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return None
    return held


def _clear(folder: Path) -> None:
    """Remove what checks have left that nobody goes on with."""
    for path in folder.glob("books-*.sqlite"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LASTS.total_seconds() and (held := _lock(path)):
                _unlink(path)
                held.close()


def _unlink(path: Path) -> None:
    for name in (path, *(Path(f"{path}{end}") for end in ("-wal", "-shm")), path.with_suffix(".lock")):
        name.unlink(missing_ok=True)


@contextmanager
def _told() -> Iterator[None]:
    """A disk that is full or cannot be written to, in words."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise NoRoom(f"{NoRoom.message} ({error})") from error


def fitting(value: Any) -> Any:
    """Whole numbers of DynamoDB have 38 digits, those of SQLite 64 bits: a larger one is kept as text."""
    return value if not isinstance(value, int) or -LARGEST <= value < LARGEST else str(value)


def _beside(
    things: Iterator[tuple[Any, ...]], rows: Iterator[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...] | None, list[tuple[Any, ...]]]]:
    """Both in the order of their first columns: each thing with the rows of its key."""
    thing, row = next(things, None), next(rows, None)
    while thing is not None or row is not None:
        key = min(one[0] for one in (thing, row) if one is not None)
        found, mine = [], None
        if thing is not None and thing[0] == key:
            mine, thing = thing, next(things, None)
        while row is not None and row[0] == key:
            found.append(row)
            row = next(rows, None)
        yield mine, found
