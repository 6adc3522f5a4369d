"""Rows as an export in DynamoDB's own format, written as they come: made-up ledgers, and a test's tables."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import md5
from itertools import chain, islice
from pathlib import Path

from app.data.codec import Item
from app.data.typed_json import to_line
from app.domain.backups import FILES, FOLDER, SUMMARY, DataFile, Summary, checksum, write_files, write_summary

ROWS_A_FILE = 500_000
MOMENT = datetime(2026, 11, 30, 3, tzinfo=UTC)


def write_export(folder: Path, table: str, items: Iterable[Item], *, rows_a_file: int = ROWS_A_FILE) -> Summary:
    """The export of one table, named with its prefix, below `folder`."""
    export_id = f"{int(MOMENT.timestamp() * 1000):014d}-{checksum(table.encode()).encode().hex()[:8]}"
    own = folder / FOLDER / export_id
    (own / "data").mkdir(parents=True)
    files: list[DataFile] = []
    for number, some in enumerate(_in_files(iter(items), rows_a_file)):
        key, rows = f"{export_id}/data/{number:04}.json.gz", 0
        path = folder / FOLDER / key
        with gzip.open(path, "wb", compresslevel=1) as opened:
            for item in some:
                opened.write(to_line(item))
                rows += 1
        files.append(DataFile(key, rows, _md5(path)))
    arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}"
    summary = Summary(table, sum(file.items for file in files), MOMENT, export_id, True, arn)
    told = write_summary(
        summary, table_id=table, bucket="", prefix="", begun_at=MOMENT, ended_at=MOMENT, size=summary.items
    )
    for name, content in ((FILES, write_files("", files)), (SUMMARY, told)):
        (own / name).write_text(content)
        (own / name).with_suffix(".md5").write_text(checksum(content.encode()))
    return summary


def _in_files(items: Iterator[Item], rows: int) -> Iterator[Iterator[Item]]:
    """At least one, be it empty."""
    first = next(items, None)
    if first is None:
        yield iter(())
    while first is not None:
        yield chain([first], islice(items, rows - 1))
        first = next(items, None)


def _md5(path: Path) -> str:
    with path.open("rb") as opened:
        found = md5(usedforsecurity=False)
        while piece := opened.read(1 << 20):
            found.update(piece)
    return base64.b64encode(found.digest()).decode()
