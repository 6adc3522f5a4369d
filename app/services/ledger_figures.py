"""Finance's figures of the ledger: what is owed to customers, the roll-forward by month, their check and their repair.

They are added to in the transaction of each ledger row (`Writes.fold`): docs/decisions/0030.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.data import Store
from app.data.client import Stale
from app.data.migrations import FIGURES_OF_BEFORE
from app.domain.accounts import AccountKey
from app.domain.clock import month_of
from app.domain.credits import PostedEntry
from app.domain.ledger_figures import NAMES, Fold, LedgerFigures, Month, Place, roll_forward, shard_of


@dataclass(frozen=True, slots=True)
class Wrong:
    """A figure that does not follow from the ledger."""

    place: Place
    name: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Figures:
    """`whole` is False while ledgers of before are not added: then each figure is too low, and says so."""

    months: list[Month]
    this_month: LedgerFigures
    owed_to_customers: int
    owed_by_customers: int
    whole: bool


@dataclass(slots=True)
class Repaired:
    """What a repair did: accounts caught up with, and figures put right; what was in use is left for another run."""

    caught_up: int = 0
    left_behind: int = 0
    put_right: int = 0
    in_use: int = 0


def look(store: Store, now: datetime) -> Figures:
    """Two reads, however large the ledger is."""
    by_month = store.ledger_figures.by_month()
    months = roll_forward(by_month, now)
    debt = sum(figures.debt for figures in by_month.values())
    return Figures(
        months=months,
        this_month=by_month.get(month_of(now), LedgerFigures()),
        owed_to_customers=months[-1].closing + debt,
        owed_by_customers=debt,
        whole=is_whole(store),
    )


def is_whole(store: Store) -> bool:
    """Whether the ledgers of before the figures were added to them, once and for all accounts."""
    return store.has_migrated(FIGURES_OF_BEFORE)


class Folded(Protocol):
    """What is asked of an account here."""

    @property
    def folded_sequence(self) -> int: ...
    @property
    def is_folded(self) -> bool: ...


class Count:
    """What the figures must be, from the ledger as it is read: of an account that is not whole in them, the rows that
    are. Of `accounts` those alone are asked for.
    """

    def __init__(self, accounts: Mapping[AccountKey, Folded]) -> None:
        self._accounts = accounts
        self._fold = Fold()

    def add(self, row: PostedEntry) -> None:
        account = self._accounts.get(row.user_email)
        if account is None or account.is_folded or row.sequence <= account.folded_sequence:
            self._fold.add(row)

    def by_place(self) -> dict[Place, LedgerFigures]:
        return self._fold.by_place()


def wrong(
    before: Mapping[Place, LedgerFigures], counted: Mapping[Place, LedgerFigures], after: Mapping[Place, LedgerFigures]
) -> Iterator[Wrong]:
    """Figures that cannot follow from the ledger which was read between `before` and `after`.

    Customers work meanwhile, and figures only grow: what the ledger says lies between the two, and is both where
    nothing was written.
    """
    nothing = LedgerFigures()
    for place in sorted(before.keys() | counted.keys() | after.keys()):
        low, said, high = (every.get(place, nothing) for every in (before, counted, after))
        for name in NAMES:
            if not getattr(low, name) <= getattr(said, name) <= getattr(high, name):
                yield Wrong(place, name, getattr(said, name), getattr(high, name))


def repair(store: Store, say: Callable[[str], None] = lambda line: None) -> Repaired:
    """Put the figures right by the ledger: accounts that are not in them first, then each figure that is another.

    Safe beside customers at work, beside itself and to break off: a figure is put right only while no row has been
    added to it since before the ledger was read; one in use is counted and left for another run.
    """
    done = Repaired()
    for row in store.ledger_figures.behind():
        done.caught_up += store.updates.ledger_figures.catch_up(row)
    say(f"{done.caught_up:,} accounts added.")
    behind = _behind(store)
    done.left_behind = len(behind)
    count = Count({account.email: account for account in store.accounts.every() if not account.is_folded})
    seen = store.ledger_figures.by_place()
    for number, entry in enumerate(store.ledger.every(), 1):
        count.add(entry)
        if number % 10_000 == 0:
            say(f"{number:,} ledger rows read ...")
    moved = {shard_of(email) for email, _ in behind.items() ^ _behind(store).items()}
    counted = count.by_place()
    for place in sorted(seen.keys() | counted.keys()):
        before, figures = seen.get(place, LedgerFigures()), counted.get(place, LedgerFigures())
        if before == figures:
            continue
        if place[1] in moved or not _put_right(store, place, before, figures):
            done.in_use += 1
        else:
            done.put_right += 1
    return done


def _behind(store: Store) -> dict[str, int]:
    return {row["email"]: row.get("folded_sequence", 0) for row in store.ledger_figures.behind()}


def _put_right(store: Store, place: Place, before: LedgerFigures, figures: LedgerFigures) -> bool:
    try:
        store.updates.ledger_figures.correct(place, before, figures)
    except Stale:
        return False
    return True
