"""Access patterns of the ApiKeys table: one row a key, found by its id, and by its account through an index.

Which keys an account has stands in its own row, so that one write ends them all, and none is decided on beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice

from app.domain.accounts import Account
from app.domain.api_keys import ENDED_KEPT, USED_GRAIN, ApiKey
from app.domain.clock import to_iso
from app.domain.errors import AlreadyRecorded
from app.domain.paging import each

from .base import Base, in_parts
from .client import Stale
from .records import Codec
from .tables import API_KEY_INDEX, API_KEYS
from .transaction import Writes

TABLE = API_KEYS.suffix
MOST_LISTED = 500  # those that an account names come beside
API_KEY = Codec(ApiKey, always={"life", "version"})


class ApiKeyReads(Base):
    def find(self, key_id: str) -> ApiKey | None:
        row = self._get(TABLE, {"key_id": key_id})
        return API_KEY.record(row) if row else None

    def find_many(self, key_ids: Iterable[str]) -> list[ApiKey]:
        """Those that there are, in no order."""
        rows = (self._get_many([(TABLE, {"key_id": key_id}) for key_id in some]) for some in in_parts(key_ids))
        return [API_KEY.record(row) for some in rows for row in some if row]

    def of(self, account: Account) -> list[ApiKey]:
        """Those that it has, and those that have ended since not too long, newest first.

        What the account names is read from its row; an index, which may lag by a moment, knows of the others.
        """
        found = self.find_many([*sorted(account.api_keys), *islice(self.ids_of(account.account_id), MOST_LISTED)])
        own = (key for key in found if key.life == account.life)
        return sorted(own, key=lambda key: (key.created_at, key.key_id), reverse=True)

    def ids_of(self, account_id: str) -> Iterator[str]:
        """Of every life of the account; one that was made this moment may be missing."""
        return each(
            lambda cursor: self._page(
                TABLE,
                API_KEY_INDEX,
                ("account_id", account_id),
                key_names=("key_id",),
                make=lambda row: str(row["key_id"]),
                limit=100,
                cursor=cursor,
            )
        )


class ApiKeyWrites(Writes):
    def add(self, key: ApiKey) -> None:
        self.put(TABLE, API_KEY.row(key), condition="attribute_not_exists(key_id)", failure=AlreadyRecorded)

    def note_end(self, key: ApiKey, now: datetime) -> None:
        """Beside its removal from the account: when it ended, and when its row goes. Raises Stale."""
        self.update(
            TABLE,
            {"key_id": key.key_id},
            set={"ended_at": to_iso(now), "forget_at": int((now + ENDED_KEPT).timestamp())},
            condition="attribute_exists(key_id)",
        )

    def charge(self, before: ApiKey, after: ApiKey) -> None:
        """Note a spend beside its ledger row. Raises Stale if it is no longer the row that was read."""
        self.update(
            TABLE,
            {"key_id": before.key_id},
            set={"spent": dict(after.spent)},
            add={"version": 1},
            condition="#version = :version",
            version=before.version,
        )

    def note_warned(self, key: ApiKey, now: datetime) -> None:
        """Beside the mail that says that it will run out. Raises AlreadyRecorded."""
        self.update(
            TABLE,
            {"key_id": key.key_id},
            set={"warned_at": to_iso(now)},
            condition="attribute_exists(key_id) AND attribute_not_exists(warned_at)",
            failure=AlreadyRecorded,
        )


class ApiKeyUpdates(Base):
    def note_used(self, key: ApiKey, now: datetime) -> None:
        """Remember when it was last used, unless that is known well enough. Safe to repeat."""
        with suppress(Stale):
            self._update(
                TABLE,
                {"key_id": key.key_id},
                set={"used_at": to_iso(now)},
                condition="attribute_exists(key_id) AND (attribute_not_exists(used_at) OR #used_at <= :before)",
                before=to_iso(now - USED_GRAIN),
            )

    def remove(self, key_id: str) -> None:
        """Safe to repeat."""
        writes = Writes(self.client, self.prefix)
        writes.delete(TABLE, {"key_id": key_id}, condition=None, failure=Stale)
        writes.commit()
