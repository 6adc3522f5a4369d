"""The ledger as a whole, and monthly statements: opening balance, movements, closing balance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import sleep
from typing import Any, TypeVar

from app.data import Store
from app.domain.credits import PostedEntry
from app.domain.errors import LedgerBehind

MAX_MONTHS = 60
SETTLING_SECONDS = (0.1, 0.4)  # the index follows the table within a fraction of a second

Answer = TypeVar("Answer")


def whole_ledger(store: Store, email: str, *, type: str = "", month: str = "") -> Iterator[PostedEntry]:
    """Every row that the filter names, newest first, or LedgerBehind: none that stood as this began may be missing.

    They are read from an index that lags a little behind. Sequence numbers show a gap, the account the newest of them;
    so rows of other types are read as well. Rows that are added meanwhile are newer than all of these.
    """
    account = store.get_account(email)
    last_month = account.last_entry_at.strftime("%Y-%m") if account.last_entry_at else ""
    following = None
    for entry in store.entries_of(email, month=month):
        if not entry.is_original:
            is_newest = following is None and (not month or month == last_month)
            if entry.sequence < account.ledger_sequence if is_newest else following not in (None, entry.sequence + 1):
                raise LedgerBehind
            following = entry.sequence
        if type in ("", entry.type):
            yield entry
    if account.ledger_sequence and (following != 1 if not month else following is None and month == last_month):
        raise LedgerBehind


def once_settled(read: Callable[[], Answer]) -> Answer:
    """What `read` returns once the index has followed. Raises LedgerBehind when that takes too long."""
    for seconds in SETTLING_SECONDS:
        try:
            return read()
        except LedgerBehind:
            sleep(seconds)
    return read()


def of_month(store: Store, email: str, month: str) -> dict[str, Any]:
    """The statement of one UTC month (`yyyy-mm`), movements oldest first; all amounts in credits.

    Raises LedgerBehind.
    """
    entries = list(whole_ledger(store, email, month=month))[::-1]
    if entries and not entries[0].is_original:
        opening = entries[0].balance_after - entries[0].amount
    else:
        opening = _balance_before(store, email, datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC))
    credits_in = sum(entry.amount for entry in entries if entry.amount > 0)
    credits_out = -sum(entry.amount for entry in entries if entry.amount < 0)
    return {
        "entries": entries,
        "opening": opening,
        "closing": opening + credits_in - credits_out,
        "credits_in": credits_in,
        "credits_out": credits_out,
    }


def _balance_before(store: Store, email: str, moment: datetime) -> int:
    """Rows of the original product name no balance: there, what they add up to."""
    earlier = store.last_entry_before(email, moment)
    if earlier is None or not earlier.is_original:
        return earlier.balance_after if earlier else 0
    return sum(entry.amount for entry in store.entries_of(email) if entry.timestamp < moment)


def months(since: datetime, now: datetime) -> list[str]:
    """The months from an account's first to this one, newest first."""
    names: list[str] = []
    year, month = now.year, now.month
    while (year, month) >= (since.year, since.month) and len(names) < MAX_MONTHS:
        names.append(f"{year}-{month:02d}")
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return names
