"""The queue: what is pending or in progress, oldest first, read from a sparse index of a few shards side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app.domain.clock import to_iso
from app.domain.errors import BadCursor
from app.domain.paging import Page, read_cursor, write_cursor
from app.domain.tasks import PENDING, Task

from .base import Base
from .client import call
from .codec import Item, decode_item, encode_item
from .tables import TASK_QUEUE_INDEX, TASKS
from .tasks import QUEUE_SHARDS, TASK
from .threads import SHARDS, side_by_side

TABLE = TASKS.suffix
KEYS = ("created_at", "task_id")
FILTER_CHUNK = 250  # rows of each shard that a filtered page looks at: its cost never depends on the queue's length


@dataclass(frozen=True, slots=True)
class _Chunk:
    rows: list[dict[str, Any]]
    exhausted: bool


class QueueReads(Base):
    def page(
        self,
        status: str,
        *,
        limit: int,
        cursor: str | None = None,
        keep: Callable[[Task], bool] | None = None,
        until: datetime | None = None,
        narrowed: Sequence[str] = (),
        newest_first: bool = False,
    ) -> Page[Task]:
        """A page of the open tasks of one status, oldest first unless told, each with its title for a description.

        One query for each shard, however long the queue is; `until` leaves out what was submitted after that moment.

        With `keep`, a page looks at no more than FILTER_CHUNK rows of each shard; it may be short and have a next one.
        `narrowed` says in words what `keep` and `until` leave: a cursor opens that list alone. Raises BadCursor.
        """
        if keep and cursor and not narrowed:
            raise TypeError("a page of the queue is narrowed, and nothing says by what")
        of = ("queue", status, "newest" if newest_first else "oldest", *narrowed)
        starts = _read_starts(cursor, of)
        size = limit + 1 if keep is None else max(limit + 1, FILTER_CHUNK)
        chunks = side_by_side(
            SHARDS,
            [
                partial(self._shard, f"{status}#{shard}", size, starts[shard], until, newest_first)
                for shard in range(QUEUE_SHARDS)
            ],
        )
        # Beyond the last row of a shard that has more, the order of the whole is not known yet.
        pick = max if newest_first else min
        ends = [_place(chunk.rows[-1]) for chunk in chunks if not chunk.exhausted]
        frontier = pick(ends) if ends else None
        merged = sorted(
            ((_place(row), shard, row) for shard, chunk in enumerate(chunks) for row in chunk.rows),
            key=lambda entry: entry[0],
            reverse=newest_first,
        )
        items: list[Task] = []
        more = any(not chunk.exhausted for chunk in chunks)
        for place, shard, row in merged:
            beyond = frontier is not None and (place < frontier if newest_first else place > frontier)
            if len(items) == limit or beyond:
                more = True
                break
            task = TASK.record(row)
            starts[shard] = place
            if keep is None or keep(task):
                items.append(task)
        return Page(items, write_cursor(starts, of) if more else None)

    def count_before(self, task: Task, cap: int) -> int:
        """How many pending tasks are older than `task`, counted up to `cap` for each shard."""
        return sum(self._counts(PENDING, cap, before=task.created_at))

    def count_open(self, status: str, cap: int) -> int:
        """How many tasks have this open status, counted up to `cap` for each shard."""
        return sum(self._counts(status, cap))

    def _counts(self, status: str, cap: int, before: datetime | None = None) -> list[int]:
        def count(shard: int) -> int:
            request: dict[str, Any] = {
                "TableName": self.prefix + TABLE,
                "IndexName": TASK_QUEUE_INDEX,
                "KeyConditionExpression": "queue_shard = :shard" + (" AND created_at < :before" if before else ""),
                "ExpressionAttributeValues": encode_item(
                    {":shard": f"{status}#{shard}", ":before": to_iso(before) if before else None}
                ),
                "Select": "COUNT",
                "Limit": cap + 1,
            }
            return int(call(self.client, "query", **request)["Count"])

        return side_by_side(SHARDS, [partial(count, shard) for shard in range(QUEUE_SHARDS)])

    def _shard(
        self, shard: str, limit: int, start: tuple[str, str] | None, until: datetime | None, newest_first: bool
    ) -> _Chunk:
        last = to_iso(until) if until else None
        if start and last and start[0] > last:
            return _Chunk([], exhausted=True)  # the store refuses a start beyond what is asked for
        request: dict[str, Any] = {
            "TableName": self.prefix + TABLE,
            "IndexName": TASK_QUEUE_INDEX,
            "KeyConditionExpression": "queue_shard = :shard" + (" AND created_at <= :last" if last else ""),
            "ExpressionAttributeValues": encode_item({":shard": shard, ":last": last}),
            "ScanIndexForward": not newest_first,
            "Limit": limit,
        }
        if start:
            request["ExclusiveStartKey"] = _start_key(shard, start)
        answer = call(self.client, "query", **request)
        rows = [decode_item(item) for item in answer["Items"]]
        return _Chunk(rows, exhausted=not rows or "LastEvaluatedKey" not in answer)


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["created_at"], row["task_id"]


def _start_key(shard: str, start: tuple[str, str]) -> Item:
    return encode_item({"queue_shard": shard} | dict(zip(KEYS, start, strict=True)))


def _read_starts(cursor: str | None, of: Sequence[str]) -> list[tuple[str, str] | None]:
    """Where each shard was left: equal times in two shards can then neither repeat a task nor skip one."""
    if not cursor:
        return [None] * QUEUE_SHARDS
    starts = read_cursor(cursor, QUEUE_SHARDS, of)
    if not all(map(_is_start, starts)):
        raise BadCursor
    return [tuple(start) if start else None for start in starts]


def _is_start(start: object) -> bool:
    return start is None or (
        isinstance(start, list)
        and len(start) == len(KEYS)
        and all(isinstance(part, str) and 0 < len(part) <= 255 and part.isascii() for part in start)
    )
