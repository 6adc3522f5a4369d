"""Erasing what a person wrote, once the account is deleted: the rows stay for the books, the words go."""

from __future__ import annotations

from collections.abc import Iterator

from app.domain.accounts import Account

from .accounts import TABLE as USERS_TABLE
from .accounts import account_from_row
from .base import Base
from .client import Stale
from .codec import decode_item
from .tables import RESULTS, TASKS
from .transaction import Writes

ERASED = "(erased)"


class Erasure(Base):
    def erase_task(self, task_id: str) -> None:
        """Take the words out of a task and drop its result. Safe to repeat."""
        writes = Writes(self.client, self.prefix)
        writes.update(
            TASKS.suffix,
            {"task_id": task_id},
            set={"description": ERASED, "title": ERASED, "reason": None, "redo_note": None},
            condition="attribute_exists(task_id)",
        )
        writes.delete(RESULTS.suffix, {"task_id": task_id}, condition=None, failure=Stale)
        writes.commit()

    def accounts_to_erase(self) -> Iterator[Account]:
        """A scan: deleted accounts whose tasks are not erased to the end."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.prefix + USERS_TABLE, FilterExpression="attribute_exists(erasure_due)"
        )
        for page in pages:
            yield from (account_from_row(decode_item(item)) for item in page["Items"])

    def mark_erased(self, email: str) -> None:
        self._update(USERS_TABLE, {"email": email}, remove=["erasure_due"], condition="attribute_exists(email)")
