"""Access patterns of the TaskLabels table: tasks by their customer's reference, and by tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice

from app.domain.accounts import AccountKey
from app.domain.errors import AlreadyRecorded
from app.domain.labels import Label, labels_of, reference_label
from app.domain.paging import batched, each
from app.domain.tasks import Task

from .base import Base
from .client import Stale
from .records import Codec
from .tables import TASK_LABELS
from .transaction import MAX_WRITES, Writes

TABLE = TASK_LABELS.suffix
LABEL = Codec(Label)


class LabelReads(Base):
    def find(self, email: AccountKey, reference: str) -> str | None:
        """The id of the task that has this reference, as `check_reference` keeps it; one consistent read."""
        row = self._get(TABLE, {"user_email": email, "label": reference_label(reference)})
        return LABEL.record(row).task_ids[0] if row else None


class LabelWrites(Writes):
    def add(self, tasks: Iterable[Task]) -> None:
        """Of tasks that are submitted together, in the transaction that puts them: of two with one reference, one is
        there. Raises AlreadyRecorded.
        """
        for label in labels_of(tasks):
            self.put(TABLE, LABEL.row(label), condition="attribute_not_exists(#label)", failure=AlreadyRecorded)


class LabelUpdates(Base):
    def erase(self, email: AccountKey, until: datetime, *, most: int | None = None) -> None:
        """Remove the labels of what was submitted until then, or so many of them. Safe to repeat."""
        gone = (label for label in self._every_of(email) if label.created_at <= until)
        for some in batched(islice(gone, most), MAX_WRITES):
            writes = Writes(self.client, self.prefix)
            for label in some:
                key = {"user_email": email, "label": label.label}
                writes.delete(TABLE, key, condition=None, failure=Stale)
            writes.commit()

    def _every_of(self, email: AccountKey) -> Iterator[Label]:
        read = partial(self._page, TABLE, "", ("user_email", email), key_names=("label",), make=LABEL.record, limit=100)
        return each(lambda cursor: read(cursor=cursor))
