"""Whole tables as they lie in the store, item by item in its own types: what a backup reads and a restore writes.

Nothing here knows what a row says. Reads and writes are safe to repeat: a row is put as it is, under its key.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from app.domain.errors import StoreUnavailable

from .answers import TURNED_AWAY
from .base import Base
from .client import TableMissing, call
from .codec import Item
from .tables import ALL, Table

PARTS = 4  # of a table, read side by side
WRITTEN_AT_ONCE = 25  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
ATTEMPTS = 12  # at what DynamoDB puts off: from 50 ms on, at most 10 s apart, about a minute in all
MARK = "restored-from"  # a tag
PUT_OFF = "DynamoDB takes no more just now. Run it again: it goes on where it was."
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 10.0


@dataclass(frozen=True, slots=True)
class Called:
    """What DynamoDB calls a table."""

    arn: str
    table_id: str


def described(client: Any, name: str) -> dict[str, Any] | None:
    """What DynamoDB says of a table; None where there is none, which is no error of anybody's. Raises
    StoreUnavailable.
    """
    try:
        found: dict[str, Any] | None = client.describe_table(TableName=name).get("Table")
    except client.exceptions.ResourceNotFoundException:
        return None
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable from error
    if found is None:  # something else than the store has answered
        raise StoreUnavailable
    return found


class TableCopies(Base):
    """Under the prefix of the store that it is given. Raises StoreUnavailable throughout."""

    def tables(self) -> tuple[Table, ...]:
        return ALL

    def find(self, table: str) -> Called | None:
        """The table's names at DynamoDB; None where it is not there."""
        description = described(self.client, self.prefix + table)
        if description is None:
            return None
        return Called(str(description.get("TableArn", "")), str(description.get("TableId", "")))

    def pages(self, table: str, part: int, start: Item | None = None) -> Iterator[tuple[list[Item], Item | None]]:
        """One of PARTS parts of a table, a page of at most 1 MB at a time, with the place behind it; None: the end.

        Strongly consistent, so each row is read as it is at that moment; a table takes many moments.
        """
        request: dict[str, Any] = {
            "TableName": self.prefix + table,
            "ConsistentRead": True,
            "Segment": part,
            "TotalSegments": PARTS,
        }
        while True:
            answer = self._patiently("scan", **request, **({"ExclusiveStartKey": start} if start else {}))
            start = answer.get("LastEvaluatedKey")
            yield answer["Items"], start
            if not start:
                return

    def put(self, table: str, items: list[Item]) -> None:
        """Put items as they are, in the place of what stands under their keys; no key twice in one call."""
        name = self.prefix + table
        for begin in range(0, len(items), WRITTEN_AT_ONCE):
            left = {name: [{"PutRequest": {"Item": item}} for item in items[begin : begin + WRITTEN_AT_ONCE]]}
            for attempt in range(ATTEMPTS):
                left = self._patiently("batch_write_item", RequestItems=left).get("UnprocessedItems") or {}
                if not left:
                    break
                _pause(attempt)
            else:
                raise StoreUnavailable(PUT_OFF)

    def is_empty(self, table: str) -> bool:
        """Whether not one row is there."""
        return not self._patiently("scan", TableName=self.prefix + table, Limit=1, ConsistentRead=True)["Items"]

    def count(self, table: str) -> int:
        """How many rows are there now; a scan that brings none of them."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.prefix + table, ConsistentRead=True, Select="COUNT"
        )
        return sum(page["Count"] for page in pages)

    def mark(self, table: str, value: str) -> None:
        """Say which restore a table belongs to, in a tag: no row of it. Safe to repeat."""
        named = self.find(table)
        if named and self.mark_of(table) != value:
            self.client.tag_resource(ResourceArn=named.arn, Tags=[{"Key": MARK, "Value": value}])

    def mark_of(self, table: str) -> str:
        """Which restore it belongs to; empty where none has said so."""
        named = self.find(table)
        if named is None:
            return ""
        tags = self.client.list_tags_of_resource(ResourceArn=named.arn).get("Tags") or []
        return next((str(tag["Value"]) for tag in tags if tag["Key"] == MARK), "")

    def _patiently(self, operation: str, **request: Any) -> dict[str, Any]:
        """A call that waits where DynamoDB throttles: a table that was just made takes its time to take more."""
        for attempt in range(ATTEMPTS):
            try:
                return call(self.client, operation, **request)
            except TableMissing:
                raise
            except StoreUnavailable as error:
                if attempt == ATTEMPTS - 1 or not _is_throttled(error):
                    raise
                _pause(attempt)
        raise StoreUnavailable(PUT_OFF)


def _is_throttled(error: StoreUnavailable) -> bool:
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response.get("Error", {}).get("Code") in TURNED_AWAY


def _pause(attempt: int) -> None:
    longest = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2**attempt)
    time.sleep(random.uniform(longest / 2, longest))  # nosec B311 # noqa: S311 - jitter, no secret
