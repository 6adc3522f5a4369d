"""Whether a backup is whole: every table, each data file as its manifest says, all of one moment. Changes nothing."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from typing import BinaryIO

from app.data.codec import Item
from app.data.tables import ALL
from app.data.typed_json import SAME, digest, from_line
from app.domain.backups import FILES, FOLDER, SUMMARY, DataFile, Summary, checksum, read_files, read_summary
from app.domain.clock import to_iso
from app.domain.errors import InvalidInput, NotFound
from app.gateways.depots import Depot

PIECE = 1 << 20
LONGEST_LINE = 4_000_000  # an item has 400 KB at most; in JSON that can be six times as much


@dataclass(frozen=True, slots=True)
class TableExport:
    """The export of one table in a depot. `folder`: where it lies; `table`: the name without its prefix."""

    table: str
    folder: str
    summary: Summary
    files: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a backup: with which table or file, and how."""

    subject: str
    what: str


@dataclass(slots=True)
class Backup:
    """What a depot's folder holds. Whole where there are no faults."""

    name: str
    exports: dict[str, TableExport] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    digests: dict[str, int] = field(default_factory=dict)  # of the tables whose data was read

    @property
    def rows(self) -> int:
        return sum(export.summary.items for export in self.exports.values())

    @property
    def torn(self) -> list[str]:
        """Tables in which rows changed while they were read."""
        return [name for name, export in self.exports.items() if not export.summary.is_one_moment]


def names(depot: Depot) -> list[str]:
    """The backups of a depot, the oldest first; those that have not ended, too."""
    return [name for name in depot.folders() if any(depot.names(f"{name}/{FOLDER}"))]


def look(depot: Depot, name: str, *, without: Iterable[str] = ()) -> Backup:
    """What its manifests say, and what they lack. No data file is read; a bucket says by what it knows each.

    `without`: tables that it need not have.

    Raises DepotUnavailable.
    """
    backup = Backup(name)
    under = f"{name}/{FOLDER}" if name else FOLDER
    sizes, etags = dict(depot.names(under)), depot.etags(under)
    folders = sorted({key.removeprefix(under).partition("/")[0] for key in sizes if "/" in key.removeprefix(under)})
    if not folders:
        backup.faults.append(Fault(name or str(depot), "no export is there: no folder AWSDynamoDB/…"))
        return backup
    for folder in folders:
        _look_at(depot, backup, f"{under}{folder}/", sizes, etags)
    backup.exports = {table.suffix: backup.exports[table.suffix] for table in ALL if table.suffix in backup.exports}
    for table in ALL:
        if table.suffix not in backup.exports and table.suffix not in without:
            backup.faults.append(Fault(table.suffix, "the table is missing: no export of it has ended"))
    backup.faults += _of_other_moments(backup)
    return backup


def read(
    depot: Depot, backup: Backup, *, say: Callable[[str], None] = lambda line: None, tables: Iterable[str] = ()
) -> Backup:
    """`look`'s backup, with what its data files show: each is read from beginning to end. Raises DepotUnavailable."""
    wanted = set(tables)
    for export in backup.exports.values():
        if wanted and export.table not in wanted:
            continue
        say(f"{export.table}: {len(export.files):,} files, {export.summary.items:,} rows")
        total = 0
        for file in export.files:
            try:
                summed = 0
                for item in items_of(depot, export, file):
                    summed += digest(item)
                total = (total + summed) % SAME
            except InvalidInput as error:
                backup.faults.append(Fault(f"{export.table}: {path_of(export, file)}", error.message))
            except NotFound:
                pass  # `look` has said so
        backup.digests[export.table] = total
    return backup


def path_of(export: TableExport, file: DataFile) -> str:
    return export.folder + file.key.partition("/")[2]


def items_of(depot: Depot, export: TableExport, file: DataFile) -> Iterator[Item]:
    """The items of a data file, once all of it was found to be what the manifest says.

    Raises InvalidInput with what is wrong, NotFound, DepotUnavailable.
    """
    with depot.open(path_of(export, file)) as opened:
        if (found := _md5(opened)) != file.md5:
            opened.seek(0)
            for _ in _lines(opened):  # what can be said more plainly is
                pass
            raise InvalidInput(f"it is another file than the manifest names: md5 {found}, not {file.md5}")
        opened.seek(0)
        count = 0
        for count, line in enumerate(_lines(opened), 1):
            try:
                yield from_line(line)
            except ValueError as error:
                raise InvalidInput(f"line {count:,} is no item of DynamoDB") from error
        if count != file.items:
            raise InvalidInput(f"it holds {count:,} rows, the manifest says {file.items:,}")


