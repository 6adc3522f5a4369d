"""Plain tables for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

import click

Row = TypeVar("Row")
MOST = 100_000  # rows that a command prints at once


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their longest cell; control characters in cells are shown, never sent to the terminal."""
    cells = [[_plain(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[place]) for row in cells)]) for place, name in enumerate(columns)]
    for row in [list(columns), ["-" * width for width in widths], *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def first_of(rows: Iterable[Row], limit: int) -> tuple[list[Row], bool]:
    """The first `limit` rows, and whether there is another one."""
    found = list(islice(rows, limit + 1))
    return found[:limit], len(found) > limit


def say_more(what: str, limit: int, option: str, *, as_json: bool) -> None:
    """A list that was cut says so, and how the rest is seen; beside JSON on stderr, where no program reads it."""
    how = f" {option} {min(limit * 10, MOST)} shows more." if limit < MOST else ""
    click.echo(f"\n{what}: {limit:,} are shown and there are more.{how}", err=as_json)


def _plain(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
