"""What has happened to a customer, one kind of row beside the other: each kind is one query, from one place on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app.domain.accounts import AccountKey, Address
from app.domain.clock import to_iso
from app.domain.errors import BadCursor
from app.domain.paging import LAST, read_cursor, write_cursor

from .audit import AUDIT_ROW
from .base import Base
from .ledger import as_it_stands
from .outbox import MAIL
from .payments import PAYMENT
from .tables import (
    AUDIT,
    AUDIT_SUBJECT_INDEX,
    OUTBOX,
    OUTBOX_TO_INDEX,
    PAYMENT_EMAIL_INDEX,
    PAYMENTS,
    TASK_INDEX,
    TASKS,
    TRANSACTION_INDEX,
    TRANSACTIONS,
)
from .tasks import TASK
from .threads import KINDS, side_by_side


@dataclass(frozen=True, slots=True)
class Line:
    """A row, where it stands among all (`at` as its index has it, `rank` of its kind, its id), and what it says."""

    at: str
    rank: int
    line_id: str
    thing: Any

    def cursor(self, of: Sequence[str]) -> str:
        return write_cursor([self.at, self.rank, self.line_id], of)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended. At one moment the kinds stand in the order of their rank."""

    at: str
    rank: int
    line_id: str

    @classmethod
    def read(cls, cursor: str, of: Sequence[str]) -> Place:
        """Raises BadCursor."""
        at, rank, line_id = read_cursor(cursor, 3, of)
        if not (isinstance(at, str) and at and isinstance(rank, int) and isinstance(line_id, str)):
            raise BadCursor
        return cls(at, rank, line_id)

    def until(self, rank: int) -> str:
        """The latest moment of another kind's rows that come after this place."""
        return self.at if rank > self.rank else self.at[:-1] + chr(max(ord(self.at[-1]) - 1, 0)) + LAST


@dataclass(frozen=True, slots=True)
class Source:
    kind: str
    table: str
    index: str
    of: str  # the attribute that says whose it is
    at: str
    key: str
    make: Callable[[dict[str, Any]], Any]


SOURCES = (
    Source("act", AUDIT.suffix, AUDIT_SUBJECT_INDEX, "subject", "at", "audit_id", AUDIT_ROW.record),
    Source("mail", OUTBOX.suffix, OUTBOX_TO_INDEX, "to", "created_at", "mail_id", MAIL.record),
    Source("ledger", TRANSACTIONS.suffix, TRANSACTION_INDEX, "user_email", "timestamp", "transaction_id", as_it_stands),
    Source("payment", PAYMENTS.suffix, PAYMENT_EMAIL_INDEX, "user_email", "created_at", "payment_id", PAYMENT.record),
    Source("task", TASKS.suffix, TASK_INDEX, "user_email", "created_at", "task_id", TASK.record),
)


MAILS = next(rank for rank, source in enumerate(SOURCES) if source.kind == "mail")


class TimelineReads(Base):
    def lines(
        self,
        email: AccountKey,
        addresses: Sequence[Address],
        ranks: list[int],
        place: Place | None,
        limit: int,
        *,
        mails_since: datetime,
    ) -> list[Line]:
        """Up to `limit` rows of each kind after the place, newest first: one query a kind, side by side, and one for
        each further address that mails went to: not those of before, when another account may have had the address.
        """
        mails = [partial(self._mails_to, address, len(addresses) == 1, place, limit) for address in addresses]
        reads: list[Callable[[], list[Line]]] = []
        for rank in ranks:
            reads += mails if rank == MAILS else [partial(self._of_kind, email, rank, place, limit)]
        since = to_iso(mails_since)
        found = [line for lines in side_by_side(KINDS, reads) for line in lines]
        return [line for line in found if line.rank != MAILS or line.at >= since]

    def _mails_to(self, address: Address, alone: bool, place: Place | None, limit: int) -> list[Line]:
        """A place is a mail to any of the addresses: of each other one those that come after it, which are found by
        their time, and are no more than happened in that moment.
        """
        if alone or place is None or place.rank != MAILS:
            return self._of_kind(address, MAILS, place, limit)
        found: list[Line] = []
        after = Place(place.at, MAILS - 1, "")
        while len(found) < limit and (lines := self._of_kind(address, MAILS, after, limit)):
            found += [line for line in lines if (line.at, line.line_id) < (place.at, place.line_id)]
            after = Place(lines[-1].at, MAILS, lines[-1].line_id)
        return found[:limit]

    def _of_kind(self, email: str, rank: int, place: Place | None, limit: int) -> list[Line]:
        source = SOURCES[rank]
        own = place is not None and place.rank == rank
        between = (source.at, "0", place.until(rank)) if place and not own else None
        page = self._page(
            source.table,
            source.index,
            (source.of, email),
            key_names=(source.at, source.key),
            make=lambda row: Line(row[source.at], rank, row[source.key], source.make(row)),
            limit=limit,
            place=(place.at, place.line_id) if place and own else None,
            between=between,
            narrowed=between or (),
        )
        return page.items
