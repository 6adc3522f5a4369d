"""Counters that hold across all workers and machines: a storage for the `limits` library, in DynamoDB with TTL."""

from __future__ import annotations

import math

from limits.storage import Storage

from app.domain.clock import utcnow
from app.domain.errors import StoreUnavailable

from .base import Base
from .tables import RATE_LIMITS

TABLE = RATE_LIMITS.suffix


class RateLimitStorage(Storage):
    """Fixed windows. The window is part of the key, so an expired counter is a different item, whenever TTL removes it.

    https://limits.readthedocs.io/en/stable/custom-storage.html
    """

    STORAGE_SCHEME = ["dynamodb"]

    def __init__(self, base: Base) -> None:
        super().__init__("dynamodb://")
        self._base = base

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return StoreUnavailable

    def incr(self, key: str, expiry: int, amount: int = 1, *, ends_at: int | None = None) -> int:
        """`ends_at` names the window, for what is taken back; without it the present one."""
        ends_at = ends_at or window_end(expiry)
        row = self._base._update(
            TABLE, {"key": f"{key}@{ends_at}"}, set={"expires_at": ends_at + 60}, add={"hits": amount}
        )
        return int(row["hits"])

    def get(self, key: str) -> int:
        row = self._base._get(TABLE, {"key": f"{key}@{window_end(_expiry_of(key))}"})
        return row["hits"] if row else 0

    def get_expiry(self, key: str) -> float:
        return window_end(_expiry_of(key))

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        raise NotImplementedError("counters end by themselves")

    def clear(self, key: str) -> None:
        ends_at = window_end(_expiry_of(key))
        self._base._update(TABLE, {"key": f"{key}@{ends_at}"}, set={"expires_at": ends_at + 60, "hits": 0})


def window_end(expiry: int) -> int:
    """When the present window of so many seconds is over, in seconds of Unix time."""
    return (math.floor(utcnow().timestamp()) // expiry + 1) * expiry


_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def _expiry_of(key: str) -> int:
    """The library's keys end in `/<amount>/<multiples>/<granularity>`."""
    multiples, granularity = key.rsplit("/", 2)[-2:]
    return int(multiples) * _SECONDS[granularity]
