"""The rules of the books over an export, by DuckDB: on a laptop, in memory that does not grow with the ledger.

    scripts/books_sql check --export DIR         # what differs; ends with 1 if anything does
    scripts/books_sql liability --export DIR --at 2026-11-01
    scripts/books_sql roll-forward --export DIR
    scripts/books_sql unspent --export DIR --payment pi_123
    scripts/books_sql athena --into deploy/aws/athena/sql   # the same SQL, for Athena (deploy/aws/athena/README.md)

DIR holds the exports of all tables of one moment, as S3 does (`…/AWSDynamoDB/<id>/manifest-summary.json`): copy it with
`aws s3 cp --recursive`. It is read and never changed. DuckDB is in requirements-audit.txt.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.checks import Difference
from app.domain.ledger_figures import shard_of
from app.domain.people import person_of
from app.gateways.depots import Folder
from app.services.backup import looking

from . import athena
from .rules import DUCKDB, FINDINGS, ROLL_FORWARD, UNSPENT, liability, statements, unspent_statements
from .sources import SOURCES, duckdb_type

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"
FETCHED = 10_000


class NotWhole(Exception):
    """The export lacks something, so what is found in it says nothing; each line names one thing."""


class Books:
    """An export in DuckDB, whose tables lie in a file of its own until it is closed."""

    def __init__(
        self,
        export: Path,
        *,
        memory: str = MEMORY,
        threads: int = 2,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Raises NotWhole for a folder that does not hold whole exports of all that the rules read."""
        import duckdb

        self._say = say
        self._folder = tempfile.TemporaryDirectory(prefix="books-sql-")
        self._db: DuckDBPyConnection = duckdb.connect(f"{self._folder.name}/books.duckdb")
        self._db.execute("SET memory_limit = ?", [memory])
        self._db.execute("SET threads = ?", [threads])
        self._db.execute("SET temp_directory = ?", [self._folder.name])
        self._db.execute("SET preserve_insertion_order = false")
        self._db.execute("SET enable_progress_bar = false")  # it is told step by step
        self._read(export)

    def _read(self, export: Path) -> None:
        depot = Folder(export)
        under = sorted({path.parent.parent.parent for path in export.rglob("manifest-summary.json")})
        if len(under) != 1:
            raise NotWhole(f"{export} holds {len(under)} backups: name the folder of one, in which AWSDynamoDB lies.")
        name = "" if under[0] == export else str(under[0].relative_to(export))
        backup = looking.look(depot, name)
        faults = [fault for fault in backup.faults if _concerns(fault.subject)]
        if faults:
            raise NotWhole("\n".join(f"{fault.subject}: {fault.what}" for fault in faults))
        for torn in set(backup.torn) & SOURCES.keys():
            self._say(f"{torn} changed while it was exported: what is found there may be of that moment alone.")
        for table, attributes in SOURCES.items():
            of = backup.exports[table]
            files = [str(export / looking.path_of(of, file)) for file in of.files]
            columns = duckdb_type({"Item": dict(attributes)})
            inner = columns.removeprefix('STRUCT("Item" ').removesuffix(")")
            listed = ", ".join(f"'{file.replace(chr(39), chr(39) * 2)}'" for file in files)
            self._db.execute(
                f"CREATE VIEW {table.lower()}_export AS SELECT Item AS item FROM read_json([{listed}],"
                f" format = 'newline_delimited', columns = {{'Item': '{inner}'}})"
            )
            self._say(f"{table}: {of.summary.items:,} rows")
            (read,) = self._db.execute(f"SELECT count(*) FROM {table.lower()}_export").fetchone() or (0,)
            if read != of.summary.items:
                raise NotWhole(f"{table}: its files hold {read:,} rows, the manifest says {of.summary.items:,}.")
        for name, statement in statements(DUCKDB):
            if name == "counted":
                every = "SELECT email FROM accounts UNION SELECT email FROM ledger"
                self._fill("shards", {"email": "VARCHAR", "shard": "INTEGER"}, every, shard_of)
            if name == "adjusted":
                names = "SELECT actor FROM acts UNION SELECT proposed_by FROM acts"
                at = f"SELECT name FROM ({names}) n(name) WHERE strpos(name, '@') > 0"
                self._fill("persons", {"name": "VARCHAR", "person": "VARCHAR"}, at, person_of)
            self._say(name)
            self._db.execute(statement)

    def _fill(self, table: str, columns: dict[str, str], of: str, function: Callable[[str], Any]) -> None:
        """What only Python knows of a name, in a table beside it: DuckDB calls no function of ours without NumPy."""
        path = Path(self._folder.name) / f"{table}.json"
        with path.open("w") as opened:
            found = self._db.execute(of)
            while some := found.fetchmany(FETCHED):
                for (name,) in some:
                    opened.write(json.dumps(dict(zip(columns, (name, function(name)), strict=True))) + "\n")
        described = ", ".join(f"{name}: '{kind}'" for name, kind in columns.items())
        self._db.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_json('{path}', format = 'newline_delimited',"
            f" columns = {{{described}}})"
        )
        path.unlink()

    def differences(self) -> list[Difference]:
        return [Difference(*row) for row in self._db.execute(FINDINGS).fetchall()]

    def unspent(self, payment_id: str = "") -> list[dict[str, Any]]:
        """What of each payment is unspent; None where the ledger of its account does not add up."""
        for name, statement in unspent_statements(DUCKDB):
            self._say(name)
            self._db.execute(statement)
        return [row for row in self.ask(UNSPENT) if payment_id in ("", row["payment_id"])]

    def ask(self, query: str) -> list[dict[str, Any]]:
        found = self._db.execute(query)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def close(self) -> None:
        self._db.close()
        self._folder.cleanup()


