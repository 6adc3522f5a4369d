"""What the ledger's rows of a month add up to, in figures that only grow: finance's tiles and its roll-forward."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from .clock import month_of
from .credits import (
    ADJUSTMENT,
    CLAWBACK,
    DISPUTED,
    PROMO,
    PURCHASE,
    REFUND,
    REINSTATEMENT,
    SPEND,
    PostedEntry,
    opening_id,
)

SHARDS = 64


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """Credits by what moved them, each counted upwards, so that a figure read later is never lower.

    `debt_rose` and `debt_fell` are what balances went further below zero, and came back: a row that takes an account
    from 50 to −30 is 80 refunded, and the debts rose by 30.
    """

    rows: int = 0
    sold: int = 0
    spent: int = 0
    given_back: int = 0  # of tasks that were rejected or cancelled
    refunded: int = 0
    refunds_undone: int = 0
    disputed: int = 0
    disputes_undone: int = 0
    promotional: int = 0
    added: int = 0  # by hand
    taken: int = 0  # by hand
    brought: int = 0  # with accounts of the original product
    brought_debt: int = 0
    debt_rose: int = 0
    debt_fell: int = 0

    def __add__(self, other: LedgerFigures) -> LedgerFigures:
        return LedgerFigures(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    @property
    def refunded_net(self) -> int:
        return self.refunded - self.refunds_undone

    @property
    def disputed_net(self) -> int:
        return self.disputed - self.disputes_undone

    @property
    def by_hand(self) -> int:
        """What neither Stripe nor the price of a task has moved."""
        return self.added - self.taken + self.promotional + self.brought - self.brought_debt

    @property
    def net(self) -> int:
        """By how much all balances together rose."""
        taken_back = self.refunded_net + self.disputed_net
        return self.sold - self.spent + self.given_back - taken_back + self.by_hand

    @property
    def debt(self) -> int:
        return self.debt_rose - self.debt_fell


NAMES = tuple(field.name for field in fields(LedgerFigures))
Place = tuple[str, int]  # the month, as yyyy-mm, and the shard


@dataclass(frozen=True, slots=True)
class Month:
    """One line of the roll-forward: `opening` and `closing` are all balances together, debts taken off."""

    month: str
    opening: int
    figures: LedgerFigures

    @property
    def closing(self) -> int:
        return self.opening + self.figures.net


def roll_forward(by_month: Mapping[str, LedgerFigures], now: datetime) -> list[Month]:
    """Each month from the first to this one, oldest first; a month without a row is a line, too.

    Rows of a clock that was ahead stand in the months that they name: those that have not come yet are lines as well.
    """
    months, opening = [], 0
    for month in _months(min(by_month, default=""), max([*by_month, month_of(now)])):
        months.append(Month(month, opening, by_month.get(month, LedgerFigures())))
        opening = months[-1].closing
    return months


def _months(first: str, last: str) -> Iterable[str]:
    month = first or last
    while month <= last:
        yield month
        year, number = divmod(int(month[:4]) * 12 + int(month[5:]), 12)
        month = f"{year:04}-{number + 1:02}"


class Fold:
    """Rows added up by place, in as little as that needs.

    Those of the original product count with the opening that brings their account's balance forward.
    """

    def __init__(self) -> None:
        self._sums: dict[Place, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, row: PostedEntry) -> None:
        if row.is_original:
            return
        sums = self._sums[month_of(row.timestamp), shard_of(row.user_email)]
        for name, credits in _moved(row).items():
            sums[name] += credits

    def by_place(self) -> dict[Place, LedgerFigures]:
        return {place: LedgerFigures(**sums) for place, sums in self._sums.items()}


def shard_of(email: str) -> int:
    return zlib.crc32(email.encode()) % SHARDS


def fold(rows: Iterable[PostedEntry]) -> dict[Place, LedgerFigures]:
    found = Fold()
    for row in rows:
        found.add(row)
    return found.by_place()


def _moved(row: PostedEntry) -> dict[str, int]:
    """What one row adds, by the names of the figures."""
    before = row.balance_after - row.amount
    amount = row.amount
    if row.transaction_id == opening_id(row.user_email):
        before, amount = 0, row.balance_after
    debt = max(0, -row.balance_after) - max(0, -before)
    return {_kind(row, amount): abs(amount), "rows": 1, "debt_rose": max(0, debt), "debt_fell": max(0, -debt)}


def _kind(row: PostedEntry, amount: int) -> str:
    if row.transaction_id == opening_id(row.user_email):
        return "brought" if amount >= 0 else "brought_debt"
    kinds = DISPUTES if _is_disputed(row) else REFUNDS
    way = (row.type, amount > 0)
    return kinds.get(way) or KINDS.get(way) or ("added" if amount > 0 else "taken")


def _is_disputed(row: PostedEntry) -> bool:
    """Rows of before the cause was kept have it in their words alone."""
    return row.cause == DISPUTED if row.cause else row.description.endswith(f"was {DISPUTED}")


KINDS = {
    (PURCHASE, True): "sold",
    (SPEND, False): "spent",
    (REFUND, True): "given_back",
    (PROMO, True): "promotional",
    (ADJUSTMENT, True): "added",
    (ADJUSTMENT, False): "taken",
}
REFUNDS = {(CLAWBACK, False): "refunded", (REINSTATEMENT, True): "refunds_undone"}
DISPUTES = {(CLAWBACK, False): "disputed", (REINSTATEMENT, True): "disputes_undone"}
