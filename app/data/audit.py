"""Access patterns of the Audit table: what operators did, append-only, written in the transaction that did it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app.domain.accounts import Address
from app.domain.audit import CHANGE_ADDRESS, AuditRow
from app.domain.clock import to_iso
from app.domain.errors import AlreadyRecorded, BadCursor
from app.domain.paging import Page, each, read_cursor, write_cursor

from .base import Base
from .records import Codec
from .tables import AUDIT, AUDIT_INDEX, AUDIT_SUBJECT_INDEX
from .transaction import Writes

TABLE = AUDIT.suffix
AUDIT_ROW = Codec(
    AuditRow,
    always={"reason", "before", "after"},
    beside=lambda row: {"day": row.at.astimezone(UTC).date().isoformat()},
)


class AuditReads(Base):
    def search(
        self, *, until: date, days: int, limit: int, cursor: str | None = None, actor: str = "", action: str = ""
    ) -> Page[AuditRow]:
        """Newest first, from `until` back over some days: a query for each day, and with a filter a bounded look.

        The cursor names the day that it is in.
        """
        narrowed = (actor, action)
        of = ("audit", until.isoformat(), *narrowed)
        day, place = read_cursor(cursor, 2, of) if cursor else (until.isoformat(), None)
        rows: list[AuditRow] = []
        last = _day(day)
        keep = (lambda row: actor in ("", row.actor) and row.action.startswith(action)) if actor or action else None
        for back in range(days):
            current = (last - timedelta(days=back)).isoformat()
            page = self._audit(AUDIT_INDEX, ("day", current), limit - len(rows), place, keep, narrowed)
            rows += page.items
            if page.next_cursor:
                return Page(rows, write_cursor([current, page.next_cursor], of))
            place = None
            if len(rows) == limit:
                return Page(rows, write_cursor([(last - timedelta(days=back + 1)).isoformat(), None], of))
        return Page(rows, None)

    def page_of(
        self, subject: str, *, limit: int, cursor: str | None = None, narrowed: Sequence[str] = ()
    ) -> Page[AuditRow]:
        """Everything done to one task, account, payment or code, newest first. `narrowed`: by what whoever asks leaves
        some of it out.
        """
        return self._audit(AUDIT_SUBJECT_INDEX, ("subject", subject), limit, cursor, narrowed=narrowed)

    def every_of(self, subject: str) -> Iterator[AuditRow]:
        """The same to the end, page by page."""
        return each(lambda cursor: self.page_of(subject, limit=500, cursor=cursor))

    def names_address(self, address: Address) -> bool:
        """Whether an account has ever gone to this address. A scan: for the set-up, where nothing stands there."""
        changes = (row for row in self._scan(TABLE) if row["action"] == CHANGE_ADDRESS)
        return any(row["after"]["address"] == address for row in changes)

    def _audit(
        self,
        index: str,
        key: tuple[str, str],
        limit: int,
        cursor: str | None,
        keep: Callable[[AuditRow], bool] | None = None,
        narrowed: Sequence[str] = (),
    ) -> Page[AuditRow]:
        return self._page(
            TABLE,
            index,
            key,
            key_names=("at", "audit_id"),
            make=AUDIT_ROW.record,
            limit=limit,
            cursor=cursor,
            keep=keep,
            narrowed=narrowed,
        )


class AuditWrites(Writes):
    def record(
        self,
        *,
        actor: str,
        action: str,
        subject: str,
        now: datetime,
        reason: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Append a row beside the act itself: both stand, or neither."""
        audit_id = f"{to_iso(now)}#{secrets.token_hex(6)}"
        row = AuditRow(audit_id, now, actor, action, subject, reason, before or {}, after or {})
        self.put(TABLE, AUDIT_ROW.row(row), condition="attribute_not_exists(audit_id)", failure=AlreadyRecorded)


def _day(text: object) -> date:
    try:
        day = date.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise BadCursor from error
    if day.year < 2000:
        raise BadCursor
    return day
