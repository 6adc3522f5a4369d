"""Access patterns of the Figures table: finance's figures of the ledger, by month.

A row of the ledger is added to them in the transaction that writes it (`Writes.fold`), so none is lost and none counts
twice. A row of figures belongs to one month and one of 64 shards of accounts, so that of two accounts at work in the
same moment one pair in 64 meets. An account whose rows of before are not in the figures has a lower `folded_sequence`
than its ledger's: nothing of it is added before `catch_up` has added those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.domain.accounts import Account
from app.domain.clock import month_of
from app.domain.credits import PostedEntry
from app.domain.ledger_figures import LedgerFigures, Place

from .account_rows import ACCOUNT
from .base import Base
from .client import Stale
from .figure_rows import FIGURES_OF_LEDGER, place_key, place_of
from .ledger import LedgerReads
from .lives import Life, LifeWrites
from .tables import FIGURES, USERS

BEHIND = (
    "attribute_exists(last_entry_at) AND (attribute_not_exists(folded_sequence) OR folded_sequence <> ledger_sequence)"
)
ATTEMPTS = 5  # at an account whose owner is at work
MOST_MONTHS = 90  # of one transaction, which holds 100 writes


class LedgerFigureReads(Base):
    def by_place(self) -> dict[Place, LedgerFigures]:
        """All of them, strongly consistent: one call for about nine years."""
        return {place_of(row): FIGURES_OF_LEDGER.record(row) for row in self._scan(FIGURES.suffix)}

    def by_month(self) -> dict[str, LedgerFigures]:
        months: dict[str, LedgerFigures] = defaultdict(LedgerFigures)
        for (month, _), figures in self.by_place().items():
            months[month] += figures
        return dict(months)

    def behind(self) -> Iterator[dict[str, Any]]:
        """Rows of the accounts whose ledger is not whole in the figures. Walks every account."""
        return self._scan(USERS.suffix, BEHIND)


class LedgerFigureUpdates(Base):
    def catch_up(self, row: dict[str, Any]) -> bool:
        return catch_up(self, row)

    def correct(self, place: Place, seen: LedgerFigures, figures: LedgerFigures) -> None:
        """Put figures in the place of those that were seen. Raises Stale when a ledger row was added meanwhile."""
        condition = "#rows = :rows" if seen.rows else "attribute_not_exists(#rows) OR #rows = :rows"
        values = FIGURES_OF_LEDGER.as_set(figures)
        self._update(FIGURES.suffix, place_key(place), set=values, condition=condition, rows=seen.rows)


def catch_up(base: Base, row: dict[str, Any]) -> bool:
    """Add the rows of an account that the figures lack; whether it was this call that did.

    Safe to break off, to repeat and to race: how far an account's rows are added moves on in the transaction that adds
    them. An account whose ledger has gaps stays as it is: its figures would be wrong.
    """
    email = row["email"]
    for _ in range(ATTEMPTS):
        account = ACCOUNT.record(base._get(USERS.suffix, {"email": email}) or row)
        if account.is_folded:
            return False
        with suppress(Stale):  # its owner is at work
            return _catch_up(base, account)
    return False


def _catch_up(base: Base, account: Account) -> bool:
    """Raises Stale when the account has moved on."""
    lacking = {
        entry.sequence: entry
        for entry in LedgerReads(base.client, base.prefix).every_of(account.email, as_they_stand=True)
        if account.folded_sequence < entry.sequence <= account.ledger_sequence and not entry.unreadable
    }
    if len(lacking) != account.ledger_sequence - account.folded_sequence:
        return False
    rows = [lacking[sequence] for sequence in sorted(lacking)]
    while rows:
        some, rows = _within(rows, MOST_MONTHS)
        writes = LifeWrites(base.client, base.prefix)
        writes.fold(some)
        _move_on(writes, account, some[-1].sequence)
        writes.commit()
        account = replace(account, folded_sequence=some[-1].sequence)
    return True


def _within(rows: list[PostedEntry], months: int) -> tuple[list[PostedEntry], list[PostedEntry]]:
    """The first rows, of so many months at most, and the others."""
    seen: set[str] = set()
    for number, entry in enumerate(rows):
        seen.add(month_of(entry.timestamp))
        if len(seen) > months:
            return rows[:number], rows[number:]
    return rows, []


def _move_on(writes: LifeWrites, account: Account, sequence: int) -> None:
    still = "#folded_sequence = :folded"
    if not account.folded_sequence:
        still = f"(attribute_not_exists(#folded_sequence) OR {still})"
    writes.update_account(
        Life.of(account),
        set={"folded_sequence": sequence},
        condition=f"#ledger_sequence = :ledger AND {still}",
        ledger=account.ledger_sequence,
        folded=account.folded_sequence,
    )
