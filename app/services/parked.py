"""Payments that were not plainly ours to credit: an operator credits, refunds or dismisses each, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from app.data import Store
from app.data.transaction import optimistic
from app.domain.accounts import Account, AccountKey, Address, as_address, normalise_email
from app.domain.by_hand import is_generous
from app.domain.errors import InvalidInput, NotFound, WrongState
from app.domain.payments import (
    MAX_CREDITS_BY_HAND,
    PaymentRecord,
    RefundFact,
    SessionFact,
    merge,
    refund_fact,
    refunds_undone,
)
from app.domain.proposals import PAYMENT, Proposal
from app.domain.reversals import REFUND_UNDONE
from app.domain.tasks import new_idempotency_key
from app.domain.text import shows
from app.gateways.stripe import PaymentRefused
from app.telemetry.spans import verb

from . import by_hand
from .acting import Act, acting
from .by_hand import Authority, NeedsSecond
from .payments import Known, Outcome, settle

CREDITED = "credited"
REFUNDING = "refunding"  # the intent is written down, Stripe's answer is not


class Refunds(Protocol):
    def refund(self, payment_intent: str, amount_cents: int | None, idempotency_key: str) -> dict[str, Any]: ...


def credit(
    store: Store,
    payment_id: str,
    *,
    email: object,
    credits: int,
    reason: str,
    actor: str,
    limit: int,
    now: datetime,
    idempotency_key: str = "",
) -> Outcome | Proposal:
    """Credit a parked payment to the account that has the address, or had it; it is made if there is none. What was
    refunded of it is left out.

    It counts as made by hand. Above `limit` together with the rest of the operator's day, or above what the payment can
    have been worth, it waits for a second operator. Raises InvalidInput, NotFound, Forbidden (one's own account; no
    operator any more) and WrongState (another operator was quicker).
    """
    address = normalise_email(email)
    if not 1 <= credits <= MAX_CREDITS_BY_HAND:
        raise InvalidInput(f"Credit 1 to {MAX_CREDITS_BY_HAND:,} credits.", field="credits")
    _need(reason)
    holder = store.accounts.find_holder(address)
    by_hand.not_for_oneself(store, actor, holder or address)
    key = holder.email if holder else AccountKey(address)

    def authority(record: PaymentRecord, whose: Account | Address) -> Authority:
        by_hand.not_for_oneself(store, actor, whose)
        if is_generous(credits, record.total_cents):
            raise NeedsSecond
        return by_hand.alone(store, actor, credits, limit=limit, now=now)

    try:
        return _credit(store, payment_id, key, credits, reason, authority, now)
    except NeedsSecond:
        wanted = by_hand.proposal(
            PAYMENT,
            operator=actor,
            idempotency_key=idempotency_key or new_idempotency_key(),
            amount=credits,
            reason=reason,
            email=key,
            terms={"payment_id": payment_id},
            now=now,
        )
        return by_hand.propose_once(store, wanted)


def credit_approved(store: Store, waiting: Proposal, now: datetime, authority: Callable[[], Authority]) -> Outcome:
    """Credit as it was proposed. Raises NotFound, WrongState and what `authority` raises."""
    payment_id, email = waiting.terms["payment_id"], waiting.user_email
    return _credit(store, payment_id, email, waiting.amount, waiting.reason, lambda *_: authority(), now)


def _credit(
    store: Store,
    payment_id: str,
    wanted: AccountKey,
    credits: int,
    reason: str,
    authority: Callable[[PaymentRecord, Account | Address], Authority],
    now: datetime,
) -> Outcome:
    """Credit the account that holds `wanted` as it is booked: it may have become an account's address meanwhile."""

    def attempt(known: Known) -> Outcome:
        if known.account and known.account.moved_away:
            raise InvalidInput("This account is deleted and cannot come back: refund the payment.", field="email")
        record = _undecided(known.record)
        key = known.account.email if known.account else wanted
        stands = authority(record, known.account or as_address(wanted))
        after = replace(record, granted=credits, resolution=CREDITED, payer_email=record.payer_email or key)
        fact = SessionFact(
            payment_id,
            record.session_id or payment_id,
            record.payment_intent,
            "paid",
            email=as_address(key),
            customer_id=record.customer_id,
        )

        done = {"credits": credits, "email": key, **stands.about}
        by = Act(stands.actor, "payment.credit", payment_id, now, reason, after=done)
        return settle(store, known, after, fact, now, and_also=stands.hold, by=by)

    def read(_stale: object = None) -> Known:
        return Known(*store.payments.find_with_account(payment_id, wanted))

    return optimistic(payment_id, attempt, read(), read)


