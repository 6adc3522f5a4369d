"""Reads that cost many times a page: searches and files. Limited by account, and made beside the common slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import g
from limits import RateLimitItem

from app import deps
from app.data.base import Page
from app.domain.errors import PlacesTaken
from app.looking import is_head, only_looking
from app.throttle import FILE_BY_ACCOUNT, SEARCH_BY_ACCOUNT

T = TypeVar("T")


def search(read: Callable[[], Page[T]]) -> Page[T]:
    """A page of a search of whoever is signed in. Raises RateLimited and PlacesTaken.

    Who only looks is not counted, so nothing is read: HEAD shows no rows, and a browser that fetches ahead is put off.
    """
    if is_head():
        return Page()
    if only_looking():
        raise PlacesTaken("Searching")
    said = "You have searched many times in a short while."
    deps.get().throttle.hit(SEARCH_BY_ACCOUNT, "search", g.account.email, said=said)
    return beside("Searching", read)


def file(write: Callable[[], T], limit: RateLimitItem = FILE_BY_ACCOUNT, name: str = "file") -> T:
    """A file, or a page as long as one, for whoever is signed in. Raises RateLimited and PlacesTaken."""
    said = "You have fetched many files in a short while."
    deps.get().throttle.hit(limit, name, g.account.email, said=said)
    return beside("Making files", write)


def beside(what: str, act: Callable[[], T]) -> T:
    """The same without a limit, as operators have it. Raises PlacesTaken, which names `what` is busy."""
    with deps.get().places.held(g.account.email, what):
        return act()
