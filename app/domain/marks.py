"""Small rows that go by themselves. `expires_at` is in seconds since 1970, as the store's time to live wants it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .accounts import AccountKey

KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Done:
    """What an act that is done once has done, for whoever repeats it."""

    done: Any
    expires_at: int

    @classmethod
    def at(cls, now: datetime, done: Any) -> Done:
        return cls(done, int((now + KEPT).timestamp()))


@dataclass(frozen=True, slots=True)
class NewId:
    """Whose a new id is, until the index of ids is sure to have it."""

    email: AccountKey
    expires_at: int


@dataclass(frozen=True, slots=True)
class Pretence:
    """The links that an address without an account would have been mailed: when the last, its place in a row."""

    mailed_at: datetime | None = None
    mails: int = 0
    expires_at: int = 0