@verb
def refund(store: Store, stripe: Refunds, payment_id: str, *, reason: str, actor: str, now: datetime) -> None:
    """Give a parked payment's money back through Stripe.

    The intent is recorded first, then Stripe is called under a key made from the payment, so a repeat after a crash
    between the two refunds once; after one that failed the key is another, or Stripe would tell of that one again. From
    the intent until Stripe's word nothing else can be decided; when Stripe says no, the payment is parked as before.
    Raises InvalidInput, NotFound, WrongState, PaymentRefused and PaymentsUnavailable.
    """
    _need(reason)
    record = _parked(store.payments.find(payment_id))
    if record.payment_intent is None:
        raise InvalidInput("There is no payment at Stripe to refund.")
    if record.resolution != REFUNDING:
        _resolve(store, payment_id, REFUNDING, "payment.refund", reason, actor, now, of=_undecided)
    made = None
    try:
        made = refund_fact(stripe.refund(record.payment_intent, None, _refund_key(record)))
    except PaymentRefused as error:
        if error.stripe_code != "charge_already_refunded":  # by a first try, longer ago than Stripe keeps its keys
            _resolve(store, payment_id, None, "payment.refund_refused", reason, actor, now, of=_refunding)
            raise
    if made and made.status in REFUND_UNDONE:
        _resolve(store, payment_id, None, "payment.refund_refused", reason, actor, now, of=_refunding, told=made)
        raise PaymentRefused("Stripe could not refund this payment: the money has not gone back.")
    try:
        _resolve(store, payment_id, "refunded", "payment.refunded", reason, actor, now, of=_refunding, told=made)
    except WrongState:
        after = store.payments.find(payment_id)
        if after is None or after.resolution != "refunded":  # by the same refund, asked for twice at once
            raise


def _refund_key(record: PaymentRecord) -> str:
    failed = refunds_undone(record)
    return f"parked-refund-{record.payment_id}" + (f"-{failed + 1}" if failed else "")


@verb
def dismiss(store: Store, payment_id: str, *, reason: str, actor: str, now: datetime) -> None:
    """Close a parked payment without credit or refund. Raises InvalidInput, NotFound and WrongState, which it is also
    while a refund is at Stripe: only Stripe knows then whether the money has gone back."""
    _need(reason)
    _resolve(store, payment_id, "dismissed", "payment.dismiss", reason, actor, now, of=_undecided)


def _resolve(
    store: Store,
    payment_id: str,
    resolution: str | None,
    action: str,
    reason: str,
    actor: str,
    now: datetime,
    *,
    of: Callable[[PaymentRecord | None], PaymentRecord],
    told: RefundFact | None = None,
) -> None:
    """Decide about a payment that is, as it is written, what `of` asks for. `told`: what Stripe said of its refund."""

    def attempt(record: PaymentRecord | None) -> None:
        before = of(record)
        with acting(store, Act(actor=actor, action=action, subject=payment_id, reason=reason, now=now)) as tx:
            tx.payments.save(before, replace(merge(before, told) if told else before, resolution=resolution), now)

    def read(_stale: object = None) -> PaymentRecord | None:
        return store.payments.find(payment_id)

    optimistic(payment_id, attempt, read(), read)


def _parked(record: PaymentRecord | None) -> PaymentRecord:
    if record is None:
        raise NotFound("There is no such payment.")
    if not record.is_parked:
        raise WrongState("This payment is not parked any more: somebody was quicker, or its facts have arrived.")
    return record


def _undecided(record: PaymentRecord | None) -> PaymentRecord:
    parked = _parked(record)
    if parked.resolution == REFUNDING:
        raise WrongState("A refund of this payment is at Stripe. Finish the refund: it says whether the money is back.")
    return parked


def _refunding(record: PaymentRecord | None) -> PaymentRecord:
    parked = _parked(record)
    if parked.resolution != REFUNDING:
        raise WrongState("The refund of this payment has ended meanwhile. Reload to see how.")
    return parked


def _need(reason: str) -> None:
    if not shows(reason):
        raise InvalidInput("Say why: the reason goes into the audit log.", field="reason")
