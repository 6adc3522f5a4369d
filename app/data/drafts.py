"""Access patterns of the Drafts table: one row an account, an attribute for each form that waits to be sent again."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.accounts import Account
from app.domain.clock import from_iso, to_iso
from app.domain.drafts import KEPT_FOR, Draft
from app.domain.errors import NotFound

from .base import Base
from .client import Stale
from .lives import Life, UserWrites
from .tables import DRAFTS

PREFIX = "form_"


@dataclass(frozen=True, slots=True)
class Drafts:
    """All that waits of one account. `version` counts the changes of the row."""

    account_id: str
    version: int = 0
    packed: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(len(row["fields"]) + len(row["place"].encode()) for row in self.packed.values())

    def newest_first(self) -> list[Draft]:
        found = [Draft(row["place"], _unpack(row["fields"]), from_iso(row["saved_at"])) for row in self.packed.values()]
        return sorted(found, key=lambda draft: draft.saved_at, reverse=True)


class DraftReads(Base):
    def get(self, account_id: str, now: datetime) -> Drafts:
        row = self._get(DRAFTS.suffix, {"account_id": account_id})
        if row is None or row["expires_at"] <= now.timestamp():
            return Drafts(account_id, row["version"] if row else 0)
        packed = {name: value for name, value in row.items() if name.startswith(PREFIX)}
        return Drafts(account_id, row["version"], packed)


class DraftWrites(UserWrites):
    def keep(self, account: Account, draft: Draft) -> None:
        """Beside it the account says that something waits. Raises NotFound for an account that is deleted by now."""
        row = {"place": draft.place, "fields": pack(draft), "saved_at": to_iso(draft.saved_at)}
        self.update(
            DRAFTS.suffix,
            {"account_id": account.account_id},
            set={PREFIX + draft.key: row, "expires_at": int((draft.saved_at + KEPT_FOR).timestamp())},
            add={"version": 1},
            condition=None,
            failure=Stale,
        )
        self._say(account, True)

    def drop(self, account: Account, before: Drafts, key: str) -> None:
        """Raises Stale if anything changed since `before` was read, NotFound as above."""
        row = {"account_id": account.account_id}
        if not before.version:  # DynamoDB has removed it: it was too old
            self.check(DRAFTS.suffix, row, condition="attribute_not_exists(account_id)", failure=Stale)
        else:
            self.update(
                DRAFTS.suffix,
                row,
                remove=[PREFIX + key],
                add={"version": 1},
                condition="#version = :version",
                failure=Stale,
                version=before.version,
            )
        if before.packed.keys() <= {PREFIX + key}:
            self._say(account, None)

    def drop_all(self, account_id: str) -> None:
        """For an account that goes."""
        self.delete(DRAFTS.suffix, {"account_id": account_id}, condition=None, failure=Stale)

    def _say(self, account: Account, unsent: bool | None) -> None:
        self.update_user(Life.of(account), set={"unsent": unsent}, add={"version": 1}, failure=NotFound)


def pack(draft: Draft) -> str:
    """Long texts shrink to less than half; the store's codec knows text only."""
    return base64.b85encode(zlib.compress(json.dumps(draft.fields, ensure_ascii=False).encode(), 6)).decode()


def _unpack(packed: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in json.loads(zlib.decompress(base64.b85decode(packed))))
