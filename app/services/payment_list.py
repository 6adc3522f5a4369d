"""Every payment for finance: by month, by state, by a part of an address or of an id; or one, whenever it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from app.data import Store
from app.data.migrations import MONTHS_OF_PAYMENTS
from app.domain.accounts import AccountKey, Address
from app.domain.errors import InvalidInput
from app.domain.paging import Page, each
from app.domain.payment_list import PaymentFilter, Sums, sums_of
from app.domain.payments import PaymentRecord
from app.domain.text import plain_address

from .customer_search import MAY_BE_AN_ID, NOT_KEPT, owners

MOST_SUMMED = 2_000  # payments of a month that a page adds up
CHUNK = 500
NEVER = datetime.min.replace(tzinfo=UTC)


def page_of(store: Store, wanted: PaymentFilter, *, limit: int, cursor: str | None) -> Page[PaymentRecord]:
    if wanted.month:
        wanted = _with_owners(store, wanted)
        words = (wanted.q, wanted.state)
        return store.payments.page_of_month(
            wanted.month, wanted.lets_through, limit=limit, cursor=cursor, narrowed=words
        )
    return Page(list(filter(wanted.lets_through, _named(store, wanted.q))))


def sums(store: Store, wanted: PaymentFilter) -> Sums | None:
    """None for more payments than a page adds up: the file has them."""
    if not wanted.month:
        return sums_of(every(store, wanted))
    wanted = _with_owners(store, wanted)
    month = list(islice(_month(store, wanted.month), MOST_SUMMED + 1))
    return sums_of(filter(wanted.lets_through, month)) if len(month) <= MOST_SUMMED else None


def every(store: Store, wanted: PaymentFilter) -> Iterator[PaymentRecord]:
    wanted = _with_owners(store, wanted)
    found = _month(store, wanted.month) if wanted.month else iter(_named(store, wanted.q))
    return filter(wanted.lets_through, found)


def _with_owners(store: Store, wanted: PaymentFilter) -> PaymentFilter:
    return replace(wanted, owners=owners(store, wanted.q)) if wanted.month and wanted.q else wanted


def is_whole(store: Store) -> bool:
    """Whether payments of before have their month, by which they are listed."""
    return store.has_migrated(MONTHS_OF_PAYMENTS)


def _month(store: Store, month: str) -> Iterator[PaymentRecord]:
    return each(lambda cursor: store.payments.page_of_month(month, limit=CHUNK, cursor=cursor))


def _key_of(store: Store, q: str) -> AccountKey | None:
    """Of the account that has an address, or had it."""
    if "@" not in q:
        return None
    holder = store.accounts.find_holder(Address(plain_address(q)))
    return holder.email if holder else AccountKey(plain_address(q))


def _named(store: Store, q: str) -> list[PaymentRecord]:
    """A payment by its id, or those that another id of Stripe's or a customer's address leads to; newest first.

    Raises InvalidInput for what can be looked for within a month only.
    """
    if record := store.payments.find(q):
        return [record]
    email = store.accounts.find_email_by_customer(q) if q.startswith("cus_") else _key_of(store, q)
    found = {record.payment_id: record for record in _by_other_ids(store, q)}
    if email:
        found |= {record.payment_id: record for record in store.payments.page(email, limit=CHUNK).items}
    if email is None and not found:
        raise InvalidInput(_not_found(q))
    return sorted(found.values(), key=lambda record: record.created_at or NEVER, reverse=True)


def _by_other_ids(store: Store, q: str) -> Iterable[PaymentRecord]:
    """By a session, a refund, a dispute or a customer, as the customers' search finds it."""
    if not MAY_BE_AN_ID.fullmatch(q):
        return []
    ids = store.search_keys.payments(q, limit=CHUNK)
    if not ids and q.startswith("cs_") and (entry := store.ledger.find_as_it_stands(f"purchase#{q}")):
        ids = [entry.payment_id or "-"]  # bought before there were search keys
    return store.payments.find_many(ids).values()


def _not_found(q: str) -> str:
    if kind := NOT_KEPT.get(q.partition("_")[0]) if "_" in q else None:
        return f"The ids of {kind}s are not kept: open it in Stripe, and look for its payment (pi_…)."
    return (
        "Nothing has this for its id. Without a month, look for a whole address, "
        "or the whole id of a payment, a session, a refund, a dispute or a customer."
    )
