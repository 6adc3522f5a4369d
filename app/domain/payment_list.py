"""Payments as finance looks through them: the state of each in one word, what a filter lets through, and their sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from .accounts import AccountKey
from .payments import PaymentRecord, held_sums, refunded_share, refunded_sums
from .text import search_key

PARKED, NOT_OURS, DISMISSED, FAILED, WAITING = "parked", "not ours", "dismissed", "failed", "waiting"
CREDITED, PARTLY, REFUNDED, DISPUTED = "credited", "partly refunded", "refunded", "disputed"
STATES = (CREDITED, PARTLY, REFUNDED, DISPUTED, PARKED, NOT_OURS, DISMISSED, FAILED, WAITING)


def state_of(record: PaymentRecord) -> str:
    """The one word that finance needs first: what waits for somebody comes before what is over."""
    if record.is_parked:
        return NOT_OURS if record.source else PARKED
    if record.granted and held_sums(record):
        return DISPUTED
    share = refunded_share(record)
    if share >= 1 or record.resolution == "refunded":
        return REFUNDED
    if record.granted:
        return PARTLY if share else CREDITED
    if record.resolution:
        return DISMISSED
    return FAILED if record.state == "failed" else WAITING


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """`month` is yyyy-mm; none with a search that looks for one payment, or one customer's, whenever it was."""

    month: str = ""
    q: str = ""
    state: str = ""
    owners: frozenset[AccountKey] = frozenset()  # accounts that the words lead to by an address that is not the key

    def lets_through(self, record: PaymentRecord) -> bool:
        return (not self.state or state_of(record) == self.state) and self._names(record)

    def _names(self, record: PaymentRecord) -> bool:
        """Any part of an address, or of an id of Stripe's, in any case."""
        if not self.month or not self.q:
            return True
        ids = (record.payment_id, record.session_id, record.payment_intent, record.customer_id, record.source)
        texts = [*ids, record.payer_email, record.user_email, *record.refunds, *record.disputes]
        return record.user_email in self.owners or any(search_key(self.q) in search_key(text) for text in texts if text)


@dataclass(slots=True)
class Sums:
    """Of some payments: how many, and what was paid, went back and is held, by currency, in its smallest units."""

    payments: int = 0
    credits: int = 0  # of them in the ledger now
    paid: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    refunded: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def sums_of(records: Iterable[PaymentRecord]) -> Sums:
    """What was never paid is counted, and adds nothing."""
    sums = Sums()
    for record in records:
        sums.payments += 1
        sums.credits += record.applied
        if record.state == "paid":
            sums.paid[record.currency] += record.total_cents
        for into, found in ((sums.refunded, refunded_sums(record)), (sums.held, held_sums(record))):
            for currency, cents in found.items():
                into[currency] += cents
    return sums
