"""Access patterns of the Transactions table: the ledger. Rows are put once and never changed or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from app.domain.clock import from_iso, to_iso
from app.domain.credits import PURCHASE, PostedEntry
from app.domain.errors import AlreadyRecorded

from .base import Base, Page, each
from .codec import whole
from .tables import TRANSACTION_INDEX, TRANSACTIONS
from .transaction import Writes

TABLE = TRANSACTIONS.suffix


class LedgerReads(Base):
    def find(self, transaction_id: str) -> PostedEntry | None:
        row = self._get(TABLE, {"transaction_id": transaction_id})
        return _entry(row) if row else None

    def page(
        self,
        email: str,
        *,
        limit: int,
        cursor: str | None = None,
        type: str = "",
        month: str = "",
        keys: tuple[str, str] | None = None,
    ) -> Page[PostedEntry]:
        """Newest first. `month` is `yyyy-mm` and rides on the index; `type` looks at a bounded number of rows.

        `keys` takes the place of the month for an account whose rows are not all listed at their time.
        """
        return self._page(
            TABLE,
            TRANSACTION_INDEX,
            ("user_email", email),
            key_names=("timestamp", "transaction_id"),
            make=_entry,
            limit=limit,
            cursor=cursor,
            keep=(lambda entry: entry.type == type) if type else None,
            between=("timestamp", *(keys or (f"{month}-", f"{month}-~"))) if month or keys else None,
        )

    def of_task(self, email: str, task_id: str) -> list[PostedEntry]:
        """What one task moved: its spend and, if there was one, its refund; newest first."""
        rows = self._get_many([(TABLE, {"transaction_id": f"{kind}#{task_id}"}) for kind in ("refund", "spend")])
        return [entry for entry in (_entry(row) for row in rows if row) if entry.user_email == email]

    def last_before(self, email: str, moment: datetime, *, ahead: bool = False) -> PostedEntry | None:
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
        self, email: str, between: tuple[str, str, str], keep: Callable[[PostedEntry], bool] | None = None
    ) -> PostedEntry | None:
        read = partial(
            self._page,
            TABLE,
            TRANSACTION_INDEX,
            ("user_email", email),
            key_names=("timestamp", "transaction_id"),
            make=_entry,
            limit=1,
            between=between,
            keep=keep,
        )
        return next(each(lambda cursor: read(cursor=cursor)), None)

    def every_of(
        self, email: str, *, type: str = "", month: str = "", keys: tuple[str, str] | None = None
    ) -> Iterator[PostedEntry]:
        """Every row of an account, newest first, page by page."""
        return each(lambda cursor: self.page(email, limit=500, cursor=cursor, type=type, month=month, keys=keys))

    def every(self) -> Iterator[PostedEntry]:
        """A consistent scan: for the nightly check only."""
        return map(_entry, self._scan(TABLE))


class LedgerWrites(Writes):
    def append_once(self, entry: PostedEntry) -> None:
        """Append a row. Raises AlreadyRecorded if its id stands in the ledger, however long ago."""
        self.put(
            TABLE,
            {
                "transaction_id": entry.transaction_id,
                "user_email": entry.user_email,
                "type": entry.type,
                "amount": entry.amount,
                "description": entry.description,
                "timestamp": to_iso(entry.listed_at),
                "happened_at": to_iso(entry.timestamp) if entry.ahead_at else None,
                "balance_after": entry.balance_after,
                "sequence": entry.sequence,
                "task_id": entry.task_id,
                "payment_id": entry.payment_id,
                "stripe_payment_intent": entry.stripe_payment_intent,
            },
            condition="attribute_not_exists(transaction_id)",
            failure=AlreadyRecorded,
        )

    def not_recorded(self, transaction_id: str) -> None:
        """Raises AlreadyRecorded if this id stands in the ledger."""
        self.check(
            TABLE,
            {"transaction_id": transaction_id},
            condition="attribute_not_exists(transaction_id)",
            failure=AlreadyRecorded,
        )


def _entry(row: dict[str, Any]) -> PostedEntry:
    """Lenient on what is absent: rows of the original product hold only the attributes of the original."""
    amount, sequence = whole(row.get("amount")), row.get("sequence", 0)
    description, payment_id = row.get("description") or "", row.get("payment_id")
    if amount is None:
        description = f"{description} (amount as it was stored: {row.get('amount')})".strip()
    intent, listed_at, happened_at = row.get("stripe_payment_intent"), row["timestamp"], row.get("happened_at")
    if sequence == 0 and row["type"] == PURCHASE and (amount or 0) > 0 and str(intent).startswith("pi_"):
        payment_id = intent
    return PostedEntry(
        transaction_id=row["transaction_id"],
        user_email=row["user_email"],
        type=row["type"],
        amount=amount or 0,
        description=description,
        timestamp=from_iso(happened_at or listed_at),
        balance_after=row.get("balance_after", 0),
        sequence=sequence,
        task_id=row.get("task_id"),
        payment_id=payment_id,
        stripe_payment_intent=intent,
        unreadable=None if amount is not None else str(row.get("amount")),
        ahead_at=from_iso(listed_at) if happened_at else None,
    )
