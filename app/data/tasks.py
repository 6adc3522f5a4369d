"""Access patterns of the Tasks table."""

from __future__ import annotations

import zlib
from typing import Any

from app.domain.clock import from_iso, to_iso
from app.domain.errors import AlreadyRecorded, NotFound
from app.domain.tasks import OPEN_STATUSES, Task

from .base import Base, Page
from .tables import TASK_INDEX, TASK_STATUS_INDEX, TASKS
from .transaction import Writes

TABLE = TASKS.suffix
QUEUE_SHARDS = 4


class TaskReads(Base):
    def find_task(self, task_id: str) -> Task | None:
        row = self._get(TABLE, {"task_id": task_id})
        return _task(row) if row else None

    def get_task(self, task_id: str, *, owner: str) -> Task:
        """Raises NotFound when there is none or it is somebody else's: nobody can tell the two apart."""
        task = self.find_task(task_id)
        if task is None or task.user_email != owner:
            raise NotFound("There is no such task.")
        return task

    def list_tasks(
        self, email: str, *, limit: int, cursor: str | None = None, status: str = "", search: str = ""
    ) -> Page[Task]:
        """Newest first. A status has an index of its own; a search looks at a bounded number of rows."""
        index, hash_key = TASK_INDEX, ("user_email", email)
        if status:
            index, hash_key = TASK_STATUS_INDEX, ("user_status", user_status(email, status))
        wanted = search.casefold()
        return self._page(
            TABLE,
            index,
            hash_key,
            key_names=("created_at", "task_id"),
            make=_task,
            limit=limit,
            cursor=cursor,
            keep=(lambda task: wanted in task.description.casefold()) if wanted else None,
        )


class TaskWrites(Writes):
    def put_task(self, task: Task) -> None:
        self.put(
            TABLE,
            {
                "task_id": task.task_id,
                "user_email": task.user_email,
                "description": task.description,
                "title": " ".join(task.description[:400].split())[:120],
                "status": task.status,
                "credits_spent": task.credits_spent,
                "created_at": to_iso(task.created_at),
                "updated_at": to_iso(task.updated_at),
                "user_status": user_status(task.user_email, task.status),
                "queue_shard": queue_shard(task.task_id, task.status),
            },
            condition="attribute_not_exists(task_id)",
            failure=AlreadyRecorded,
        )


def user_status(email: str, status: str) -> str:
    return f"{email}#{status}"


def queue_shard(task_id: str, status: str) -> str | None:
    """The queue index is sparse (the key goes when the task is done) and sharded, so that no key of it gets hot."""
    if status not in OPEN_STATUSES:
        return None
    return f"{status}#{zlib.crc32(task_id.encode()) % QUEUE_SHARDS}"


def _task(row: dict[str, Any]) -> Task:
    return Task(
        task_id=row["task_id"],
        user_email=row["user_email"],
        description=row["description"],
        status=row["status"],
        credits_spent=row["credits_spent"],
        created_at=from_iso(row["created_at"]),
        updated_at=from_iso(row["updated_at"]),
    )
