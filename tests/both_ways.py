"""The books checked both ways, by the app over its store and by SQL over an export of the same rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from app.data import Store
from app.data.codec import Item
from app.data.tables import ALL
from app.domain.checks import Difference
from app.services import books
from scripts.books.audit import opened
from scripts.books.export import write_export

PREFIX = "ImpacterAGI_"


def rows_of(store: Store) -> dict[str, list[Item]]:
    """Every row of every table, as it is stored."""
    return {table.suffix: [item for page in store._scan_pages(table.suffix) for item in page["Items"]] for table in ALL}


def export_to(folder: Path, rows: dict[str, list[Item]]) -> Path:
    for table in ALL:
        write_export(folder, PREFIX + table.suffix, rows.get(table.suffix, []), rows_a_file=500)
    return folder


def by_sql(folder: Path, rows: dict[str, list[Item]]) -> set[Difference]:
    with opened(export_to(folder, rows)) as audited:
        return set(audited.differences())


def by_both(store: Store, folder: Path) -> set[Difference]:
    """What differs, the same both ways."""
    found = set(books.check(store))
    said = by_sql(folder, rows_of(store))
    assert said == found, f"SQL alone: {said - found}; the app alone: {found - said}"
    return found


class Rows:
    """A client of DynamoDB over rows that a test made up: pages of a few, of tables, parts and indexes."""

    def __init__(self, rows: dict[str, list[Item]], *, page: int = 100, size: int | None = None) -> None:
        self.rows, self._page, self._size = rows, page, size
        self.broken: Callable[[str], None] = lambda table: None  # may throw, before a page of it is read

    def describe_table(self, TableName: str) -> dict[str, Any]:
        rows = self.rows.get(_table(TableName), [])
        return {"Table": {"ItemCount": len(rows) if self._size is None else self._size}}

    def scan(self, *, ExclusiveStartKey: Any = None, **request: Any) -> dict[str, Any]:
        pages = ExclusiveStartKey or self._pages(**request)
        page = next(pages, None)
        return {"Items": []} if page is None else page | {"LastEvaluatedKey": pages}

    def _pages(
        self, *, TableName: str, Segment: int = 0, TotalSegments: int = 1, **how: Any
    ) -> Iterator[dict[str, Any]]:
        table = _table(TableName)
        rows = self.rows.get(table, [])[Segment::TotalSegments]
        if "alias_of" in how.get("FilterExpression", ""):
            rows = [row for row in rows if "alias_of" not in row]
        for start in range(0, max(len(rows), 1), self._page):
            self.broken(table)
            yield {"Items": rows[start : start + self._page]}

    def query(
        self, *, TableName: str, ExpressionAttributeNames: dict[str, str], ExpressionAttributeValues: Item, **how: Any
    ) -> dict[str, Any]:
        key, value = ExpressionAttributeNames["#h"], ExpressionAttributeValues[":h"]
        table, order = _table(TableName), {"subject": ("at", "audit_id")}.get(key, ("timestamp", "transaction_id"))
        self.broken(f"{table} of {value['S']}")
        rows = [row for row in self.rows.get(table, []) if row.get(key) == value]
        rows.sort(key=lambda row: [row[name]["S"] for name in order], reverse=not how["ScanIndexForward"])
        start = how.get("ExclusiveStartKey")
        if start:
            place = next(n for n, row in enumerate(rows) if all(row[name] == start[name] for name in order))
            rows = rows[place + 1 :]
        some = rows[: how["Limit"]]
        return {"Items": some} | ({"LastEvaluatedKey": some[-1]} if len(rows) > len(some) else {})

    def get_item(self, *, TableName: str, Key: Item, **_: Any) -> dict[str, Any]:
        found = [row for row in self.rows.get(_table(TableName), []) if row.items() >= Key.items()]
        return {"Item": found[0]} if found else {}


def _table(name: str) -> str:
    return name.removeprefix(PREFIX)


def differ(found: Iterable[Difference]) -> dict[str, set[str]]:
    """What differs, by what it is about."""
    about: dict[str, set[str]] = defaultdict(set)
    for one in found:
        about[one.subject].add(one.what)
    return dict(about)
