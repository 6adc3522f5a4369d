"""A long list page by page, and the cursor by which the next page is asked for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def write_cursor(place: list[Any], of: Sequence[str]) -> str:
    """A place in a list, as text for an address.

    `of` says which list: whose it is, its order, and all that narrows it. It goes in as a digest, so that the cursor
    opens no other list, where the place would mean something else and the page would leave rows out without a word.
    It is no signature: a place that somebody made up opens nothing that its list does not show anyway.
    """
    text = json.dumps([*place, _digest(of)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, parts: int, of: Sequence[str]) -> list[Any]:
    """So many parts, each still to be looked at: a cursor comes from outside. Raises BadCursor, also for one of another
    list, and for one of a release that did not bind them.
    """
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadCursor from error
    if not isinstance(place, list) or len(place) != parts + 1 or place.pop() != _digest(of):
        raise BadCursor
    return place


def _digest(of: Sequence[str]) -> str:
    written = json.dumps(list(of)).encode()  # quotes and commas stand for themselves in it, so no two lists are one
    return base64.urlsafe_b64encode(hashlib.blake2b(written, digest_size=9).digest()).decode()
