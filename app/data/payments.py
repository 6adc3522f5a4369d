"""Access patterns of the Payments table: one row for one payment, however many events told of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.domain.accounts import Account
from app.domain.clock import from_iso, to_iso
from app.domain.payments import Amount, PaymentRecord

from .accounts import account_from_row
from .base import Base, Page
from .client import Stale
from .tables import PARKED_INDEX, PAYMENT_USER_INDEX, PAYMENTS, STATUS, USERS
from .transaction import Writes

TABLE = PAYMENTS.suffix
PARKED = "parked"


class PaymentReads(Base):
    def find_payment(self, payment_id: str) -> PaymentRecord | None:
        row = self._get(TABLE, {"payment_id": payment_id})
        return _record(row) if row else None

    def find_payment_and_account(
        self, payment_id: str, email: str | None
    ) -> tuple[PaymentRecord | None, Account | None]:
        """Both in one consistent call: all that a webhook reads."""
        if email is None:
            return self.find_payment(payment_id), None
        payment, account = self._get_many([(TABLE, {"payment_id": payment_id}), (USERS.suffix, {"email": email})])
        return _record(payment) if payment else None, account_from_row(account) if account else None

    def list_parked(self, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        return self._payments(PARKED_INDEX, ("parked", PARKED), limit, cursor)

    def list_payments(self, email: str, *, limit: int, cursor: str | None = None) -> Page[PaymentRecord]:
        return self._payments(PAYMENT_USER_INDEX, ("user_email", email), limit, cursor)

    def _payments(self, index: str, key: tuple[str, str], limit: int, cursor: str | None) -> Page[PaymentRecord]:
        names = ("created_at", "payment_id")
        return self._page(TABLE, index, key, key_names=names, make=_record, limit=limit, cursor=cursor)

    def note_webhook(self, now: datetime) -> None:
        """Remember when Stripe last reached us, for the silence alarm."""
        self._update(STATUS.suffix, {"name": "webhook"}, set={"last_delivery_at": to_iso(now)})

    def last_webhook_at(self) -> datetime | None:
        row = self._get(STATUS.suffix, {"name": "webhook"})
        return from_iso(row["last_delivery_at"]) if row else None


class PaymentWrites(Writes):
    def save_payment(self, before: PaymentRecord | None, after: PaymentRecord, now: datetime) -> None:
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
                "charge_refunded_cents": after.charge_refunded_cents,
                "disputes": _amount_rows(after.disputes),
                "parked_reason": after.parked_reason,
                "parked": PARKED if after.is_parked else None,
                "resolution": after.resolution,
                "user_email": after.user_email,
                "applied": after.applied,
                "entries": after.entries,
                "receipt_url": after.receipt_url,
                "version": (before.version if before else 0) + 1,
                "created_at": to_iso(created),
                "updated_at": to_iso(now),
            },
            condition=condition,
            failure=Stale,
            **params,
        )


def _amount_rows(amounts: Any) -> dict[str, dict[str, Any]]:
    return {key: {"cents": amount.cents, "status": amount.status} for key, amount in amounts.items()}


def _amounts(rows: dict[str, dict[str, Any]]) -> dict[str, Amount]:
    return {key: Amount(row["cents"], row["status"]) for key, row in rows.items()}


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
        charge_refunded_cents=row["charge_refunded_cents"],
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
    )