@contextmanager
def opened(export: Path, **how: Any) -> Iterator[Books]:
    books = Books(export, **how)
    try:
        yield books
    finally:
        books.close()


def _concerns(subject: str) -> bool:
    """Whether a fault of a backup is one of a table that the rules read, or of none."""
    table = looking.suffix_of(subject.partition(":")[0])
    return table is None or table in SOURCES


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/books_sql", description="The rules of the books over an export.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, help in {
        "check": "what differs; ends with 1 if anything does",
        "liability": "credits owed at a moment",
        "roll-forward": "the ledger by month",
        "unspent": "what of each payment is unspent",
    }.items():
        one = verbs.add_parser(verb, help=help)
        one.add_argument("--export", type=Path, required=True, help="the folder in which AWSDynamoDB lies")
        one.add_argument("--memory", default=MEMORY, help="of DuckDB, %(default)s by default; the rest is on the disk")
        one.add_argument("--threads", type=int, default=2)
        one.add_argument("--json", action="store_true", help="for programs")
        if verb == "liability":
            one.add_argument("--at", type=datetime.fromisoformat, help="at this moment (UTC); by all rows without it")
        if verb == "unspent":
            one.add_argument("--payment", default="", help="of this payment alone")
    written = verbs.add_parser("athena", help="write the same SQL for Athena")
    written.add_argument("--into", type=Path, required=True)
    written.add_argument("--manifests", type=Path, help="a folder with the exports' manifests: where their data lies")
    given = parser.parse_args(arguments)
    if given.verb == "athena":
        athena.write(given.into, athena.places_in(given.manifests) if given.manifests else {})
        return 0
    try:
        return _answer(given)
    except ModuleNotFoundError as error:
        if error.name != "duckdb":
            raise
        print("DuckDB is not here: pip install --require-hashes -r requirements-audit.txt", file=sys.stderr)
    except NotWhole as error:
        print(f"Nothing was checked.\n{error}", file=sys.stderr)
    return 2


def _answer(given: argparse.Namespace) -> int:
    def say(line: str) -> None:
        print(f"… {line}", file=sys.stderr)

    with opened(given.export, memory=given.memory, threads=given.threads, say=say) as books:
        if given.verb == "check":
            differences = books.differences()
            if given.json:
                print(json.dumps([asdict(one) for one in differences]))
            else:
                for one in differences:
                    print(f"{one.subject}\t{one.what}\t{one.expected} expected\t{one.found} found")
                print(f"{len(differences):,} differences." if differences else "The books agree.")
            return 1 if differences else 0
        rows = _rows(given, books)
    if given.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print("\t".join(f"{name} {value}" for name, value in row.items()))
    return 0


def _rows(given: argparse.Namespace, books: Books) -> list[dict[str, Any]]:
    if given.verb == "unspent":
        return books.unspent(given.payment)
    if given.verb == "roll-forward":
        return books.ask(ROLL_FORWARD)
    return books.ask(liability(given.at.replace(tzinfo=given.at.tzinfo or UTC) if given.at else None))


if __name__ == "__main__":
    sys.exit(main())
