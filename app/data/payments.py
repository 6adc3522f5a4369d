"""Access patterns of the Payments table: one row for one payment, however many events told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from app.domain.accounts import Account
from app.domain.clock import from_iso, to_iso
from app.domain.payments import PaymentRecord
from app.domain.reversals import Amount
from app.domain.sales import Line, Origin

from .account_rows import account_from_row, completed
from .base import Base, Page
from .client import Stale, call
from .tables import PARKED_INDEX, PAYMENT_USER_INDEX, PAYMENTS, USERS
from .transaction import Writes

TABLE = PAYMENTS.suffix
PARKED = "parked"  # and "not ours#<source>" for what is not ours, so that ten thousand books never hide one of these


class PaymentReads(Base):
    def find(self, payment_id: str) -> PaymentRecord | None:
        row = self._get(TABLE, {"payment_id": payment_id})
        return _record(row) if row else None

    def find_with_account(self, payment_id: str, email: str | None) -> tuple[PaymentRecord | None, Account | None]:
        """Both in one consistent call: all that a webhook reads."""
        if email is None:
            return self.find(payment_id), None
        payment, account = self._get_many([(TABLE, {"payment_id": payment_id}), (USERS.suffix, {"email": email})])
        return _record(payment) if payment else None, account_from_row(completed(self, account)) if account else None

    def list_parked(self, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        return self._payments(PARKED_INDEX, ("parked", PARKED), limit, cursor)

    def list_set_aside(self, source: str, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        """Payments that are not ours by one link or product, newest first."""
        return self._payments(PARKED_INDEX, ("parked", _aside(source)), limit, cursor)

    def count_set_aside(self, source: str, most: int) -> int:
        """How many stand under one link or product; `most` for that many and more."""
        query = self._query(TABLE, PARKED_INDEX, ("parked", _aside(source)), most, None, None, True)
        return int(call(self.client, "query", **query, Select="COUNT")["Count"])

    def page(self, email: str, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        return self._payments(PAYMENT_USER_INDEX, ("user_email", email), limit, cursor)

    def _payments(self, index: str, key: tuple[str, str], limit: int, cursor: str | None) -> Page[PaymentRecord]:
        names = ("created_at", "payment_id")
        return self._page(TABLE, index, key, key_names=names, make=_record, limit=limit, cursor=cursor)

    def every(self) -> Iterator[PaymentRecord]:
        """A consistent scan: for the nightly check and the reconciliation only."""
        return map(_record, self._scan(TABLE))


class PaymentWrites(Writes):
    def save(self, before: PaymentRecord | None, after: PaymentRecord, now: datetime) -> None:
        """Store the record one version on. Raises Stale if it is no longer the one that was read."""
        condition, params = "attribute_not_exists(payment_id)", {}
        if before is not None:
            condition, params = "#version = :version", {"version": before.version}
        created = (before.created_at if before else None) or now
        self.put(
            TABLE,
            {
                "payment_id": after.payment_id,
                "session_id": after.session_id,
                "payment_intent": after.payment_intent,
                "state": after.state,
                "granted": after.granted,
                "total_cents": after.total_cents,
                "currency": after.currency,
                "payer_email": after.payer_email,
                "customer_id": after.customer_id,
                "refunds": _amount_rows(after.refunds),
                "charge_refunded_cents": after.charge_refunded.cents,
                "charge_refunded_currency": after.charge_refunded.currency or None,
                "charge_refunded_told": after.charge_refunded.told or None,
                "charged": dict(after.charged) or None,
                "disputes": _amount_rows(after.disputes),
                "parked_reason": after.parked_reason,
                "parked": _place(after),
                "resolution": after.resolution,
                "user_email": after.user_email,
                "applied": after.applied,
                "entries": after.entries,
                "receipt_url": after.receipt_url,
                "source": after.source,
                "origin": _origin_row(after.origin) if after.origin else None,
                "credits_if_ours": after.credits_if_ours or None,
                "reason_if_ours": after.reason_if_ours,
                "version": (before.version if before else 0) + 1,
                "created_at": to_iso(created),
                "updated_at": to_iso(now),
            },
            condition=condition,
            failure=Stale,
            **params,
        )


def _place(record: PaymentRecord) -> str | None:
    """Which list of parked payments it stands in, if any."""
    if not record.is_parked:
        return None
    return _aside(record.source) if record.source else PARKED


def _aside(source: str) -> str:
    return f"not ours#{source}"


def _origin_row(origin: Origin) -> dict[str, Any]:
    lines = None if origin.lines is None else [asdict(line) for line in origin.lines]
    return {name: value for name, value in (("link", origin.link), ("lines", lines)) if value is not None}


def _origin(row: dict[str, Any]) -> Origin:
    lines = row.get("lines")
    return Origin(row.get("link"), None if lines is None else tuple(Line(**line) for line in lines))


def _amount_rows(amounts: Mapping[str, Amount]) -> dict[str, dict[str, Any]]:
    return {key: _amount_row(amount) for key, amount in amounts.items()}


def _amount_row(amount: Amount) -> dict[str, Any]:
    row = {"cents": amount.cents, "status": amount.status}
    more = {"currency": amount.currency, "told": amount.told, "made": amount.made, "undone": amount.undone}
    return row | {name: value for name, value in more.items() if value}


def _amounts(rows: dict[str, dict[str, Any]]) -> dict[str, Amount]:
    """Rows of before currencies and times were kept have cents and status only."""
    return {key: Amount(**row) for key, row in rows.items()}


def _record(row: dict[str, Any]) -> PaymentRecord:
    return PaymentRecord(
        payment_id=row["payment_id"],
        session_id=row.get("session_id"),
        payment_intent=row.get("payment_intent"),
        state=row["state"],
        granted=row["granted"],
        total_cents=row["total_cents"],
        currency=row["currency"],
        payer_email=row.get("payer_email"),
        customer_id=row.get("customer_id"),
        refunds=_amounts(row["refunds"]),
        charge_refunded=Amount(
            row["charge_refunded_cents"],
            currency=row.get("charge_refunded_currency", ""),
            told=row.get("charge_refunded_told", 0),
        ),
        charged=row.get("charged", {}),
        disputes=_amounts(row["disputes"]),
        parked_reason=row.get("parked_reason"),
        resolution=row.get("resolution"),
        user_email=row.get("user_email"),
        applied=row["applied"],
        entries=row["entries"],
        receipt_url=row.get("receipt_url"),
        version=row["version"],
        created_at=from_iso(row["created_at"]),
        updated_at=from_iso(row["updated_at"]),
        source=row.get("source"),
        origin=_origin(row["origin"]) if row.get("origin") else None,
        credits_if_ours=row.get("credits_if_ours", 0),
        reason_if_ours=row.get("reason_if_ours"),
    )
