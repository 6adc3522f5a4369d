"""An export of our own, in the format of DynamoDB's, where no DynamoDB exports: local AWS, or another's.

A scan is not one moment: customers may write while it goes on. So each table is read twice, the second time, once all
have been read, for a digest alone. What both readings agree on stood so at the moment between them: its manifest says
ONE_MOMENT. Of a table that has changed it says SCAN, and whoever restores it is told (docs/operating.md).

Nothing is held but a page of 1 MB and a data file of FILE_BYTES for each of PARTS parts. A run that was killed goes on
behind the last data file that was written (`progress.json`); its files are those of one that was not.
"""

from __future__ import annotations

import gzip
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from io import BytesIO
from typing import Any, TypeVar

from app.data.codec import Item
from app.data.table_copies import PARTS, TableCopies
from app.data.tables import Table
from app.data.threads import SEGMENTS, side_by_side
from app.data.typed_json import SAME, digest, from_json, to_json, to_line
from app.domain.backups import (
    FILES,
    FOLDER,
    SUMMARY,
    DataFile,
    Summary,
    checksum,
    name_at,
    new_export_id,
    write_files,
    write_summary,
)
from app.domain.clock import from_iso, to_iso
from app.domain.errors import InvalidInput, NotFound
from app.gateways.depots import Depot

T = TypeVar("T")

FILE_BYTES = 8_000_000  # of a data file, compressed
PROGRESS = "progress.json"
LEVEL = 6  # of gzip


@dataclass(slots=True)
class Part:
    """How far one of the parts of a table is. `start`: the place behind what its files hold."""

    start: Any = None
    ended: bool = False
    files: list[DataFile] = field(default_factory=list)
    digest: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Progress:
    """Of a whole run: the export's id and the parts of each table that was begun."""

    name: str
    begun_at: datetime
    ids: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[Part]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exported:
    """`torn`: tables in which rows changed while they were read."""

    name: str
    rows: dict[str, int]
    torn: tuple[str, ...]


