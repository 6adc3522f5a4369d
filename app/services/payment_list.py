"""Every payment for finance: by month, by state, by a part of an address or of an id; or one, whenever it was."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from app.data import Store
from app.data.migrations import MONTHS_OF_PAYMENTS
from app.domain.errors import InvalidInput
from app.domain.paging import Page, each
from app.domain.payment_list import PaymentFilter, Sums, sums_of
from app.domain.payments import PaymentRecord
from app.domain.text import plain_address

MOST_SUMMED = 2_000  # payments of a month that a page adds up
CHUNK = 500


def page_of(store: Store, wanted: PaymentFilter, *, limit: int, cursor: str | None) -> Page[PaymentRecord]:
    if wanted.month:
        return store.payments.page_of_month(wanted.month, wanted.lets_through, limit=limit, cursor=cursor)
    return Page(list(filter(wanted.lets_through, _named(store, wanted.q))))


def sums(store: Store, wanted: PaymentFilter) -> Sums | None:
    """None for more payments than a page adds up: the file has them."""
    if not wanted.month:
        return sums_of(every(store, wanted))
    month = list(islice(_month(store, wanted.month), MOST_SUMMED + 1))
    return sums_of(filter(wanted.lets_through, month)) if len(month) <= MOST_SUMMED else None


def every(store: Store, wanted: PaymentFilter) -> Iterator[PaymentRecord]:
    found = _month(store, wanted.month) if wanted.month else iter(_named(store, wanted.q))
    return filter(wanted.lets_through, found)


def is_whole(store: Store) -> bool:
    """Whether payments of before have their month, by which they are listed."""
    return store.has_migrated(MONTHS_OF_PAYMENTS)


def _month(store: Store, month: str) -> Iterator[PaymentRecord]:
    return each(lambda cursor: store.payments.page_of_month(month, limit=CHUNK, cursor=cursor))


def _named(store: Store, q: str) -> list[PaymentRecord]:
    """A payment by its id or its session's, or those of a customer by address or by Stripe's id; newest first.

    Raises InvalidInput for what can be looked for within a month only.
    """
    if record := store.payments.find(q):
        return [record]
    if q.startswith("cs_") and (entry := store.ledger.find_as_it_stands(f"purchase#{q}")):
        found = store.payments.find(entry.payment_id or "-")
        return [found] if found else []
    email = store.accounts.find_email_by_customer(q) if q.startswith("cus_") else plain_address(q) if "@" in q else None
    if email is None:
        raise InvalidInput(
            "Without a month, look for a whole address, or the id of a payment, a session or a customer."
        )
    return store.payments.page(email, limit=CHUNK).items
