"""Access patterns of the TaskLabels table: tasks by their customer's reference, and by tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import islice
from typing import Any

from app.domain.accounts import AccountKey
from app.domain.clock import to_iso
from app.domain.errors import AlreadyRecorded, BadCursor
from app.domain.labels import Label, fold_tag, has_tag, labels_of, reference_label, tag_label
from app.domain.paging import Page, batched, each, read_cursor, write_cursor
from app.domain.tasks import Task
from app.domain.text import finder

from .base import MAX_AT_ONCE, Base, fits_a_key
from .client import Stale
from .codec import decode_item
from .records import Codec
from .tables import TASK_LABELS, TASKS
from .tasks import TASK, says
from .transaction import MAX_WRITES, Writes

TABLE = TASK_LABELS.suffix
LABEL = Codec(Label)
LOOKED_AT = 500  # tasks that are read for one page of a tag, of which a status or a search may leave few


class LabelReads(Base):
    def find(self, email: AccountKey, reference: str) -> str | None:
        """The id of the task that has this reference, as `check_reference` keeps it; one consistent read."""
        row = self._get(TABLE, {"user_email": email, "label": reference_label(reference)})
        return LABEL.record(row).task_ids[0] if row else None

    def page(
        self,
        email: AccountKey,
        *,
        limit: int,
        reference: str = "",
        tag: str = "",
        cursor: str | None = None,
        status: str = "",
        search: str = "",
        since: date | None = None,
        until: date | None = None,
        oldest_first: bool = False,
    ) -> Page[Task]:
        """The tasks that have a reference or a tag, as both are kept; read consistently. The rest as `TaskReads.page`.

        Of a tag no more than LOOKED_AT tasks are read for a page, which hands back where it stopped. Raises
        BadCursor.
        """
        found = finder(search)

        def keep(task: Task) -> bool:
            return (
                (not status or task.status == status)
                and (found is None or says(task, found))
                and (since is None or since <= task.created_at.date())
                and (until is None or task.created_at.date() <= until)
            )

        of = (TABLE, str(email), reference, fold_tag(tag), status, search, str(since), str(until), str(oldest_first))
        if reference:
            return self._named(email, reference, cursor, lambda task: keep(task) and (not tag or has_tag(task, tag)))
        after = read_cursor(cursor, 2, of) if cursor else None
        kept: list[Task] = []
        last: list[str] = []
        places = self._tagged(email, tag, since, until, after, oldest_first)
        for some in batched(islice(places, LOOKED_AT), min(limit + 1, MAX_AT_ONCE)):
            rows = self._get_many([(TASKS.suffix, {"task_id": task_id}) for _, task_id in some])
            for place, row in zip(some, rows, strict=True):
                if row and keep(task := TASK.record(row)):
                    if len(kept) == limit:
                        return Page(kept, write_cursor(last, of))
                    kept.append(task)
                last = [*place]
        return Page(kept, write_cursor(last, of) if next(places, None) else None)

    def _named(self, email: AccountKey, reference: str, cursor: str | None, keep: Callable[[Task], bool]) -> Page[Task]:
        """One task at most: no cursor leads into it."""
        if cursor:
            raise BadCursor
        task_id = self.find(email, reference)
        row = self._get(TASKS.suffix, {"task_id": task_id}) if task_id else None
        return Page([task for task in (TASK.record(row),) if keep(task)]) if row else Page()

    def _tagged(
        self,
        email: AccountKey,
        tag: str,
        since: date | None,
        until: date | None,
        after: list[Any] | None,
        oldest_first: bool,
    ) -> Iterator[tuple[str, str]]:
        """The labels of a tag with each id that they name, in order, behind a place that a page has ended at."""
        beginning = tag_label(tag)
        # A batch lies where its first task does, a moment before its last.
        low = beginning + (to_iso(datetime.combine(since, time(), UTC) - timedelta(seconds=1)) if since else "")
        high = f"{beginning}{until.isoformat() if until else ''}~"
        if after:
            if not fits_a_key(after[0]) or not str(after[0]).startswith(beginning):
                raise BadCursor
            low, high = (max(low, after[0]), high) if oldest_first else (low, min(high, after[0]))
        for row in self._rows(email, low, high, oldest_first):
            label = LABEL.record(row)
            ids = list(label.task_ids if oldest_first else reversed(label.task_ids))
            if after and label.label == after[0] and after[1] in ids:
                ids = ids[ids.index(after[1]) + 1 :]
            yield from ((label.label, task_id) for task_id in ids)

    def _rows(self, email: AccountKey, low: str, high: str, oldest_first: bool) -> Iterator[dict[str, Any]]:
        start = None
        while low <= high:
            between = ("label", low, high)
            query = self._query(TABLE, "", ("user_email", email), MAX_AT_ONCE, start, between, not oldest_first)
            answer = self._query_from(query, theirs=False)
            yield from map(decode_item, answer["Items"])
            start = answer.get("LastEvaluatedKey")
            if start is None:
                return


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