def export(
    copies: TableCopies,
    depot: Depot,
    *,
    clock: Callable[[], datetime],
    name: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Exported:
    """All tables into the depot's folder `name`, or one of the present time; then those manifests that make them whole.

    With the name of a run that was broken off it goes on there; that of one that has ended is refused (InvalidInput).
    Raises StoreUnavailable, DepotUnavailable, OSError.
    """
    progress = _begin(depot, name, clock())
    writer = _Writer(copies, depot, progress, say)
    tables = [(table, _found(copies, table)) for table in copies.tables()]
    for table, _ in tables:
        writer.write(table)
    moment = clock()
    torn = tuple(table.suffix for table, _ in tables if writer.read_again(table) != writer.digest(table))
    for table, named in tables:
        parts = progress.parts[table.suffix]
        files = [file for part in parts for file in part.files]
        summary = Summary(
            copies.prefix + table.suffix,
            sum(file.items for file in files),
            moment,
            progress.ids[table.suffix],
            table.suffix not in torn,
            named.arn,
        )
        writer.seal(summary, files, table_id=named.table_id, ended_at=clock(), size=sum(part.bytes for part in parts))
    depot.remove(f"{progress.name}/{PROGRESS}")
    rows = {
        suffix: sum(file.items for part in parts for file in part.files) for suffix, parts in progress.parts.items()
    }
    return Exported(progress.name, rows, torn)


def _found(copies: TableCopies, table: Table) -> Any:
    named = copies.find(table.suffix)
    if named is None:
        raise InvalidInput(f"There is no table {copies.prefix}{table.suffix}: nothing was exported.")
    return named


def _begin(depot: Depot, name: str, now: datetime) -> Progress:
    name = name or name_at(now)
    try:
        return _read(name, depot.read(f"{name}/{PROGRESS}"))
    except NotFound:
        pass
    if any(depot.names(f"{name}/")):
        raise InvalidInput(f"{name} in {depot} holds a backup that has ended, or none of ours. Give another name.")
    return Progress(name, now)


class _Writer:
    """Data files and manifests of one run; how far it is, it says in PROGRESS behind each file."""

    def __init__(self, copies: TableCopies, depot: Depot, progress: Progress, say: Callable[[str], None]) -> None:
        self._copies = copies
        self._depot = depot
        self._progress = progress
        self._say = say
        self._lock = threading.Lock()

    def write(self, table: Table) -> None:
        progress, suffix = self._progress, table.suffix
        progress.ids.setdefault(suffix, new_export_id(progress.begun_at, secrets.token_hex(4)))
        parts = progress.parts.setdefault(suffix, [Part() for _ in range(PARTS)])
        self._keep()
        _all(partial(self._write_part, suffix, number) for number in range(PARTS))
        if not any(part.files for part in parts):  # as DynamoDB does, and for readers that want a file
            parts[0].files.append(self._file(suffix, 0, 0, _File()))
            self._keep()
        self._say(f"{suffix}: {sum(file.items for part in parts for file in part.files):,} rows")

    def digest(self, table: Table) -> int:
        return sum(part.digest for part in self._progress.parts[table.suffix]) % SAME

    def read_again(self, table: Table) -> int:
        self._say(f"{table.suffix}: whether it has changed meanwhile")
        return digest_of(self._copies, table.suffix)

    def seal(self, summary: Summary, files: list[DataFile], **told: Any) -> None:
        """The summary last: an export without it has not ended."""
        prefix = f"{self._depot.prefix}{self._progress.name}/"
        text = write_summary(
            summary, bucket=self._depot.bucket, prefix=prefix, begun_at=self._progress.begun_at, **told
        )
        for name, content in ((FILES, write_files(prefix, files)), (SUMMARY, text)):
            path = f"{self._progress.name}/{FOLDER}{summary.export_id}/{name}"
            self._depot.write(path.removesuffix("json") + "md5", checksum(content.encode()).encode())
            self._depot.write(path, content.encode())

    def _write_part(self, suffix: str, number: int) -> None:
        part = self._progress.parts[suffix][number]
        if part.ended:
            return
        start = from_json(part.start) if part.start else None
        file, summed = _File(), 0
        for items, place in self._copies.pages(suffix, number, start):
            for item in items:
                file.add(item)
                summed += digest(item)
            if place is not None and file.size < FILE_BYTES:
                continue
            written = self._file(suffix, number, len(part.files), file) if file.items else None
            with self._lock:  # at once: a file that is noted is one that the place lies behind
                part.start, part.ended = (to_json(place) if place else None), place is None
                part.digest = (part.digest + summed) % SAME
                part.files += [written] if written else []
                part.bytes += file.raw
            self._keep()
            file, summed = _File(), 0

    def _file(self, suffix: str, part: int, number: int, file: _File) -> DataFile:
        key = f"{self._progress.ids[suffix]}/data/part-{part}-{number:05d}.json.gz"
        content = file.content()
        self._depot.write(f"{self._progress.name}/{FOLDER}{key}", content)
        return DataFile(key, file.items, checksum(content))

    def _keep(self) -> None:
        with self._lock:
            self._depot.write(f"{self._progress.name}/{PROGRESS}", _written(self._progress))


class _File:
    """A data file in the making."""

    def __init__(self) -> None:
        self._made = BytesIO()
        self._gzip = gzip.GzipFile(fileobj=self._made, mode="wb", compresslevel=LEVEL, mtime=0)
        self.items = self.raw = 0

    def add(self, item: Item) -> None:
        line = to_line(item)
        self._gzip.write(line)
        self.items += 1
        self.raw += len(line)

    @property
    def size(self) -> int:
        return self._made.tell()

    def content(self) -> bytes:
        self._gzip.close()
        return self._made.getvalue()


def digest_of(copies: TableCopies, suffix: str) -> int:
    """Of a table as it stands: the same for the same rows, in whatever order."""

    def of_part(number: int) -> int:
        return sum(digest(item) for items, _ in copies.pages(suffix, number) for item in items)

    return sum(_all(partial(of_part, number) for number in range(PARTS))) % SAME


def _all(acts: Iterable[Callable[[], T]]) -> list[T]:
    """What all of them return, side by side. The others go to their end behind one that fails."""

    def outcome(act: Callable[[], T]) -> T | Exception:
        try:
            return act()
        except Exception as failure:
            return failure

    found = side_by_side(SEGMENTS, [partial(outcome, act) for act in acts])
    for failure in found:
        if isinstance(failure, Exception):
            raise failure
    return [each for each in found if not isinstance(each, Exception)]


def _written(progress: Progress) -> bytes:
    told = {
        "name": progress.name,
        "begun_at": to_iso(progress.begun_at),
        "ids": progress.ids,
        "parts": {
            suffix: [
                {
                    "start": part.start,
                    "ended": part.ended,
                    "files": [[file.key, file.items, file.md5] for file in part.files],
                    "digest": f"{part.digest:x}",
                    "bytes": part.bytes,
                }
                for part in parts
            ]
            for suffix, parts in progress.parts.items()
        },
    }
    return json.dumps(told).encode()


def _read(name: str, content: bytes) -> Progress:
    try:
        told = json.loads(content)
        parts = {suffix: list(_parts(found)) for suffix, found in told["parts"].items()}
        return Progress(name, from_iso(told["begun_at"]), dict(told["ids"]), parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{name}/{PROGRESS} cannot be read: begin anew under another name.") from error


def _parts(found: Any) -> Iterator[Part]:
    for part in found:
        files = [DataFile(*file) for file in part["files"]]
        yield Part(part["start"], part["ended"], files, int(part["digest"], 16), part["bytes"])
