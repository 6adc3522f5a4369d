"""Everything the stand-in remembers, in one sqlite file that survives the process being killed."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, created INTEGER NOT NULL,
  body TEXT NOT NULL, private TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, seq);
CREATE INDEX IF NOT EXISTS objects_by_intent ON objects (kind, json_extract(body, '$.payment_intent'));
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, state TEXT NOT NULL, due REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, forced INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL);
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (state, due);
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS attempts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, delivery INTEGER NOT NULL, at REAL NOT NULL, milliseconds INTEGER NOT NULL,
  status INTEGER, answer TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS attempts_by_delivery ON attempts (delivery);
CREATE TABLE IF NOT EXISTS jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, due REAL NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS idempotency (
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, request TEXT NOT NULL,
  created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
TABLES = ("objects", "deliveries", "attempts", "jobs", "idempotency", "settings")


@dataclass(slots=True)
class Stored:
    """One of Stripe's objects: `body` is what the API shows, `private` what only the stand-in knows."""

    body: dict[str, Any]
    private: dict[str, Any]
    seq: int = 0

    @property
    def id(self) -> str:
        return str(self.body["id"])


class Store:
    """One connection behind one lock: few requests come at once, and a plain order is worth more."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self.on_commit: Callable[[], None] = lambda: None
        self._db = sqlite3.connect(directory / "stripe.sqlite", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's writes, or none; nests."""
        with self._lock:
            outermost = self._depth == 0
            before = self._db.total_changes
            if outermost:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if outermost:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if outermost:
                self._db.execute("COMMIT")
            changed = self._db.total_changes > before
        if outermost and changed:  # whoever waits for news must not be woken by his own looking
            self.on_commit()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        with self._lock:
            found: sqlite3.Row | None = self._db.execute(sql, values).fetchone()
            return found

    def count(self, sql: str, *values: Any) -> int:
        row = self.row(sql, *values)
        return int(row[0]) if row else 0

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement inside a transaction; the id of the row it made."""
        with self.transaction():
            return self._db.execute(sql, values).lastrowid or 0

    # Objects

    def add(self, kind: str, body: Mapping[str, Any], private: Mapping[str, Any] | None = None) -> Stored:
        stored = Stored(dict(body), dict(private or {}))
        stored.seq = self.write(
            "INSERT INTO objects (id, kind, created, body, private) VALUES (?, ?, ?, ?, ?)",
            stored.id,
            kind,
            stored.body["created"],
            json.dumps(stored.body),
            json.dumps(stored.private),
        )
        return stored

    def save(self, stored: Stored) -> None:
        self.write(
            "UPDATE objects SET body = ?, private = ? WHERE id = ?",
            json.dumps(stored.body),
            json.dumps(stored.private),
            stored.id,
        )

    def get(self, kind: str, object_id: str) -> Stored | None:
        row = self.row("SELECT * FROM objects WHERE id = ? AND kind = ?", object_id, kind)
        return _stored(row) if row else None

    def find(self, kind: str, **fields: Any) -> list[Stored]:
        """Objects whose body has these values, oldest first."""
        where, values = _where(kind, fields)
        return [_stored(row) for row in self.rows(f"SELECT * FROM objects WHERE {where} ORDER BY seq", *values)]  # noqa: S608

    def page(
        self,
        kind: str,
        *,
        limit: int,
        after: int | None = None,
        before: int | None = None,
        created: Mapping[str, int] | None = None,
        types: list[str] | None = None,
        delivered: bool | None = None,
        **fields: Any,
    ) -> tuple[list[Stored], bool]:
        """Newest first; `after` and `before` are the `seq` of a neighbour. The flag says that more follow."""
        where, values = _where(kind, {name: value for name, value in fields.items() if value is not None})
        for operator, moment in (created or {}).items():
            where += f" AND created {_OPERATORS[operator]} ?"
            values.append(moment)
        if types:
            where += f" AND json_extract(body, '$.type') IN ({', '.join('?' * len(types))})"
            values.extend(types)
        if delivered is not None:
            taken = "SELECT event FROM deliveries WHERE state = 'delivered'"
            where += f" AND id {'' if delivered else 'NOT '}IN ({taken})"
        if after is not None:
            where += " AND seq < ?"
            values.append(after)
        if before is not None:
            where += " AND seq > ?"
            values.append(before)
        order = "ASC" if before is not None else "DESC"
        rows = self.rows(f"SELECT * FROM objects WHERE {where} ORDER BY seq {order} LIMIT ?", *values, limit + 1)  # noqa: S608
        found = [_stored(row) for row in rows[:limit]]
        if before is not None:
            found.reverse()
        return found, len(rows) > limit

    # Settings, jobs

    def setting(self, name: str, default: Any = None) -> Any:
        row = self.row("SELECT value FROM settings WHERE name = ?", name)
        return json.loads(row["value"]) if row else default

    def set_setting(self, name: str, value: Any) -> None:
        self.write("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", name, json.dumps(value))

    def schedule(self, kind: str, ref: str, due: float) -> None:
        self.write("INSERT INTO jobs (due, kind, ref) VALUES (?, ?, ?)", due, kind, ref)

    def clear(self) -> None:
        with self.transaction():
            for table in TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608


_OPERATORS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}


def _where(kind: str, fields: Mapping[str, Any]) -> tuple[str, list[Any]]:
    where, values = "kind = ?", [kind]
    for name, value in fields.items():
        # The path is a literal so that the index on it can serve; names come from this package's own code only.
        where += f" AND json_extract(body, '$.{name}') = ?"
        values.append(value)
    return where, values


def _stored(row: sqlite3.Row) -> Stored:
    return Stored(json.loads(row["body"]), json.loads(row["private"]), row["seq"])


_dated: ContextVar[int | None] = ContextVar("dated", default=None)


def now() -> int:
    """When what is made now was made, in Unix seconds."""
    told = _dated.get()
    return int(time.time()) if told is None else told


@contextmanager
def dated(created: int | None) -> Iterator[None]:
    """What is made within was made then; None: as it happens."""
    token = _dated.set(created)
    try:
        yield
    finally:
        _dated.reset(token)
