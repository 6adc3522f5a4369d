"""What every access pattern is built on: single reads, single writes, and pages of an index."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from app.domain.errors import BadCursor, StoreBusy, StoreUnavailable
from app.domain.paging import Page, batched, read_cursor, write_cursor

from .client import Stale, call
from .codec import Item, decode_item, encode, encode_item, item_size
from .transaction import Failure, check_table, update_request, with_condition

Row = TypeVar("Row")

UPDATE_ATTEMPTS = 6
# Of the newest conditional updates of a row: what a try whose answer was lost is known by again. There are three, or a
# rival's update between the try and its repeat would hide the one.
MARK, *OLDER = "last_write", "last_write_2", "last_write_3"
LOOK_WITHIN_SECONDS = 2.0
MAX_AT_ONCE = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MAX_KEY_BYTES = 1_024  # what DynamoDB takes for a range key
# What one page of a search may read, whichever is used up first: its cost depends neither on the length of the history
# nor on that of its texts. DynamoDB bounds a Query by rows alone, and at 1 MB.
SEARCH_BUDGET = 2_000  # rows
SEARCH_BYTES = 1_000_000
SEARCH_CALLS = 12
SEARCH_CHUNK = 1_500  # rows of one call at most
SEARCH_FIRST_CHUNK = 25  # as long as nobody knows how long the rows are
SEARCH_GROWTH = 4  # times what was read so far: a page that is soon full reads few rows, a long search takes few calls
Part = tuple[int, int]  # the how-manieth part of a table, and of how many: rows of one hash range, in no order
WHOLE: Part = (0, 1)


class Adopter(Protocol):
    """Makes rows that an earlier product wrote whole. Handed in from outside; without one they stay as they are, marked
    as unexplained, and nothing moves their balance or their state.
    """

    def account(self, base: Base, row: dict[str, Any]) -> dict[str, Any]:
        """The row as it is once every later write can build on it; as it was, where that cannot be."""

    def task(self, base: Base, row: dict[str, Any]) -> dict[str, Any]: ...


class Base:
    """Holds the client and the table prefix; the repositories in this package add the access patterns."""

    def __init__(self, client: Any, prefix: str, adopter: Adopter | None = None) -> None:
        self.client = client
        self.prefix = prefix
        self.adopter = adopter

    def _get(self, table: str, key: Mapping[str, Any], *, consistent: bool = True) -> dict[str, Any] | None:
        answer = call(
            self.client,
            "get_item",
            TableName=self.prefix + table,
            Key=encode_item(key),
            ConsistentRead=consistent,
        )
        item = answer.get("Item")
        return decode_item(item) if item else None

    def _get_many(self, keys: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any] | None]:
        """Read up to 100 items of any tables in one consistent call, in the order asked for."""
        request: dict[str, Any] = {}
        for table, key in keys:
            wanted = request.setdefault(self.prefix + table, {"Keys": [], "ConsistentRead": True})
            if (encoded := encode_item(key)) not in wanted["Keys"]:
                wanted["Keys"].append(encoded)
        found: dict[str, list[dict[str, Any]]] = {}
        while request:
            answer = call(self.client, "batch_get_item", RequestItems=request)
            for name, items in answer["Responses"].items():
                found.setdefault(name, []).extend(decode_item(item) for item in items)
            request = answer.get("UnprocessedKeys") or {}
        return [
            next((row for row in found.get(self.prefix + table, []) if all(row[k] == v for k, v in key.items())), None)
            for table, key in keys
        ]

    def _scan(
        self, table: str, condition: str | None = None, *, consistent: bool = True, part: Part = WHOLE
    ) -> Iterator[dict[str, Any]]:
        """Every row of a table or of one part of it, or those that meet the condition: for the command line and the
        nightly check, and for tables that stay small.
        """
        request: dict[str, Any] = {"FilterExpression": condition} if condition else {}
        if part != WHOLE:
            request |= {"Segment": part[0], "TotalSegments": part[1]}
        for page in self._scan_pages(table, consistent=consistent, **request):
            yield from map(decode_item, page["Items"])

    def _scan_pages(self, table: str, *, consistent: bool = True, **request: Any) -> Iterator[dict[str, Any]]:
        """The answers of a whole scan as DynamoDB gives them: to count, or to read what we would not have written."""
        request |= {"TableName": self.prefix + table, "ConsistentRead": consistent}
        while True:
            page = call(self.client, "scan", **request)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update(self, table: str, key: Mapping[str, Any], **write: Any) -> dict[str, Any]:
        """One UpdateItem; returns the row as it is afterwards.

        Not for the Users table: its rows are changed by `_update_account` (lives.py), which names the life.
        """
        check_table(table)
        return self._update_row(table, key, **write)

    def _update_row(
        self,
        table: str,
        key: Mapping[str, Any],
        *,
        set: Mapping[str, Any] | None = None,
        add: Mapping[str, int] | None = None,
        remove: tuple[str, ...] | list[str] = (),
        condition: str | None = None,
        failure: Failure = Stale,
        **params: Any,
    ) -> dict[str, Any]:
        """A conditional write leaves a mark of its own, and looks for it before it says that its condition has failed:
        its condition may have been true until an earlier try of the same write, whose answer was lost.
        """
        mark = secrets.token_urlsafe(9) if condition else None
        written = {**(set or {}), **({MARK: mark} if mark else {})}
        request = update_request(self.prefix + table, key, written, add or {}, remove)
        request = with_condition(request, condition, params) | {"ReturnValues": "ALL_NEW"}
        if mark:
            _keep_older_marks(request)
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        begun = time.monotonic()
        for attempt in range(UPDATE_ATTEMPTS):
            try:
                return decode_item(call(self.client, "update_item", **request)["Attributes"])
            except Stale:  # a transaction holds the item at this moment; no condition of ours has failed
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # nosec B311 # noqa: S311 - jitter, no secret
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                if own := _written_by_us(error.response.get("Item"), mark):
                    return own
                raise (failure() if isinstance(failure, type) else failure) from error
            except StoreUnavailable:
                # Every answer was lost, or none of the tries arrived. Who has waited for time-outs waits no longer.
                if mark and time.monotonic() - begun < LOOK_WITHIN_SECONDS:
                    with suppress(StoreUnavailable, ClientError):
                        found = call(
                            self.client,
                            "get_item",
                            TableName=self.prefix + table,
                            Key=encode_item(key),
                            ConsistentRead=True,
                        )
                        if own := _written_by_us(found.get("Item"), mark):
                            return own
                raise
        raise StoreBusy

    def _query_from(self, query: dict[str, Any], *, theirs: bool) -> dict[str, Any]:
        """One Query. `theirs`: it starts at a cursor that came from outside, which need not fit the list at all."""
        try:
            return call(self.client, "query", **query)
        except ClientError as error:
            if theirs and error.response["Error"]["Code"] == "ValidationException":
                raise BadCursor from error
            raise

    def _page(
        self,
        table: str,
        index: str,
        hash_key: tuple[str, str],
        *,
        key_names: tuple[str, ...],
        make: Callable[[dict[str, Any]], Row],
        limit: int,
        cursor: str | None = None,
        place: Sequence[object] | None = None,
        keep: Callable[[Row], bool] | None = None,
        sift: Callable[[Item], bool] | None = None,
        between: tuple[str, str, str] | None = None,
        narrowed: Sequence[str] = (),
        only: Sequence[str] = (),
        newest_first: bool = True,
    ) -> Page[Row]:
        """A page of an index, or of the table itself where `index` is empty. `key_names` are the keys that a cursor
        carries (never the hash key: that is ours).

        With `keep` or `sift`, looks no further than a SearchBudget reaches and hands back where it stopped; `sift` is
        asked of a row as it is stored, before it is read. `narrowed` says in words what these and `between` leave: a
        cursor opens that list alone, of this `hash_key` and in this order. Raises BadCursor for another's. `only`: the
        attributes that are sent, those of the cursor among them; units are counted of whole rows all the same. `place`:
        what a cursor of another kind has said, in its stead.
        """
        searches = keep is not None or sift is not None
        if (searches or between) and not narrowed:
            raise TypeError(f"a page of {table} is narrowed, and nothing says by what")
        of = (table, index, hash_key[1], "newest" if newest_first else "oldest", *narrowed)
        if cursor:
            place = read_cursor(cursor, len(key_names), of)
        start = self._start(place, key_names, hash_key) if place else None
        if between and between[1] > between[2]:  # DynamoDB refuses such a range; nothing lies in it
            return Page()
        rows: list[tuple[Row, dict[str, Any]]] = []
        budget, first = SearchBudget(), start
        while True:
            chunk = budget.next_chunk() if searches else limit + 1 - len(rows)
            query = self._query(table, index, hash_key, chunk, start, between, newest_first, only)
            answer = self._query_from(query, theirs=place is not None and start is first)
            for item in filter(sift, answer["Items"]) if sift else answer["Items"]:
                values = decode_item(item)
                row = make(values)
                if keep is None or keep(row):
                    rows.append((row, {name: values[name] for name in key_names}))
            if searches:
                budget.spend(answer["Items"])
            start = answer.get("LastEvaluatedKey")
            if len(rows) > limit:
                return Page([row for row, _ in rows[:limit]], write_cursor(list(rows[limit - 1][1].values()), of))
            if start is None:
                return Page([row for row, _ in rows], None)
            if searches and budget.is_spent:
                last = decode_item(start)
                return Page([row for row, _ in rows], write_cursor([last[name] for name in key_names], of))

    def _query(
        self,
        table: str,
        index: str,
        hash_key: tuple[str, str],
        limit: int,
        start: Item | None,
        between: tuple[str, str, str] | None,
        newest_first: bool,
        only: Sequence[str] = (),
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "TableName": self.prefix + table,
            **({"IndexName": index} if index else {}),
            "KeyConditionExpression": "#h = :h",
            "ExpressionAttributeNames": {"#h": hash_key[0]},
            "ExpressionAttributeValues": {":h": {"S": hash_key[1]}},
            "ScanIndexForward": not newest_first,
            "Limit": limit,
        }
        if between:
            name, low, high = between
            request["KeyConditionExpression"] += " AND #r BETWEEN :low AND :high"
            request["ExpressionAttributeNames"]["#r"] = name
            request["ExpressionAttributeValues"] |= {":low": encode(low), ":high": encode(high)}
        if only:
            names = {f"#{number}": name for number, name in enumerate(only)}
            request["ProjectionExpression"] = ",".join(names)
            request["ExpressionAttributeNames"] |= names
        if start:
            request["ExclusiveStartKey"] = start
        return request

    @staticmethod
    def _start(values: Sequence[object], key_names: tuple[str, ...], hash_key: tuple[str, str]) -> Item:
        """A cursor names a place only; whose list it is in comes from the session, so it opens nobody else's."""
        if not all(fits_a_key(value) for value in values):
            raise BadCursor
        return encode_item(dict(zip(key_names, values, strict=True)) | {hash_key[0]: hash_key[1]})


