"""Access patterns of the TypedDrafts table: one row for each place that an account is typing into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.domain.paging import each
from app.domain.typed_drafts import TypedDraft

from .base import Base, in_parts
from .client import Stale
from .records import Codec
from .tables import TYPED_DRAFT_INDEX, TYPED_DRAFTS
from .transaction import Writes

TYPED_DRAFT = Codec(TypedDraft)
TABLE = TYPED_DRAFTS.suffix


class TypedDraftReads(Base):
    def find(self, draft_id: str, now: datetime) -> TypedDraft | None:
        """Nothing once it has expired, whether or not DynamoDB has removed it."""
        return _alive(self._get(TABLE, {"draft_id": draft_id}), now)

    def find_many(self, draft_ids: list[str], now: datetime) -> list[TypedDraft | None]:
        """In the order asked for."""
        rows = {row["draft_id"]: row for part in in_parts(draft_ids) for row in self._rows(part)}
        return [_alive(rows.get(draft_id), now) for draft_id in draft_ids]

    def _rows(self, draft_ids: list[str]) -> list[dict[str, Any]]:
        if len(draft_ids) == 1:
            found = [self._get(TABLE, {"draft_id": draft_ids[0]})]
        else:
            found = self._get_many([(TABLE, {"draft_id": draft_id}) for draft_id in draft_ids])
        return [row for row in found if row]

    def ids_of(self, account_id: str) -> Iterator[str]:
        """Of every life of the account; one that was made this moment may be missing."""
        return each(
            lambda cursor: self._page(
                TABLE,
                TYPED_DRAFT_INDEX,
                ("account_id", account_id),
                key_names=("draft_id",),
                make=lambda row: str(row["draft_id"]),
                limit=100,
                cursor=cursor,
            )
        )


class TypedDraftUpdates(Base):
    def save(self, before: TypedDraft, after: TypedDraft) -> TypedDraft:
        """Raises Stale if the row is no longer the one that was read; one that has expired is written over."""
        stored = replace(after, version=before.version + 1)
        values = TYPED_DRAFT.as_set(stored)
        condition, params = "#version = :version", {"version": before.version}
        if not before.version:
            condition, params = "attribute_not_exists(draft_id) OR #expires_at <= :now", {"now": _now_of(before)}
        key = {"draft_id": values.pop("draft_id")}
        self._update(TABLE, key, set=values, condition=condition, failure=Stale, **params)
        return stored

    def remove(self, draft_id: str) -> None:
        """Safe to repeat."""
        writes = Writes(self.client, self.prefix)
        writes.delete(TABLE, {"draft_id": draft_id}, condition=None, failure=Stale)
        writes.commit()


def _alive(row: dict[str, Any] | None, now: datetime) -> TypedDraft | None:
    return TYPED_DRAFT.record(row) if row and row["expires_at"] > now.timestamp() else None


def _now_of(unsaved: TypedDraft) -> int:
    return int(unsaved.saved_at.timestamp())
