"""Access patterns of the Tasks and Results tables, but for those of the queue."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from app.domain.accounts import NOT_ADOPTED
from app.domain.clock import from_iso, to_iso
from app.domain.errors import AlreadyRecorded, NotFound
from app.domain.tasks import OPEN_STATUSES, STATUSES, Result, Task
from app.domain.text import finder, one_line

from .base import Base, Page, each
from .codec import whole
from .records import Codec
from .tables import RESULTS, TASK_INDEX, TASK_STATUS_INDEX, TASKS
from .transaction import Writes

TABLE = TASKS.suffix
RESULT = Codec(Result)
QUEUE_SHARDS = 4


class TaskReads(Base):
    def find(self, task_id: str) -> Task | None:
        row = self._get(TABLE, {"task_id": task_id})
        return task_from_row(complete_task(self, row)) if row else None

    def get(self, task_id: str, *, owner: str) -> Task:
        """Raises NotFound when there is none or it is somebody else's: nobody can tell the two apart."""
        task = self.find(task_id)
        if task is None or task.user_email != owner:
            raise NotFound("There is no such task.")
        return task

    def get_with_result(self, task_id: str, *, owner: str | None = None) -> tuple[Task, Result | None]:
        """Both in one consistent call. Raises NotFound; with `owner`, also for a task of somebody else."""
        task, result = self._get_many([(TABLE, {"task_id": task_id}), (RESULTS.suffix, {"task_id": task_id})])
        if task is None or (owner is not None and task["user_email"] != owner):
            raise NotFound("There is no such task.")
        return task_from_row(complete_task(self, task)), _result(result) if result else None

    def page(
        self,
        email: str,
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
        index, hash_key = TASK_INDEX, ("user_email", email)
        if status:
            index, hash_key = TASK_STATUS_INDEX, ("user_status", user_status(email, status))
        found = finder(search)
        return self._page(
            TABLE,
            index,
            hash_key,
            key_names=("created_at", "task_id"),
            make=task_from_row,
            limit=limit,
            cursor=cursor,
            keep=(lambda task: found(task.description)) if found else None,
            between=("created_at", since.isoformat() if since else "0", f"{until.isoformat() if until else ''}~")
            if since or until
            else None,
            newest_first=not oldest_first,
        )

    def every_of(self, email: str) -> Iterator[Task]:
        """Every task of an account, newest first, page by page."""
        return each(lambda cursor: self.page(email, limit=500, cursor=cursor))

    def every(self) -> Iterator[Task]:
        """A consistent scan: for the nightly check only."""
        return map(task_from_row, self._scan(TABLE))


class TaskWrites(Writes):
    def add(self, task: Task) -> None:
        self.put(
            TABLE,
            {
                "task_id": task.task_id,
                "user_email": task.user_email,
                "description": task.description,
                "title": task_title(task.description),
                "credits_spent": task.credits_spent,
                "created_at": to_iso(task.created_at),
                "redo_of": task.redo_of,
                "redo_note": task.redo_note,
            }
            | _moving(task),
            condition="attribute_not_exists(task_id)",
            failure=AlreadyRecorded,
        )

    def change(self, before: Task, after: Task) -> None:
        """Move a task on from the very state that was read. Raises Stale with the row as it is now."""
        self.update(
            TABLE,
            {"task_id": before.task_id},
            set=_moving(after),
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


def complete_task(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """The row with what every later write builds on: one of the original product gets it when it is first read."""
    if "version" in row or base.adopter is None:
        return row
    return base.adopter.task(base, row)


def task_title(description: str) -> str:
    """What a list shows of a task: the description may be long, and the queue's index carries no more than this."""
    return one_line(description)[:120]


def user_status(email: str, status: str) -> str:
    return f"{email}#{status}"


def queue_shard(task_id: str, status: str) -> str | None:
    """The queue index is sparse (the key goes when the task is done) and sharded, so that no key of it gets hot."""
    if status not in OPEN_STATUSES:
        return None
    return f"{status}#{zlib.crc32(task_id.encode()) % QUEUE_SHARDS}"


def _moving(task: Task) -> dict[str, Any]:
    """The attributes that change as a task moves on; None removes one."""
    return {
        "status": task.status,
        "updated_at": to_iso(task.updated_at),
        "version": task.version,
        "user_status": user_status(task.user_email, task.status),
        "queue_shard": queue_shard(task.task_id, task.status),
        "started_at": _iso(task.started_at),
        "finished_at": _iso(task.finished_at),
        "lease_owner": task.lease_owner,
        "lease_until": _iso(task.lease_until),
        "reason": task.reason,
        "redone_by": task.redone_by,
    }


def _iso(moment: datetime | None) -> str | None:
    return to_iso(moment) if moment else None


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    return from_iso(row[name]) if row.get(name) else None


def task_from_row(row: Mapping[str, Any]) -> Task:
    """Lenient on what is absent: rows of the queue's index have a title for a description, and those of the original
    product hold only its attributes.
    """
    return Task(
        task_id=row["task_id"],
        user_email=row["user_email"],
        description=row["description"] if "description" in row else row.get("title", ""),
        status=row["status"],
        credits_spent=whole(row.get("credits_spent")) or 0,
        created_at=from_iso(row["created_at"]),
        updated_at=from_iso(row.get("updated_at") or row["created_at"]),
        version=row.get("version", 0),
        started_at=_moment(row, "started_at"),
        finished_at=_moment(row, "finished_at"),
        lease_owner=row.get("lease_owner"),
        lease_until=_moment(row, "lease_until"),
        reason=row.get("reason"),
        redo_of=row.get("redo_of"),
        redo_note=row.get("redo_note"),
        redone_by=row.get("redone_by"),
        original=row.get("original", "version" not in row),
        unexplained=_unexplained(row),
    )


def _unexplained(row: Mapping[str, Any]) -> str | None:
    if whole(row.get("credits_spent")) is None:
        return f"its cost cannot be read: {row.get('credits_spent')}"
    if row["status"] not in STATUSES:
        return f"its status is not one of ours: {row['status']}"
    return None if "version" in row else NOT_ADOPTED


def _result(row: Mapping[str, Any]) -> Result:
    return RESULT.record({"files": []} | dict(row))
