"""Marks of acts that were done once, under the key of their form or request: a repeat is told what the first did."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from app.domain.errors import AlreadyRecorded
from app.domain.marks import Done

from .base import Base
from .client import Stale
from .records import Codec
from .tables import RATE_LIMITS
from .transaction import Writes

DONE = Codec(Done)


class OnceReads(Base):
    def find(self, account_id: str, act: str, key: str) -> Any:
        """What was kept of the act; None when there was none under this key."""
        row = self._get(RATE_LIMITS.suffix, _key(account_id, act, key))
        return DONE.record(row).done if row else None


class OnceWrites(Writes):
    def keep(self, account_id: str, act: str, key: str, done: Any, now: datetime) -> None:
        """Beside what it tells of, in the same transaction. The row goes by itself."""
        row = _key(account_id, act, key) | DONE.row(Done.at(now, done))
        self.put(RATE_LIMITS.suffix, row, condition=None, failure=Stale)

    def keep_first(self, account_id: str, act: str, key: str, done: Any, now: datetime) -> None:
        """The same, unless something is kept under this key: then raises AlreadyRecorded."""
        row = _key(account_id, act, key) | DONE.row(Done.at(now, done))
        self.put(RATE_LIMITS.suffix, row, condition="attribute_not_exists(expires_at)", failure=AlreadyRecorded)


def _key(account_id: str, act: str, key: str) -> dict[str, str]:
    return {"key": "done#" + hashlib.sha256("\n".join((account_id, act, key)).encode()).hexdigest()}
