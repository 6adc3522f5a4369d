"""Addresses: parts that are of a kind (the id of an account, an e-mail address of before), and paths to go back to."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app, url_for
from werkzeug.routing import BaseConverter


class AccountId(BaseConverter):
    """An id of ours. It holds no @, so it is never taken for an e-mail address."""

    regex = "[^/@]+"


class EmailAddress(BaseConverter):
    """What is before the @ may hold slashes: `a/b@example.com` is a legal address, and so is `a//b@example.com`.

    Rules that use it say `merge_slashes=False`. Nothing new should: an address of a person is no name for a page.
    """

    regex = ".+@[^/@]+"
    part_isolating = False


def register(app: Flask) -> None:
    kinds: dict[str, Any] = {"account": AccountId, "address": EmailAddress}
    app.url_map.converters.update(kinds)


def plain(endpoint: str) -> str:
    """The address of a view without parts: built once, as most requests name some."""
    known: dict[str, str] = current_app.extensions.setdefault("plain addresses", {})
    if endpoint not in known:
        known[endpoint] = url_for(endpoint)
    return known[endpoint]


def safe_path(target: str | None) -> str:
    """A path on our own host to go back to, or nothing. Browsers read `\\` as `/` and drop tabs and newlines."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return ""
    if "\\" in target or not target.isprintable() or any(char.isspace() for char in target):
        return ""
    return target
