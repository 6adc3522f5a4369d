"""Access patterns of the Tasks and Results tables, but for those of the queue."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import date, datetime
from functools import partial
from typing import Any

from app.domain.accounts import NOT_ADOPTED, AccountKey
from app.domain.clock import from_iso, to_iso
from app.domain.errors import AlreadyRecorded, NotFound
from app.domain.paging import Page, each
from app.domain.tasks import BRIEF_FIELDS, OPEN_STATUSES, STATUSES, Changes, Result, Task, TaskLine, title_of
from app.domain.text import finder

from .base import WHOLE, Base, Part, in_parts
from .client import call
from .codec import Item, decode_item, encode_item, whole
from .records import Codec
from .tables import RESULTS, TASK_INDEX, TASK_STATUS_INDEX, TASK_UPDATED_INDEX, TASKS
from .transaction import Writes

TABLE = TASKS.suffix
QUEUE_SHARDS = 4
NEWEST = 20  # changes of an account that whoever waits for one looks at: some are listed a moment out of order
CHANGE = ("updated_at", "task_id")  # what is known of a change: when, and of which task


class TaskReads(Base):
    def find(self, task_id: str) -> Task | None:
        row = self._get(TABLE, {"task_id": task_id})
        return TASK.record(adopted_task(self, row)) if row else None

    def get(self, task_id: str, *, owner: AccountKey) -> Task:
        """Raises NotFound when there is none or it is somebody else's: nobody can tell the two apart."""
        task = self.find(task_id)
        if task is None or task.user_email != owner:
            raise NotFound("There is no such task.")
        return task

    def get_with_result(self, task_id: str, *, owner: AccountKey | None = None) -> tuple[Task, Result | None]:
        """Both in one consistent call. Raises NotFound; with `owner`, also for a task of somebody else."""
        task, result = self._get_many([(TABLE, {"task_id": task_id}), (RESULTS.suffix, {"task_id": task_id})])
        if task is None or (owner is not None and task["user_email"] != owner):
            raise NotFound("There is no such task.")
        return TASK.record(adopted_task(self, task)), RESULT.record(result) if result else None

    def versions(self, ids: list[str]) -> dict[str, object]:
        """Of up to 100 tasks the version that each stands at, None for one that is gone; what DynamoDB left out is not
        there. One call that may be a moment behind, for half a unit each 4 KB of a row.
        """
        names = {"#id": "task_id", "#version": "version"}
        wanted = {
            "Keys": [encode_item({"task_id": task_id}) for task_id in dict.fromkeys(ids)],
            "ProjectionExpression": "#id, #version",
            "ExpressionAttributeNames": names,
        }
        answer = call(self.client, "batch_get_item", RequestItems={self.prefix + TABLE: wanted})
        found: dict[str, object] = dict.fromkeys(ids)
        for item in answer["Responses"].get(self.prefix + TABLE, ()):
            row = decode_item(item)
            found[row["task_id"]] = row.get("version", 0)  # as the codec reads it
        for left in (answer.get("UnprocessedKeys") or {}).get(self.prefix + TABLE, {}).get("Keys", ()):
            found.pop(decode_item(left)["task_id"], None)
        return found

    def descriptions(self, email: AccountKey, ids: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The words of those tasks that are this account's, each with the task's id; read by the hundred."""
        for some in in_parts(ids):
            for row in self._get_many([(TABLE, {"task_id": task_id}) for task_id in some]):
                if row and row["user_email"] == email:
                    yield row["task_id"], row.get("description") or ""

    def page(
        self,
        email: AccountKey,
        *,
        limit: int,
        cursor: str | None = None,
        status: str = "",
        search: str = "",
        since: date | None = None,
        until: date | None = None,
        oldest_first: bool = False,
    ) -> Page[Task]:
        """Newest first unless told. A status has an index of its own and days ride on it; a search looks at a bounded
        number of rows.
        """
        found = finder(search)
        sift = partial(_tells, found) if found else None
        place = _place(email, status, search, since, until)
        return self._page(
            TABLE, **place, make=TASK.record, limit=limit, cursor=cursor, sift=sift, newest_first=not oldest_first
        )

    def lines(
        self,
        email: AccountKey,
        *,
        limit: int,
        cursor: str | None = None,
        status: str = "",
        since: date | None = None,
        until: date | None = None,
        oldest_first: bool = False,
    ) -> Page[TaskLine]:
        """The same page, of each task no more than a list shows: a long text is not sent along. A cursor of the one
        opens the other.

        Rows of the original product that nobody has opened have no title yet: their words are read in one call more.
        """
        page = self._page(
            TABLE,
            **_place(email, status, "", since, until),
            make=LINE.record,
            limit=limit,
            cursor=cursor,
            only=OF_A_LINE,
            newest_first=not oldest_first,
        )
        untitled = [line.task_id for line in page.items if not line.title]
        if not untitled:
            return page
        found = {task_id: title_of(text) for task_id, text in self.descriptions(email, untitled)}
        lines = [replace(line, title=line.title or found.get(line.task_id, "")) for line in page.items]
        return Page(lines, page.next_cursor)

    def changed(
        self, email: AccountKey, since: datetime, until: datetime | None, *, limit: int, cursor: str | None = None
    ) -> Changes:
        """Tasks by their last change, the earliest first, from `since` up to `until`, both included.

        The index says which, a moment late; each is then read as it stands. One that has changed meanwhile is left out
        here, for it stands again behind all others: so a page may be short and have a next one. Nobody who pages to the
        end misses a change that the index had when he began, nor is told one twice. Raises IndexNotReady, BadCursor.
        """
        window = (to_iso(since), to_iso(until) if until else "~")
        page = self._page(
            TABLE,
            TASK_UPDATED_INDEX,
            ("user_email", str(email)),
            key_names=CHANGE,
            make=_change_of,
            limit=limit,
            cursor=cursor,
            between=("updated_at", *window),
            narrowed=window,
            newest_first=False,
        )
        rows = self._get_many([(TABLE, {"task_id": task_id}) for _, task_id in page.items]) if page.items else []
        still = [row for row, (at, _) in zip(rows, page.items, strict=True) if row and row["updated_at"] == at]
        return Changes([TASK.record(row) for row in still], page.next_cursor, tuple(page.items))

    def newest_changes(self, emails: list[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        """Of each account the moments and tasks of its newest changes, as many as one unit holds, newest first. A query
        each, for half a unit; a moment behind.
        """
        found = {}
        for email in emails:
            keys = ("user_email", email)
            page = self._page(TABLE, TASK_UPDATED_INDEX, keys, key_names=CHANGE, make=_change_of, limit=NEWEST)
            found[email] = tuple(page.items)
        return found

    def every_of(self, email: AccountKey) -> Iterator[Task]:
        """Every task of an account, newest first, page by page."""
        return each(lambda cursor: self.page(email, limit=500, cursor=cursor))

    def every(self, part: Part = WHOLE) -> Iterator[Task]:
        """A consistent scan: for the nightly check only."""
        return map(TASK.record, self._scan(TABLE, part=part))


class TaskWrites(Writes):
    def add(self, task: Task) -> None:
        self.put(TABLE, TASK.row(task), condition="attribute_not_exists(task_id)", failure=AlreadyRecorded)

    def change(self, before: Task, after: Task) -> None:
        """Move a task on from the very state that was read. Raises Stale with the row as it is now."""
        self.update(
            TABLE,
            {"task_id": before.task_id},
            set={name: value for name, value in TASK.as_set(after).items() if name not in FOR_GOOD},
            condition="#version = :version",
            version=before.version,
        )

    def add_result(self, task_id: str, result: Result) -> None:
        """Keep a result, once for a task. Raises AlreadyRecorded."""
        self.put(
            RESULTS.suffix,
            {"task_id": task_id} | RESULT.row(result),
            condition="attribute_not_exists(task_id)",
            failure=AlreadyRecorded,
        )


def adopted_task(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """The row with what every later write builds on: one of the original product gets it when it is first read."""
    if "version" in row or base.adopter is None:
        return row
    return base.adopter.task(base, row)


def says(task: Task, found: Callable[[str], bool]) -> bool:
    """Whether a search finds a task: by its text, its reference or a tag."""
    return found(task.description) or any(map(found, (task.reference, *task.tags)))


def _tells(found: Callable[[str], bool], item: Item) -> bool:
    """The same of a row of the history as it is stored: of 2,000 that a search looks at few are ever read whole."""
    words = decode_item({name: item[name] for name in ("description", "reference", "tags") if name in item})
    return any(map(found, (words.get("description", ""), words.get("reference", ""), *words.get("tags", ()))))


def user_status(email: AccountKey, status: str) -> str:
    return f"{email}#{status}"


def _place(email: AccountKey, status: str, search: str, since: date | None, until: date | None) -> dict[str, Any]:
    """Which rows of which index a history is, for `Base._page`."""
    index, hash_key = TASK_INDEX, ("user_email", str(email))
    if status:
        index, hash_key = TASK_STATUS_INDEX, ("user_status", user_status(email, status))
    days = ("created_at", since.isoformat() if since else "0", f"{until.isoformat() if until else ''}~")
    return {
        "index": index,
        "hash_key": hash_key,
        "key_names": ("created_at", "task_id"),
        "between": days if since or until else None,
        "narrowed": (search, str(since or ""), str(until or "")),
    }


def queue_shard(task_id: str, status: str) -> str | None:
    """The queue index is sparse (the key goes when the task is done) and sharded, so that no key of it gets hot."""
    if status not in OPEN_STATUSES:
        return None
    return f"{status}#{zlib.crc32(task_id.encode()) % QUEUE_SHARDS}"


def _change_of(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["updated_at"], row["task_id"]


OURS = {"version", "description", "updated_at"}  # a row that has these needs no leniency, as most do


def _beside(task: Task) -> dict[str, Any]:
    return {
        "title": title_of(task.description),
        "user_status": user_status(task.user_email, task.status),
        "queue_shard": queue_shard(task.task_id, task.status),
    }


def _otherwise(row: Mapping[str, Any]) -> dict[str, Any]:
    """Lenient on what is absent: rows of the queue's index have a title for a description, and those of the original
    product hold only its attributes.
    """
    cost = row.get("credits_spent")
    if row.keys() >= OURS and type(cost) is int and row["status"] in STATUSES:
        return {}
    found = {
        "description": row["description"] if "description" in row else row.get("title", ""),
        **_cost_of(row),
        "original": row.get("original", "version" not in row),
        "unexplained": _unexplained(row),
    }
    return found if row.get("updated_at") else found | {"updated_at": from_iso(row["created_at"])}


def _cost_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"credits_spent": whole(row.get("credits_spent")) or 0}


def _unexplained(row: Mapping[str, Any]) -> str | None:
    if whole(row.get("credits_spent")) is None:
        return f"its cost cannot be read: {row.get('credits_spent')}"
    if row["status"] not in STATUSES:
        return f"its status is not one of ours: {row['status']}"
    return None if "version" in row else NOT_ADOPTED


TASK = Codec(Task, always={"version"}, but={"unexplained"}, beside=_beside, otherwise=_otherwise)
LINE = Codec(TaskLine, otherwise=lambda row: {} if type(row.get("credits_spent")) is int else _cost_of(row))
OF_A_LINE = tuple(field.name for field in fields(TaskLine))
RESULT = Codec(Result, otherwise=lambda row: {} if "files" in row else {"files": ()})
# What stays as the task moves on. An erasure takes the words out meanwhile, and no move brings them back.
FOR_GOOD = {
    *("task_id", "user_email", "title", "credits_spent", "created_at", "redo_of", "redo_note", "original", "key_id"),
    *BRIEF_FIELDS,
}
