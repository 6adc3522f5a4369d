"""Access patterns of the Transactions table: the ledger. Rows are put once and never changed or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from app.domain.accounts import AccountKey
from app.domain.clock import from_iso, to_iso, utcnow
from app.domain.credits import PURCHASE, Link, PostedEntry, check_listed, check_row
from app.domain.errors import AlreadyRecorded
from app.domain.paging import Page, each
from app.domain.payments import PaymentRecord, entry_ids

from .base import WHOLE, Base, Part, in_parts
from .client import call
from .codec import decode_item, whole
from .records import Codec
from .tables import TRANSACTION_INDEX, TRANSACTIONS
from .transaction import Writes, alerting

TABLE = TRANSACTIONS.suffix
LINKS_A_PAGE = 2_000
NUMBERS, NO_NUMBER = ("sequence", "balance_after"), -1


class LedgerReads(Base):
    def find(self, transaction_id: str) -> PostedEntry | None:
        row = self._get(TABLE, {"transaction_id": transaction_id})
        return _checked(row) if row else None

    def find_as_it_stands(self, transaction_id: str) -> PostedEntry | None:
        row = self._get(TABLE, {"transaction_id": transaction_id})
        return as_it_stands(row) if row else None

    def page(
        self,
        email: AccountKey,
        *,
        limit: int,
        cursor: str | None = None,
        type: str = "",
        month: str = "",
        keys: tuple[str, str] | None = None,
        as_they_stand: bool = False,
    ) -> Page[PostedEntry]:
        """Newest first. `month` is `yyyy-mm` and rides on the index; `type` looks at a bounded number of rows.

        `keys` takes the place of the month for an account whose rows are not all listed at their time. `as_they_stand`:
        also where they do not add up, for who has to find out why. Else raises LedgerWrong.
        """
        found = self._page(
            TABLE,
            TRANSACTION_INDEX,
            ("user_email", email),
            key_names=("timestamp", "transaction_id"),
            make=as_it_stands if as_they_stand else _checked,
            limit=limit,
            cursor=cursor,
            keep=(lambda entry: entry.type == type) if type else None,
            between=("timestamp", *(keys or (f"{month}-", f"{month}-~"))) if month or keys else None,
            narrowed=(type, month),
        )
        if not type and not as_they_stand:  # rows of one type are no neighbours
            _check_chain(found.items)
        return found

    def of_task(self, email: AccountKey, task_id: str, *, as_they_stand: bool = False) -> list[PostedEntry]:
        """What one task moved: its spend and, if there was one, its refund; newest first."""
        rows = self._get_many([(TABLE, {"transaction_id": f"{kind}#{task_id}"}) for kind in ("refund", "spend")])
        make = as_it_stands if as_they_stand else _checked
        return [entry for entry in (make(row) for row in rows if row) if entry.user_email == email]

    def of_payment(self, record: PaymentRecord) -> list[PostedEntry]:
        """The rows of one payment, oldest first: their ids follow from it."""
        ids = (name for number in range(1, record.entries + 1) for name in entry_ids(record, number))
        rows = (self._get_many([(TABLE, {"transaction_id": name}) for name in some]) for some in in_parts(ids))
        return [_checked(row) for some in rows for row in some if row]

    def last_before(self, email: AccountKey, moment: datetime, *, ahead: bool = False) -> PostedEntry | None:
        """The last row, by its place, that says that it happened before: an opening balance comes from it.

        `ahead`: rows that are listed later may have happened earlier. Then all that are listed later are read.
        """
        if ahead:
            later = ("timestamp", to_iso(moment), "~")
            found = self._last(email, later, keep=lambda entry: entry.timestamp < moment)
            if found:
                return found
        return self._last(email, ("timestamp", "0", to_iso(moment - timedelta(microseconds=1))))

    def _last(
        self, email: AccountKey, between: tuple[str, str, str], keep: Callable[[PostedEntry], bool] | None = None
    ) -> PostedEntry | None:
        read = partial(
            self._page,
            TABLE,
            TRANSACTION_INDEX,
            ("user_email", email),
            key_names=("timestamp", "transaction_id"),
            make=_checked,
            limit=1,
            between=between,
            keep=keep,
            narrowed=between,
        )
        return next(each(lambda cursor: read(cursor=cursor)), None)

    def every_of(
        self,
        email: AccountKey,
        *,
        type: str = "",
        month: str = "",
        keys: tuple[str, str] | None = None,
        as_they_stand: bool = False,
    ) -> Iterator[PostedEntry]:
        """Every row of an account, newest first, page by page; see `page`."""
        read = partial(self.page, email, limit=500, type=type, month=month, keys=keys, as_they_stand=as_they_stand)
        return each(lambda cursor: read(cursor=cursor))

    def every(self, part: Part = WHOLE) -> Iterator[PostedEntry]:
        """A consistent scan: for the nightly check only."""
        return map(ENTRY.record, self._scan(TABLE, part=part))

    def links_of(self, email: AccountKey) -> Iterator[Link]:
        """What the chain of an account is checked by, as it lies there, in the order of the list: oldest first.

        From the index, which may lag by milliseconds; some rows at a time, however long the ledger is.
        """
        query = self._query(TABLE, TRANSACTION_INDEX, ("user_email", email), LINKS_A_PAGE, None, None, False)
        query["ProjectionExpression"] = "#s, #a, #b"
        query["ExpressionAttributeNames"] |= {"#s": "sequence", "#a": "amount", "#b": "balance_after"}
        while True:
            answer = call(self.client, "query", **query)
            for row in map(decode_item, answer["Items"]):
                yield Link(row.get("sequence", 0), whole(row.get("amount")) or 0, row.get("balance_after", 0))
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


class LedgerWrites(Writes):
    def append_once(self, entry: PostedEntry) -> None:
        """Append a row. Raises AlreadyRecorded if its id stands in the ledger, however long ago."""
        with alerting():
            check_row(entry)
        self._posted.append(entry)
        self.put(TABLE, ENTRY.row(entry), condition="attribute_not_exists(transaction_id)", failure=AlreadyRecorded)

    def not_recorded(self, transaction_id: str) -> None:
        """Raises AlreadyRecorded if this id stands in the ledger."""
        self.check(
            TABLE,
            {"transaction_id": transaction_id},
            condition="attribute_not_exists(transaction_id)",
            failure=AlreadyRecorded,
        )


def _checked(row: dict[str, Any]) -> PostedEntry:
    """A row as its owner is shown it. The nightly check reads them as they are: it is what names a wrong one."""
    entry = ENTRY.record(row)
    with alerting():
        check_row(entry)
    return entry


def as_it_stands(row: dict[str, Any]) -> PostedEntry:
    """A row as an operator is shown it: what is no number is said in words, and nothing stands in its place."""
    entry = ENTRY.record(row)
    odd = {name: getattr(entry, name) for name in NUMBERS if type(getattr(entry, name)) is not int}
    said = "".join(f" ({name} as it was stored: {value})" for name, value in odd.items())
    instead: dict[str, Any] = dict.fromkeys(odd, NO_NUMBER)
    return replace(entry, description=entry.description + said, **instead) if odd else entry


def _check_chain(newest_first: list[PostedEntry]) -> None:
    now = utcnow()
    with alerting():
        for newer, older in pairwise(newest_first):
            check_listed(newer, older, now)


def _beside(entry: PostedEntry) -> dict[str, Any]:
    """The index lists by `timestamp`, so that is its place; where its time is another, it stands beside."""
    happened_at = to_iso(entry.timestamp) if entry.ahead_at else None
    return {"timestamp": to_iso(entry.listed_at), "happened_at": happened_at}


def _otherwise(row: Mapping[str, Any]) -> dict[str, Any]:
    """Lenient on what is absent: rows of the original product hold only the attributes of the original."""
    amount, sequence = whole(row.get("amount")), row.get("sequence", 0)
    listed_at, happened_at = row["timestamp"], row.get("happened_at")
    found = {
        "amount": amount or 0,
        "timestamp": from_iso(happened_at or listed_at),
        "ahead_at": from_iso(listed_at) if happened_at else None,
        "balance_after": row.get("balance_after", 0),
        "sequence": sequence,
        "description": row.get("description") or "",
    }
    if amount is None:
        stored = str(row.get("amount"))
        found["description"] = f"{found['description']} (amount as it was stored: {stored})".strip()
        found["unreadable"] = stored
    intent = row.get("stripe_payment_intent")
    if sequence == 0 and row["type"] == PURCHASE and (amount or 0) > 0 and str(intent).startswith("pi_"):
        found["payment_id"] = intent
    return found


ENTRY = Codec(PostedEntry, but={"timestamp", "ahead_at", "unreadable"}, beside=_beside, otherwise=_otherwise)
