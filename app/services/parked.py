"""Payments that were not plainly ours to credit: an operator credits, refunds or dismisses each, with a reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from app.data import Store
from app.data.transaction import optimistic
from app.domain.accounts import normalise_email
from app.domain.errors import InvalidInput, NotFound, WrongState
from app.domain.payments import MAX_CREDITS_BY_HAND, PaymentRecord, SessionFact
from app.domain.text import shows
from app.gateways.stripe import PaymentRefused

from .payments import Known, Outcome, settle


class Refunds(Protocol):
    def refund(self, payment_intent: str, amount_cents: int | None, idempotency_key: str) -> dict[str, Any]: ...


def credit(
    store: Store, payment_id: str, *, email: object, credits: int, reason: str, actor: str, now: datetime
) -> Outcome:
    """Credit a parked payment to an account, which is made if there is none. What was refunded of it is left out.

    Raises InvalidInput, NotFound and WrongState (another operator was quicker).
    """
    address = normalise_email(email)
    if not 1 <= credits <= MAX_CREDITS_BY_HAND:
        raise InvalidInput(f"Credit 1 to {MAX_CREDITS_BY_HAND:,} credits.", field="credits")
    _need(reason)

    def attempt(known: Known) -> Outcome:
        record = _parked(known.record)
        if record.resolution == "refunding":
            raise WrongState("A refund of this payment was begun: finish it, or dismiss the payment.")
        after = replace(record, granted=credits, resolution="credited", payer_email=record.payer_email or address)
        fact = SessionFact(
            payment_id,
            record.session_id or payment_id,
            record.payment_intent,
            "paid",
            email=address,
            customer_id=record.customer_id,
        )

        def audit(tx: Any) -> None:
            done = {"credits": credits, "email": address}
            tx.record_audit(
                actor=actor, action="payment.credit", subject=payment_id, reason=reason, now=now, after=done
            )

        return settle(store, known, after, fact, now, and_also=audit)

    def read(_stale: object = None) -> Known:
        return Known(*store.find_payment_and_account(payment_id, address))

    return optimistic(payment_id, attempt, read(), read)


def refund(store: Store, stripe: Refunds, payment_id: str, *, reason: str, actor: str, now: datetime) -> None:
    """Give a parked payment's money back through Stripe.

    The intent is recorded first, then Stripe is called under a key made from the payment, so a repeat after a crash
    between the two refunds once. Raises InvalidInput, NotFound, WrongState and PaymentsUnavailable.
    """
    _need(reason)
    record = _parked(store.find_payment(payment_id))
    if record.payment_intent is None:
        raise InvalidInput("There is no payment at Stripe to refund.")
    if record.resolution != "refunding":
        _resolve(store, payment_id, "refunding", "payment.refund", reason, actor, now)
    try:
        stripe.refund(record.payment_intent, None, f"parked-refund-{payment_id}")
    except PaymentRefused as error:
        if error.stripe_code != "charge_already_refunded":  # by a first try, longer ago than Stripe keeps its keys
            raise
    _resolve(store, payment_id, "refunded", "payment.refunded", reason, actor, now)


def dismiss(store: Store, payment_id: str, *, reason: str, actor: str, now: datetime) -> None:
    """Close a parked payment without credit or refund. Raises InvalidInput, NotFound and WrongState."""
    _need(reason)
    _resolve(store, payment_id, "dismissed", "payment.dismiss", reason, actor, now)


def _resolve(
    store: Store, payment_id: str, resolution: str, action: str, reason: str, actor: str, now: datetime
) -> None:
    def attempt(record: PaymentRecord | None) -> None:
        before = _parked(record)
        with store.transaction() as tx:
            tx.save_payment(before, replace(before, resolution=resolution), now)
            tx.record_audit(actor=actor, action=action, subject=payment_id, reason=reason, now=now)

    def read(_stale: object = None) -> PaymentRecord | None:
        return store.find_payment(payment_id)

    optimistic(payment_id, attempt, read(), read)


def _parked(record: PaymentRecord | None) -> PaymentRecord:
    if record is None:
        raise NotFound("There is no such payment.")
    if not record.is_parked:
        raise WrongState("This payment is not parked any more: somebody was quicker, or its facts have arrived.")
    return record


def _need(reason: str) -> None:
    if not shows(reason):
        raise InvalidInput("Say why: the reason goes into the audit log.", field="reason")
