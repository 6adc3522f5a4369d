"""One month of the ledger as a customer reads it: whole words, and beside the credits the money that moved for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .credits import CLAWBACK, PURCHASE, REINSTATEMENT, PostedEntry
from .payments import PaymentRecord, kept_cents

MAX_IN_FULL = 2_000  # rows that are shown with whole words, and that a file to send on holds
OF_PAYMENTS = frozenset({PURCHASE, CLAWBACK, REINSTATEMENT})


class Money(NamedTuple):
    """Signed, in the smallest units of its currency: paid, or given back."""

    cents: int
    currency: str


@dataclass(frozen=True, slots=True)
class StatementRow:
    """`money` is None where none moved, or where nobody here knows how much (`money_unknown`)."""

    entry: PostedEntry
    words: str
    money: Money | None = None

    @property
    def money_unknown(self) -> bool:
        return self.entry.type in OF_PAYMENTS and self.money is None


@dataclass(frozen=True, slots=True)
class Statement:
    """Rows oldest first; all but `money` in credits. `in_full`: with the whole words of each task."""

    month: str
    rows: list[StatementRow]
    opening: int
    closing: int
    credits_in: int
    credits_out: int
    in_full: bool

    @property
    def fits_a_file(self) -> bool:
        return len(self.rows) <= MAX_IN_FULL

    @property
    def paid(self) -> list[Money]:
        return _sums(row.money for row in self.rows if row.money and row.money.cents > 0)

    @property
    def paid_back(self) -> list[Money]:
        return _sums(row.money for row in self.rows if row.money and row.money.cents < 0)

    @property
    def money_unknown(self) -> bool:
        return any(row.money_unknown for row in self.rows)


def money_moved(record: PaymentRecord, entries: Iterable[PostedEntry]) -> dict[str, Money | None]:
    """What each ledger row of a payment, all of them from the first, moved in money."""
    credits = 0
    before: int | None = 0
    moved: dict[str, Money | None] = {}
    for entry in entries:
        credits += entry.amount
        kept = kept_cents(record, credits)
        known = before is not None and kept is not None
        moved[entry.transaction_id] = Money((kept or 0) - (before or 0), record.currency) if known else None
        before = kept
    return moved


def _sums(amounts: Iterable[Money | None]) -> list[Money]:
    found: dict[str, int] = {}
    for amount in filter(None, amounts):
        found[amount.currency] = found.get(amount.currency, 0) + amount.cents
    return [Money(cents, currency) for currency, cents in sorted(found.items())]