def _look_at(depot: Depot, backup: Backup, folder: str, sizes: dict[str, int], etags: dict[str, str]) -> None:
    summary_name, files_name = folder + SUMMARY, folder + FILES
    if summary_name not in sizes:
        backup.faults.append(Fault(folder, f"the export has not ended, or was copied in part: it has no {SUMMARY}"))
        return
    try:
        summary = read_summary(_sealed(depot, summary_name, sizes))
        table = suffix_of(summary.table)
        if table is None:
            return  # of a table that this release does not have
        files = read_files(_sealed(depot, files_name, sizes))
    except (InvalidInput, NotFound) as error:
        backup.faults.append(Fault(summary_name, error.message))
        return
    export = TableExport(table, folder, summary, tuple(files))
    if table in backup.exports:
        backup.faults.append(Fault(table, f"it is there twice: {backup.exports[table].folder} and {folder}"))
    backup.exports[table] = export
    backup.faults += _faults_of(export, sizes, etags)


def _faults_of(export: TableExport, sizes: dict[str, int], etags: dict[str, str]) -> Iterator[Fault]:
    own = export.folder.rstrip("/").rpartition("/")[2]
    for file in export.files:
        if file.key.partition("/")[0] != own:
            yield Fault(f"{export.table}: {file.key}", f"the manifest names a file of another export than {own}")
        elif path_of(export, file) not in sizes:
            yield Fault(f"{export.table}: {path_of(export, file)}", "the data file is missing")
        elif (etag := etags.get(path_of(export, file))) and not file.is_known_by(etag):
            what = f"it is another file than the manifest names: S3 knows it by {etag}, not {file.etag}"
            yield Fault(f"{export.table}: {path_of(export, file)}", what)
    if export.summary.export_id and export.summary.export_id != own:
        yield Fault(export.table, f"the manifest in {export.folder} is that of export {export.summary.export_id}")
    counted = sum(file.items for file in export.files)
    if counted != export.summary.items:
        told = f"{export.summary.items:,} rows in {SUMMARY}, {counted:,} in {FILES}"
        yield Fault(export.table, f"the two manifests do not fit one another: {told}")
    known = {path_of(export, file) for file in export.files}
    for name in sorted(sizes):
        if name.startswith(export.folder + "data/") and name not in known:
            yield Fault(f"{export.table}: {name}", "no manifest names this data file")


def _of_other_moments(backup: Backup) -> Iterator[Fault]:
    """Tables of another day do not fit the others, however whole each is."""
    moments = {table: to_iso(e.summary.moment) for table, e in backup.exports.items() if e.summary.moment}
    if len(set(moments.values())) < 2:
        return
    usual = max(set(moments.values()), key=lambda moment: (list(moments.values()).count(moment), moment))
    for table, moment in moments.items():
        if moment != usual:
            yield Fault(table, f"it is of another moment: {moment}, most others of {usual}")


def _sealed(depot: Depot, name: str, sizes: dict[str, int]) -> str:
    """A manifest that is what its checksum says, where that is there."""
    content = depot.read(name)
    seal = name.removesuffix("json") + "md5"
    if seal in sizes and depot.read(seal).strip() != checksum(content).encode():
        raise InvalidInput(f"it is not the manifest that {seal.rpartition('/')[2]} is of")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("it is no text") from error


def suffix_of(table: str) -> str | None:
    """The name without its prefix, of a table that this release has."""
    known = sorted((one.suffix for one in ALL), key=len, reverse=True)
    return next((suffix for suffix in known if table.endswith(suffix)), None)


def _md5(opened: BinaryIO) -> str:
    found = md5(usedforsecurity=False)
    while piece := opened.read(PIECE):
        found.update(piece)
    return base64.b64encode(found.digest()).decode()


def _lines(opened: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=opened, mode="rb") as unpacked:
            while line := unpacked.readline(LONGEST_LINE):
                if line.strip():
                    yield line
    except EOFError as error:
        raise InvalidInput("the file ends too early: its end is cut off") from error
    except (OSError, zlib.error) as error:
        raise InvalidInput("it cannot be unpacked: it is damaged") from error
