"""Whole tables as they lie in the store, for the check after a restore: how many rows, and what refers to what."""

from __future__ import annotations

from collections.abc import Iterator

from app.domain.tasks import Result

from .base import Base
from .client import call
from .tables import ALL, AUDIT, RESULTS
from .tasks import RESULT


class WholeReads(Base):
    """Each scans a table: a few requests for each megabyte of it."""

    def names(self) -> dict[str, bool]:
        """The tables by their names without the prefix; whether their rows expire by themselves."""
        return {table.suffix: table.ttl is not None for table in ALL}

    def count(self, table: str) -> int:
        """How many rows it has now."""
        return sum(page["Count"] for page in self._scan_pages(table, Select="COUNT"))

    def size(self, table: str) -> int:
        """About how many rows it has, without reading any: DynamoDB counts them every six hours or so."""
        return int(call(self.client, "describe_table", TableName=self.prefix + table)["Table"].get("ItemCount", 0))

    def results(self) -> Iterator[tuple[str, Result]]:
        """Every result with the id of its task."""
        return ((row["task_id"], RESULT.record(row)) for row in self._scan(RESULTS.suffix))

    def acts(self) -> Iterator[tuple[str, str]]:
        """Action and subject of every row of the audit log."""
        return ((row["action"], row["subject"]) for row in self._scan(AUDIT.suffix))
