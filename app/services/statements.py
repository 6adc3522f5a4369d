"""Monthly statements: opening balance, movements, closing balance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from app.data import Store

MAX_MONTHS = 60


def of_month(store: Store, email: str, month: str) -> dict[str, Any]:
    """The statement of one UTC month (`yyyy-mm`), movements oldest first; all amounts in credits."""
    entries = list(store.entries_of(email, month=month))[::-1]
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
