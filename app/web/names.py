"""Whom a row means: rows name accounts by their key, and pages show the address that the account has now."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask, g

from app.domain.accounts import AccountKey
from app.domain.by_hand import is_person
from app.web import deps


def look_up_names(names: Iterable[str | None]) -> None:
    """In one read what `address_of` is going to say of several names on one page."""
    known: dict[str, str] = g.setdefault("addresses", {})
    wanted = {AccountKey(name) for name in names if name and is_person(name) and name not in known}
    found = deps.store().accounts.find_many(wanted) if wanted else {}
    known.update({name: found[name].address if name in found else name for name in wanted})


def address_of(name: str | None) -> str:
    """The present address of an account by its key; words that are no account's key stay as they are."""
    if not name or not is_person(name):
        return name or ""
    look_up_names([name])
    known: dict[str, str] = g.addresses
    return known[name]


def register(app: Flask) -> None:
    app.jinja_env.filters["address"] = address_of
