"""A long list page by page, and the cursor by which the next page is asked for."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from .errors import BadCursor

Row = TypeVar("Row")
LAST = "\U0010ffff"  # behind a beginning: sorts behind whatever begins so


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page and the marker of the next. A filtered page may be short and still have a next one."""

    items: list[Row] = field(default_factory=list)
    next_cursor: str | None = None


def each(read: Callable[[str | None], Page[Row]]) -> Iterator[Row]:
    """Every row of a list, page by page: `read` gets the cursor that the page before handed out, None at first."""
    cursor = None
    while True:
        page = read(cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def batched(every: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """As many at a time; the last are fewer. (`itertools.batched` is of Python 3.12.)"""
    rest = iter(every)
    while some := list(islice(rest, size)):
        yield some


def write_cursor(place: list[Any]) -> str:
    """A place in a list, as text for an address."""
    text = json.dumps(place, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, parts: int) -> list[Any]:
    """So many parts, each still to be looked at: a cursor comes from outside. Raises BadCursor."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadCursor from error
    if not isinstance(place, list) or len(place) != parts:
        raise BadCursor
    return place