class SearchBudget:
    """What one page of a search has read, and how many rows its next call may ask for."""

    def __init__(self) -> None:
        self.calls = self.rows = self.bytes = 0

    def next_chunk(self) -> int:
        """More each time, but no more than what is left of the bytes will hold if rows are as long as those before."""
        grown = SEARCH_GROWTH * self.rows or SEARCH_FIRST_CHUNK
        return min(SEARCH_CHUNK, grown, SEARCH_BUDGET - self.rows, self._fitting())

    def _fitting(self) -> int:
        return (SEARCH_BYTES - self.bytes) * self.rows // max(self.bytes, 1) if self.rows else SEARCH_FIRST_CHUNK

    def spend(self, items: list[Item]) -> None:
        self.calls += 1
        self.rows += len(items)
        self.bytes += sum(map(item_size, items))

    @property
    def is_spent(self) -> bool:
        return self.rows >= SEARCH_BUDGET or self.calls >= SEARCH_CALLS or self._fitting() < 1


def in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """Each id once, as many at a time as one call can read."""
    return batched(dict.fromkeys(ids), MAX_AT_ONCE)


def fits_a_key(value: object) -> bool:
    """Keys hold what people chose, too: the ledger row of an opening carries an address, which need not be ASCII."""
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False


def _written_by_us(item: Item | None, mark: str | None) -> dict[str, Any] | None:
    """The row, if it is as this very write has left it: a try went through whose answer was lost on the way."""
    row = decode_item(item) if item and mark else None
    return row if row and mark in (row.get(name) for name in (MARK, *OLDER)) else None


def _keep_older_marks(request: dict[str, Any]) -> None:
    """Each mark moves on to the next place, as it was before this write."""
    moves = [f"{to} = if_not_exists({of}, :no_mark)" for of, to in zip((MARK, *OLDER), OLDER, strict=False)]
    request["UpdateExpression"] = f"SET {', '.join(moves)}, " + request["UpdateExpression"].removeprefix("SET ")
    request["ExpressionAttributeValues"][":no_mark"] = {"S": ""}
