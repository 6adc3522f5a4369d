"""Erasing what a person wrote, once the account is deleted: the rows stay for the books, the words go."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import MISSING, fields
from datetime import datetime

from app.domain.accounts import AccountKey
from app.domain.tasks import Brief

from .client import Stale
from .lives import Life, LifeUpdates
from .tables import RESULTS, TASKS
from .transaction import Writes

ERASED = "(erased)"
WORDS = {field.name: ERASED if field.default is MISSING else None for field in fields(Brief)}


class ErasureUpdates(LifeUpdates):
    def erase_task(self, task_id: str) -> None:
        """Take the words out of a task and drop its result. Safe to repeat."""
        writes = Writes(self.client, self.prefix)
        writes.update(
            TASKS.suffix,
            {"task_id": task_id},
            set={"title": ERASED, "reason": None, "redo_note": None} | WORDS,
            condition="attribute_exists(task_id)",
        )
        writes.delete(RESULTS.suffix, {"task_id": task_id}, condition=None, failure=Stale)
        writes.commit()

    def mark_erased(self, email: AccountKey, deleted_at: datetime) -> None:
        """Nothing is left to erase; an account that was deleted once more meanwhile stays on the list."""
        with suppress(Stale):
            self._update_account(Life.ended(email, deleted_at), remove=["erasure_due"])
