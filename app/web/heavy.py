"""Reads that cost many times a page: searches and files. Limited by account, and made beside the common slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import g
from limits import RateLimitItem

from app.domain.errors import PlacesTaken
from app.domain.paging import Page
from app.services.throttle import FILE_BY_ACCOUNT, SEARCH_BY_ACCOUNT
from app.web import deps
from app.web.looking import is_head, only_looking

T = TypeVar("T")


def search(read: Callable[[], Page[T]]) -> Page[T]:
    """A page of a search of whoever is signed in. Raises RateLimited and PlacesTaken.

    Who only looks is not counted, so nothing is read: HEAD shows no rows, and a browser that fetches ahead is put off.
    """
    said = "You have searched many times in a short while."
    return _limited("Searching", read, Page, SEARCH_BY_ACCOUNT, "search", said)


def file(
    write: Callable[[], T], *, head: Callable[[], T], limit: RateLimitItem = FILE_BY_ACCOUNT, name: str = "file"
) -> T:
    """A file, or a page as long as one, for whoever is signed in. Raises RateLimited and PlacesTaken.

    `head` makes the answer to HEAD, for which nothing is read either.
    """
    return _limited("Making files", write, head, limit, name, "You have fetched many files in a short while.")


def _limited(what: str, act: Callable[[], T], head: Callable[[], T], limit: RateLimitItem, name: str, said: str) -> T:
    deps.get().throttle.hit(limit, name, g.account.email, said=said)  # counts nobody who only looks, but refuses them
    if is_head():
        return head()
    if only_looking():
        raise PlacesTaken(what)
    return beside(what, act)


def beside(what: str, act: Callable[[], T]) -> T:
    """The same without a limit, as operators have it. Raises PlacesTaken, which names `what` is busy."""
    with deps.get().places.held(g.account.email, what):
        return act()
