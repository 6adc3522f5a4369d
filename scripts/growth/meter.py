"""A DynamoDB client that counts what DynamoDB would charge, by its rules and the sizes of the rows that were touched.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from app.data.codec import Item, item_size
from app.data.tables import ALL, Index, Table

KB = 1_024
ENTRY_OVERHEAD = 100  # bytes that DynamoDB bills on top of each row of a table and of an index
Where = tuple[str, str]  # a table or an index of one, and the value of its hash key


@dataclass
class Units:
    """What some calls cost; `read_at` and `write_at` say under which keys."""

    read: float = 0.0
    write: float = 0.0
    read_at: dict[Where, float] = field(default_factory=lambda: defaultdict(float))
    write_at: dict[Where, float] = field(default_factory=lambda: defaultdict(float))

    def reads(self, where: Where, units: float) -> None:
        self.read += units
        self.read_at[where] += units

    def writes(self, where: Where, units: float) -> None:
        self.write += units
        self.write_at[where] += units


class Meter:
    """Wraps a low-level client; `with meter.act() as units:` collects what is done inside the block."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._tables = {prefix + table.suffix: table for table in ALL}
        self._units = Units()
        reads: dict[str, Callable[..., Any]] = {"get_item": self._get, "batch_get_item": self._batch}
        reads |= {"query": self._list, "scan": self._list}
        for name, count in reads.items():
            setattr(self, name, self._counted(name, count))
        for name in ("put_item", "update_item", "delete_item"):
            setattr(self, name, self._writing(name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    @contextmanager
    def act(self) -> Iterator[Units]:
        before, self._units = self._units, Units()
        try:
            yield self._units
        finally:
            self._units = before

    def stored(self) -> dict[str, tuple[int, dict[str, float]]]:
        """By table: how many rows, and the bytes of one on average, of the table itself and of each index."""
        found = {}
        for name, table in self._tables.items():
            items = [
                item for page in self._client.get_paginator("scan").paginate(TableName=name) for item in page["Items"]
            ]
            if items:
                sizes = {"": sum(item_size(item) + ENTRY_OVERHEAD for item in items) / len(items)}
                for index in table.indexes:
                    entries = filter(None, (_entry(table, index, item) for item in items))
                    sizes[index.name] = sum(item_size(entry) + ENTRY_OVERHEAD for entry in entries) / len(items)
                found[table.suffix] = len(items), sizes
        return found

    def _counted(self, name: str, count: Callable[..., None]) -> Callable[..., Any]:
        def ask(**request: Any) -> Any:
            answer = getattr(self._client, name)(**request)
            count(request, answer)
            return answer

        return ask

    def _get(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        table = self._tables[request["TableName"]]
        self._read_one(table, request["Key"], answer.get("Item"), request.get("ConsistentRead", False))

    def _batch(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        for name, wanted in request["RequestItems"].items():
            table = self._tables[name]
            rows = {_key_text(table, row): row for row in answer["Responses"].get(name, [])}
            for key in wanted["Keys"]:
                self._read_one(table, key, rows.get(_key_text(table, key)), wanted.get("ConsistentRead", False))

    def _read_one(self, table: Table, key: Item, item: Item | None, consistent: bool) -> None:
        units = max(1, math.ceil(item_size(item or {}) / (4 * KB)))
        self._units.reads((table.suffix, _text(key[table.key])), units if consistent else units / 2)

    def _list(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        table = self._tables[request["TableName"]]
        index = next((each for each in table.indexes if each.name == request.get("IndexName")), None)
        items = answer.get("Items", [])
        if "ProjectionExpression" in request or request.get("Select") == "COUNT":  # whole rows are what is charged
            items = self._client.query(**_of_whole_rows(request))["Items"]
        units = max(1, math.ceil(sum(map(item_size, items)) / (4 * KB)))
        hash_key = next(iter(request.get("ExpressionAttributeValues", {}).values()), {"S": "all of it"})
        where = (f"{table.suffix}, {index.name}" if index else table.suffix, _text(hash_key))
        self._units.reads(where, units if request.get("ConsistentRead") else units / 2)

    def _writing(self, name: str) -> Callable[..., Any]:
        def ask(**request: Any) -> Any:
            with self._write([(name, request)], times=1):
                return getattr(self._client, name)(**request)

        return ask

    def transact_write_items(self, **request: Any) -> Any:
        kinds = {"Put": "put_item", "Update": "update_item", "Delete": "delete_item", "ConditionCheck": "check"}
        writes = [(kinds[kind], write) for each in request["TransactItems"] for kind, write in each.items()]
        with self._write(writes, times=2):
            return self._client.transact_write_items(**request)

    @contextmanager
    def _write(self, writes: list[tuple[str, dict[str, Any]]], *, times: int) -> Iterator[None]:
        """A transaction writes each row twice, its indexes once."""
        before = [self._row(write) for _, write in writes]
        yield
        for (_, write), old in zip(writes, before, strict=True):
            table, new = self._tables[write["TableName"]], self._row(write)
            key = (write.get("Key") or write["Item"])[table.key]
            most = max(item_size(old or {}), item_size(new or {}))
            self._units.writes((table.suffix, _text(key)), times * max(1, math.ceil(most / KB)))
            for index in table.indexes:
                self._write_index(table, index, old, new)

    def _row(self, write: dict[str, Any]) -> Item | None:
        table = self._tables[write["TableName"]]
        given = write.get("Key") or write["Item"]
        key = {name: given[name] for name in (table.key, table.range_key) if name}
        found: Item | None = self._client.get_item(TableName=write["TableName"], Key=key, ConsistentRead=True).get(
            "Item"
        )
        return found

    def _write_index(self, table: Table, index: Index, old: Item | None, new: Item | None) -> None:
        """An entry whose key changes is removed and put; one that stays the same costs nothing."""
        was, now = (_entry(table, index, item) if item else None for item in (old, new))
        if was == now:
            return
        keys = [name for name in (index.hash_key, index.range_key) if name]
        stays = was and now and all(was[name] == now[name] for name in keys)
        for entry in [now if stays else was, None if stays else now]:
            if entry:
                most = max(item_size(was or {}), item_size(now or {})) if stays else item_size(entry)
                where = (f"{table.suffix}, {index.name}", _text(entry[index.hash_key]))
                self._units.writes(where, max(1, math.ceil(most / KB)))


def _of_whole_rows(query: dict[str, Any]) -> dict[str, Any]:
    """The same query for all that its rows hold. A name that no expression has would be refused."""
    plain = {name: value for name, value in query.items() if name not in ("Select", "ProjectionExpression")}
    used = set(re.findall(r"#\w+", f"{plain['KeyConditionExpression']} {plain.get('FilterExpression', '')}"))
    names = {name: value for name, value in plain.pop("ExpressionAttributeNames", {}).items() if name in used}
    return plain | ({"ExpressionAttributeNames": names} if names else {})


def _entry(table: Table, index: Index, item: Item) -> Item | None:
    """What an index holds of a row; None where it does not hold it."""
    keys = [name for name in (index.hash_key, index.range_key, table.key, table.range_key) if name]
    if not all(name in item for name in (index.hash_key, index.range_key) if name):
        return None
    if index.projection is None:
        return item
    return {name: value for name, value in item.items() if name in (*keys, *index.projection)}


def _key_text(table: Table, row: Item) -> tuple[str, ...]:
    return tuple(_text(row[name]) for name in (table.key, table.range_key) if name)


def _text(attribute: Any) -> str:
    return str(next(iter(attribute.values())))
