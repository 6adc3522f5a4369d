"""Access patterns of the Payments table: one row for one payment, however many events told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.domain.accounts import Account, AccountKey, Address
from app.domain.clock import month_of
from app.domain.paging import Page
from app.domain.payments import PaymentRecord
from app.domain.reversals import Amount
from app.domain.sales import Line, Origin

from .account_rows import ACCOUNT, ALIAS, adopted, is_alias
from .base import WHOLE, Base, Part, in_parts
from .client import Stale, call
from .records import Codec
from .search_keys import SearchKeyWrites
from .tables import PARKED_INDEX, PAYMENT_EMAIL_INDEX, PAYMENT_MONTH_INDEX, PAYMENTS, USERS
from .transaction import Writes

TABLE = PAYMENTS.suffix
PARKED = "parked"  # and "not ours#<source>" for what is not ours, so that ten thousand books never hide one of these


class PaymentReads(Base):
    def find(self, payment_id: str) -> PaymentRecord | None:
        row = self._get(TABLE, {"payment_id": payment_id})
        return PAYMENT.record(row) if row else None

    def find_many(self, ids: Iterable[str]) -> dict[str, PaymentRecord]:
        """Those of them that there are, by their id; read by the hundred."""
        rows = (self._get_many([(TABLE, {"payment_id": name}) for name in some]) for some in in_parts(ids))
        return {row["payment_id"]: PAYMENT.record(row) for some in rows for row in some if row}

    def find_with_account(
        self, payment_id: str, address: Address | AccountKey | None
    ) -> tuple[PaymentRecord | None, Account | None]:
        """The payment, and the account that has the address or had it, in one consistent call: all that a webhook
        reads, but for one more where the address is no account's first.
        """
        if address is None:
            return self.find(payment_id), None
        payment, row = self._get_many([(TABLE, {"payment_id": payment_id}), (USERS.suffix, {"email": address})])
        if row and is_alias(row):
            row = self._get(USERS.suffix, {"email": ALIAS.record(row).alias_of})
        found = ACCOUNT.record(adopted(self, row)) if row else None
        return PAYMENT.record(payment) if payment else None, found

    def list_parked(self, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        return self._payments(PARKED_INDEX, ("parked", PARKED), limit, cursor)

    def oldest_parked(self) -> PaymentRecord | None:
        """The one that has waited longest for an operator."""
        names, of = ("created_at", "payment_id"), ("parked", PARKED)
        page = self._page(TABLE, PARKED_INDEX, of, key_names=names, make=PAYMENT.record, limit=1, newest_first=False)
        return page.items[0] if page.items else None

    def list_not_ours(self, source: str, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        """Payments that are not ours by one link or product, newest first."""
        return self._payments(PARKED_INDEX, ("parked", _not_ours(source)), limit, cursor)

    def count_not_ours(self, source: str, most: int) -> int:
        """How many stand under one link or product; `most` for that many and more."""
        query = self._query(TABLE, PARKED_INDEX, ("parked", _not_ours(source)), most, None, None, True)
        return int(call(self.client, "query", **query, Select="COUNT")["Count"])

    def page(self, email: AccountKey, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        return self._payments(PAYMENT_EMAIL_INDEX, ("user_email", email), limit, cursor)

    def page_of_month(
        self,
        month: str,
        keep: Callable[[PaymentRecord], bool] | None = None,
        *,
        limit: int,
        cursor: str | None = None,
        narrowed: Sequence[str] = (),
    ) -> Page[PaymentRecord]:
        """Payments that were first heard of in a UTC month, newest first; `keep` looks at a bounded number of them, and
        `narrowed` says which it leaves.
        """
        return self._payments(PAYMENT_MONTH_INDEX, ("created_month", month), limit, cursor, keep, narrowed)

    def _payments(
        self,
        index: str,
        key: tuple[str, str],
        limit: int,
        cursor: str | None,
        keep: Callable[[PaymentRecord], bool] | None = None,
        narrowed: Sequence[str] = (),
    ) -> Page[PaymentRecord]:
        return self._page(
            TABLE,
            index,
            key,
            key_names=("created_at", "payment_id"),
            make=PAYMENT.record,
            limit=limit,
            cursor=cursor,
            keep=keep,
            narrowed=narrowed,
        )

    def every(self, part: Part = WHOLE) -> Iterator[PaymentRecord]:
        """A consistent scan: for the nightly check and the reconciliation only."""
        return map(PAYMENT.record, self._scan(TABLE, part=part))


class PaymentWrites(Writes):
    def save(self, before: PaymentRecord | None, after: PaymentRecord, now: datetime) -> None:
        """Store the record one version on. Raises Stale if it is no longer the one that was read."""
        condition, params = "attribute_not_exists(payment_id)", {}
        if before is not None:
            condition, params = "#version = :version", {"version": before.version}
        created = (before.created_at if before else None) or now
        stored = replace(after, version=(before.version if before else 0) + 1, created_at=created, updated_at=now)
        key = {"payment_id": after.payment_id}
        SearchKeyWrites.beside(self).name_payment(before, stored)
        whole = {} if before else {"keyed": True}  # rows of earlier versions get theirs by a migration
        self.update(
            TABLE, key, set=_but(PAYMENT.as_set(stored), key) | whole, condition=condition, failure=Stale, **params
        )


def _but(values: dict[str, Any], key: dict[str, str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in key}


def _place(record: PaymentRecord) -> str | None:
    """Which list of parked payments it stands in, if any."""
    if not record.is_parked:
        return None
    return _not_ours(record.source) if record.source else PARKED


def _not_ours(source: str) -> str:
    return f"not ours#{source}"


def _beside(record: PaymentRecord) -> dict[str, Any]:
    charge = record.charge_refunded
    return {
        "charge_refunded_cents": charge.cents,
        "charge_refunded_currency": charge.currency or None,
        "charge_refunded_told": charge.told or None,
        "parked": _place(record),
        "created_month": month_of(record.created_at) if record.created_at else None,
    }


def _otherwise(row: Mapping[str, Any]) -> dict[str, Any]:
    """Raises KeyError for a row that has lost what each has: with nothing in its place it might be credited again."""
    if lost := FROM_THE_START - row.keys():
        raise KeyError(", ".join(sorted(lost)))
    currency, told = row.get("charge_refunded_currency", ""), row.get("charge_refunded_told", 0)
    return {"charge_refunded": Amount(row["charge_refunded_cents"], currency=currency, told=told)}


FROM_THE_START = {  # in every row; a field that is added later is none of these
    *("state", "granted", "total_cents", "currency", "refunds", "disputes", "applied", "entries", "version"),
}
PAYMENT = Codec(
    PaymentRecord,
    always=FROM_THE_START | {"created_at", "updated_at"},
    but={"charge_refunded"},
    # Rows of before currencies and times were kept have cents and status only.
    inner=(Codec(Amount, always={"status"}), Codec(Origin, inner=[Codec(Line, always={"standing", "label"})])),
    beside=_beside,
    otherwise=_otherwise,
)
