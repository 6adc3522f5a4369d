"""Descriptions as people keep them: text, lines, and tables from a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Protocol

from .errors import ImpacterError

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
DELIMITERS = ",;\t"


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


def table_of(text: str, name: str) -> list[str]:
    """The column `description` of a table, with commas, semicolons or tabs, as spreadsheets write it.

    The first line names the columns; the others are nobody's business here. Raises Unreadable.
    """
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and len(first) == 5:  # what Excel is told by, and writes itself
        text = rest
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            columns = [column.strip().lower() for column in next(reader, [])]
            if columns.count("description") == 1:
                return _column(reader, columns.index("description"), len(columns), name)
        except csv.Error as error:
            if delimiter == DELIMITERS[-1]:
                raise Unreadable(f"{name}, line {reader.line_num}: {error}.") from None
    raise Unreadable(f"{name}: the first line names the columns, and one of them is description.")


def _column(reader: Rows, place: int, width: int, name: str) -> list[str]:
    found = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if any(cell.strip() for cell in row[width:]):
            where = f"{name}, line {reader.line_num}"
            raise Unreadable(f"{where}: {len(row)} columns, where the first line names {width}. Are quotes missing?")
        description = row[place].strip() if place < len(row) else ""
        if not description:
            raise Unreadable(f"{name}, line {reader.line_num}: there is no description.")
        found.append(description)
    return found
