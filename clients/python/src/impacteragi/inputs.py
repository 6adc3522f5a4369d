"""Descriptions as people keep them: text, lines, and tables from a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Protocol

from .errors import ImpacterError
from .models import NewTask

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
DELIMITERS = ",;\t"
LABELS = ("reference", "tags")


class Rows(Protocol):
    """A reader of the module csv, whose type has no name."""

    @property
    def line_num(self) -> int: ...

    def __iter__(self) -> Iterator[list[str]]: ...


class Unreadable(ImpacterError):
    """What was given cannot be read as what it should be; the message says where."""


def text_of(content: bytes, name: str) -> str:
    """UTF-8, or what a byte-order mark says, with \\n at the ends of its lines. Raises Unreadable."""
    mark, encoding = next(((mark, of) for mark, of in BOMS if content.startswith(mark)), (b"", "utf-8"))
    content = content[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f'{name}, line {line}: this is not UTF-8. Save it as "UTF-8" or "CSV UTF-8".') from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def description_of(content: bytes, name: str) -> str:
    return text_of(content, name).strip("\n")


def lines_of(text: str) -> list[str]:
    """A description for each line that holds something."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def table_of(text: str, name: str) -> list[NewTask]:
    """The columns `description`, `reference` and `tags` (parted by commas) of a table with commas, semicolons or tabs,
    as spreadsheets write it; the last two may be absent or empty.

    The first line names the columns; others are nobody's business here. Raises Unreadable.
    """
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and len(first) == 5:  # what Excel is told by, and writes itself
        text = rest
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            columns = [column.strip().lower() for column in next(reader, [])]
            if columns.count("description") == 1:
                return [*_tasks(reader, columns, name)]
        except csv.Error as error:
            if delimiter == DELIMITERS[-1]:
                raise Unreadable(f"{name}, line {reader.line_num}: {error}.") from None
    raise Unreadable(f"{name}: the first line names the columns, and one of them is description.")


def _tasks(reader: Rows, columns: Sequence[str], name: str) -> Iterator[NewTask]:
    if twice := next((column for column in LABELS if columns.count(column) > 1), ""):
        raise Unreadable(f"{name}: the first line names the column {twice} twice.")
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        where = f"{name}, line {reader.line_num}"
        if any(cell.strip() for cell in row[len(columns) :]):
            raise Unreadable(
                f"{where}: {len(row)} columns, where the first line names {len(columns)}. Are quotes missing?"
            )
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if not cells.get("description"):
            raise Unreadable(f"{where}: there is no description.")
        tags = [tag.strip() for tag in cells.get("tags", "").split(",") if tag.strip()]
        yield NewTask(cells["description"], cells.get("reference") or None, tags)
