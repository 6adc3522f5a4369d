"""Payments as facts: what Stripe has told us of one payment, and what the ledger therefore owes.

Events arrive in any order, repeated, and several for one fact. So a record keeps facts that only ever join
(merging is commutative, associative and idempotent), and `target` is a pure function of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .accounts import normalise_email
from .credits import CLAWBACK, CREDITS_PER_CENT, PURCHASE, REINSTATEMENT, LedgerEntry
from .errors import InvalidInput, InvalidPayload

MIN_CENTS = 50  # Stripe charges no less in usd
MAX_CREDITS_BY_HAND = 10_000_000  # what an operator may credit of a parked payment
MAX_CENTS = 99_999_999  # nor more: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts

# The later state wins; a payment that was paid stays paid whatever arrives after it.
SESSION_RANK = {"unknown": 0, "unpaid": 1, "failed": 2, "paid": 3}
# A refund can fail after it "succeeded", and a failed one stays failed: https://docs.stripe.com/refunds#failed-refunds
REFUND_RANK = {"requires_action": 0, "pending": 1, "succeeded": 2, "canceled": 3, "failed": 4}
REFUND_UNDONE = frozenset({"failed", "canceled"})
# An inquiry (warning) may become a dispute; a final status is never left: https://docs.stripe.com/disputes/how-disputes-work
DISPUTE_RANK = {
    "warning_needs_response": 0,
    "warning_under_review": 1,
    "warning_closed": 2,
    "needs_response": 3,
    "under_review": 4,
    "prevented": 5,
    "lost": 6,
    "appeal_needs_response": 7,
    "appeal_under_review": 8,
    "won": 9,  # a lost dispute can be won on appeal, a won one is never lost again
}
DISPUTE_HOLDS = frozenset({"needs_response", "under_review", "lost", "appeal_needs_response", "appeal_under_review"})


@dataclass(frozen=True, slots=True)
class Amount:
    """A refund or a dispute: US cents (or the currency's smallest unit) and the furthest status seen."""

    cents: int
    status: str


@dataclass(frozen=True, slots=True)
class SessionFact:
    """What one Checkout Session says. `parked_reason` is set when it is not plainly ours to credit."""

    payment_id: str
    session_id: str
    payment_intent: str | None
    state: str
    credits: int = 0
    total_cents: int = 0
    currency: str = ""
    email: str | None = None
    account_id: str | None = None  # ours, from metadata that we wrote
    account_email: str | None = None
    customer_id: str | None = None
    parked_reason: str | None = None


@dataclass(frozen=True, slots=True)
class RefundFact:
    """`wrong_mode`, here and below: test against live. It joins a payment that is known, and begins none."""

    payment_id: str
    refund_id: str
    cents: int
    status: str
    wrong_mode: bool = False


@dataclass(frozen=True, slots=True)
class ChargeRefundedFact:
    """A charge's cumulative refunded amount."""

    payment_id: str
    cents: int
    receipt_url: str | None = None
    wrong_mode: bool = False


@dataclass(frozen=True, slots=True)
class DisputeFact:
    payment_id: str
    dispute_id: str
    cents: int
    status: str
    wrong_mode: bool = False


Fact = SessionFact | RefundFact | ChargeRefundedFact | DisputeFact


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """A row of the Payments table.

    `granted` credits were bought for `total_cents`; `applied` credits of it stand in the ledger, over `entries` rows.
    """

    payment_id: str
    session_id: str | None = None
    payment_intent: str | None = None
    state: str = "unknown"
    granted: int = 0
    total_cents: int = 0
    currency: str = ""
    payer_email: str | None = None
    customer_id: str | None = None
    refunds: Mapping[str, Amount] = field(default_factory=dict)
    charge_refunded_cents: int = 0
    disputes: Mapping[str, Amount] = field(default_factory=dict)
    parked_reason: str | None = None
    resolution: str | None = None  # what an operator decided of a parked payment
    user_email: str | None = None
    applied: int = 0
    entries: int = 0
    receipt_url: str | None = None
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_parked(self) -> bool:
        return self.parked_reason is not None and self.resolution in (None, "refunding") and self.granted == 0

    @property
    def delta(self) -> int:
        """Credits that the ledger still owes this payment's account; negative when it must take back."""
        return target(self) - self.applied


def target(record: PaymentRecord) -> int:
    """Whole credits that the ledger should hold of this payment: granted, less the refunded and disputed share."""
    if record.total_cents <= 0:  # a full discount, or an amount that nobody knows: then any refund takes it all
        return record.granted if refunded_cents(record) + held_cents(record) <= 0 else 0
    gone = min(record.total_cents, refunded_cents(record) + held_cents(record))
    return record.granted - record.granted * gone // record.total_cents


def refunded_cents(record: PaymentRecord) -> int:
    """Refunds that have not failed; where Stripe named only the charge's cumulative figure, that one."""
    standing = sum(r.cents for r in record.refunds.values() if r.status not in REFUND_UNDONE)
    undone = sum(r.cents for r in record.refunds.values() if r.status in REFUND_UNDONE)
    return max(standing, record.charge_refunded_cents - undone)


def held_cents(record: PaymentRecord) -> int:
    return sum(d.cents for d in record.disputes.values() if d.status in DISPUTE_HOLDS)


def merge(record: PaymentRecord, fact: Fact) -> PaymentRecord:
    """The record with one more fact. Merging a fact again, or facts in another order, gives the same record."""
    match fact:
        case SessionFact():
            return _merge_session(record, fact)
        case RefundFact():
            return replace(record, refunds=_join(record.refunds, fact.refund_id, fact, REFUND_RANK))
        case ChargeRefundedFact():
            return replace(
                record,
                charge_refunded_cents=max(record.charge_refunded_cents, fact.cents),
                receipt_url=fact.receipt_url or record.receipt_url,
            )
        case DisputeFact():
            return replace(record, disputes=_join(record.disputes, fact.dispute_id, fact, DISPUTE_RANK))


def entry_for(record: PaymentRecord, email: str) -> LedgerEntry | None:
    """The one ledger entry that settles `record.delta`, or None when nothing is owed."""
    delta = record.delta
    if delta == 0:
        return None
    number = record.entries + 1
    if number == 1 and delta > 0:
        kind, transaction_id = PURCHASE, f"purchase#{record.session_id or record.payment_id}"
    else:
        kind = CLAWBACK if delta < 0 else REINSTATEMENT
        transaction_id = f"{kind}#{record.payment_id}#{number}"
    return LedgerEntry(
        transaction_id=transaction_id,
        user_email=email,
        type=kind,
        amount=delta,
        description=_describe(kind, record),
        payment_id=record.payment_id,
        stripe_payment_intent=record.payment_intent,
    )


def settled(record: PaymentRecord, entry: LedgerEntry | None, email: str) -> PaymentRecord:
    """The record once `entry` stands in the ledger."""
    if entry is None:
        return replace(record, user_email=record.user_email or email)
    return replace(record, user_email=email, applied=record.applied + entry.amount, entries=record.entries + 1)


def fact_of_event(event: Mapping[str, Any], *, livemode: bool) -> Fact | None:
    """What a Stripe event says, or None when it says nothing to us. Raises InvalidPayload on a malformed one."""
    kind = event.get("type")
    read = READERS.get(kind) if isinstance(kind, str) else None
    if not isinstance(kind, str) or read is None or event.get("account"):  # events of connected accounts are not ours
        return None
    data = event.get("data")
    thing = data.get("object") if isinstance(data, dict) else None
    if not isinstance(thing, dict):
        raise InvalidPayload
    fact = read(thing, livemode)
    if fact is None or isinstance(fact, SessionFact) or event.get("livemode", livemode) is livemode:
        return fact  # a session of the wrong mode is parked
    return replace(fact, wrong_mode=True)


def session_fact(session: Mapping[str, Any], livemode: bool, failed: bool = False) -> SessionFact:
    """A Checkout Session as a fact. Never raises on odd contents of a session that has an id: those are parked."""
    session_id = _id(session.get("id"))
    if session_id is None:
        raise InvalidPayload
    payment_intent = _id(_inner_id(session.get("payment_intent")))
    payment_id = payment_intent or session_id
    status = session.get("payment_status")
    if failed or status == "unpaid":
        return SessionFact(payment_id, session_id, payment_intent, "failed" if failed else "unpaid")
    raw_details = session.get("customer_details")
    details = raw_details if isinstance(raw_details, dict) else {}
    raw_metadata = session.get("metadata")
    metadata = raw_metadata if isinstance(raw_metadata, dict) else {}
    subtotal = _cents(session.get("amount_subtotal"))
    total = _cents(session.get("amount_total"))
    if subtotal is None and "amount_subtotal" not in session:
        subtotal = total
    fact = SessionFact(
        payment_id,
        session_id,
        payment_intent,
        "paid",
        credits=(subtotal or 0) * CREDITS_PER_CENT,
        total_cents=total or 0,
        currency=str(session.get("currency") or "")[:10].lower(),
        email=_email(details.get("email") or session.get("customer_email")),
        account_id=_id(metadata.get("account_id")),
        account_email=_email(metadata.get("account_email")),
        customer_id=_id(_inner_id(session.get("customer"))),
    )
    return _parked_or_priced(fact, session, metadata, subtotal, total, livemode)


def _parked_or_priced(
    fact: SessionFact,
    session: Mapping[str, Any],
    metadata: Mapping[str, Any],
    subtotal: int | None,
    total: int | None,
    livemode: bool,
) -> SessionFact:
    if session.get("payment_status") not in ("paid", "no_payment_required"):
        return replace(fact, parked_reason="Stripe gave no known payment status")
    if session.get("livemode", False) is not livemode:
        return replace(fact, parked_reason="test and live mode do not match")
    if session.get("mode") != "payment":
        return replace(fact, parked_reason="not a one-time payment")
    if fact.currency != "usd":
        return replace(fact, parked_reason=f"paid in {fact.currency or 'an unknown currency'}, not in usd")
    if subtotal is None or total is None or not MIN_CENTS <= subtotal <= MAX_CENTS or not 0 <= total <= 2 * MAX_CENTS:
        return replace(fact, parked_reason="the amount is missing or out of range")
    if fact.account_id is None:
        return fact if fact.email else replace(fact, parked_reason="no usable e-mail address")
    price, credits = _number(metadata.get("price_cents")), _number(metadata.get("credits"))
    if price != subtotal or credits is None or credits <= 0:
        return replace(fact, parked_reason="the amount and the pack that was sold disagree")
    return replace(fact, credits=credits)


def _merge_session(record: PaymentRecord, fact: SessionFact) -> PaymentRecord:
    state = max(record.state, fact.state, key=SESSION_RANK.__getitem__)
    known = replace(
        record,
        session_id=record.session_id or fact.session_id,
        payment_intent=record.payment_intent or fact.payment_intent,
        state=state,
        currency=record.currency or fact.currency,
        payer_email=record.payer_email or fact.email,
        customer_id=record.customer_id or fact.customer_id,
    )
    if fact.state != "paid" or known.granted or known.resolution:
        return known
    if fact.parked_reason:
        return replace(known, parked_reason=fact.parked_reason, total_cents=fact.total_cents)
    return replace(known, granted=fact.credits, total_cents=fact.total_cents, parked_reason=None)


def _join(
    known: Mapping[str, Amount], key: str, fact: RefundFact | DisputeFact, rank: Mapping[str, int]
) -> Mapping[str, Amount]:
    before = known.get(key, Amount(0, fact.status))
    after = Amount(max(before.cents, fact.cents), max(before.status, fact.status, key=rank.__getitem__))
    return {**known, key: after}


def refund_fact(refund: Mapping[str, Any], livemode: bool = False) -> RefundFact | None:
    """A refund as a fact, or None when it names no payment of ours."""
    payment, refund_id = _id(_inner_id(refund.get("payment_intent"))), _id(refund.get("id"))
    cents, status = _cents(refund.get("amount")), _status(refund.get("status") or "pending", REFUND_RANK)
    if payment is None or refund_id is None or cents is None or status is None:
        return None
    return RefundFact(payment, refund_id, cents, status)


def _charge_fact(charge: Mapping[str, Any], livemode: bool) -> ChargeRefundedFact | None:
    payment, cents = _id(_inner_id(charge.get("payment_intent"))), _cents(charge.get("amount_refunded"))
    if payment is None or cents is None:
        return None
    receipt = charge.get("receipt_url")
    return ChargeRefundedFact(payment, cents, receipt if isinstance(receipt, str) else None)


def dispute_fact(dispute: Mapping[str, Any], livemode: bool = False) -> DisputeFact | None:
    """A dispute as a fact, or None when it names no payment of ours."""
    payment, dispute_id = _id(_inner_id(dispute.get("payment_intent"))), _id(dispute.get("id"))
    cents, status = _cents(dispute.get("amount")), _status(dispute.get("status"), DISPUTE_RANK)
    if payment is None or dispute_id is None or cents is None or status is None:
        return None
    return DisputeFact(payment, dispute_id, cents, status)


READERS: Mapping[str, Callable[[Mapping[str, Any], bool], Fact | None]] = {
    "checkout.session.completed": session_fact,
    "checkout.session.async_payment_succeeded": session_fact,
    "checkout.session.async_payment_failed": lambda session, livemode: session_fact(session, livemode, failed=True),
    "refund.created": refund_fact,
    "refund.updated": refund_fact,
    "refund.failed": refund_fact,
    "charge.refunded": _charge_fact,
    "charge.dispute.created": dispute_fact,
    "charge.dispute.updated": dispute_fact,
    "charge.dispute.closed": dispute_fact,
    "charge.dispute.funds_withdrawn": dispute_fact,
    "charge.dispute.funds_reinstated": dispute_fact,
}


def _describe(kind: str, record: PaymentRecord) -> str:
    dollars = f"${record.total_cents / 100:,.2f}"  # for reading only
    if kind == PURCHASE:
        bought = f"Bought {record.granted:,} credits for {dollars}"
        return bought if record.delta == record.granted else f"{bought}, less what was refunded or disputed"
    if kind == CLAWBACK:
        cause = "disputed" if held_cents(record) else "refunded"
        return f"Taken back: a payment of {dollars} was {cause}"
    return f"Given back: a refund failed or a dispute was won for a payment of {dollars}"


def _id(value: object) -> str | None:
    """A Stripe id, or None: text of a length that a key can hold."""
    if isinstance(value, str) and 0 < len(value) <= 255 and value.isascii() and value.isprintable():
        return value
    return None


def _inner_id(value: object) -> object:
    """Stripe sends an id, or the object itself when it was expanded."""
    return value.get("id") if isinstance(value, dict) else value


def _cents(value: object) -> int | None:
    """An amount, or None: whole, not negative, and of a size that Stripe can mean and the store can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**12 else None


def _status(value: object, known: Mapping[str, int]) -> str | None:
    return value if isinstance(value, str) and value in known else None


def _number(value: object) -> int | None:
    """A whole number as session metadata carries it: text."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _email(value: object) -> str | None:
    try:
        return normalise_email(value)
    except InvalidInput:
        return None
