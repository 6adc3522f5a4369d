"""Payments as facts: what Stripe has told us of one payment, and what the ledger therefore owes.

Events arrive in any order, repeated, and several for one fact. So a record keeps facts that only ever join
(merging is commutative, associative and idempotent; `reversals` says how), and `target` is a pure function of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from itertools import accumulate
from math import floor
from typing import Any

from .accounts import AccountKey, Address, normalise_email
from .credits import CLAWBACK, CREDITS_PER_CENT, DISPUTED, PURCHASE, REFUNDED, REINSTATEMENT, LedgerEntry
from .errors import InvalidInput, InvalidPayload
from .money import money
from .reversals import DISPUTE_RANK, REFUND_RANK, REFUND_UNDONE, Amount, Worth, held, join, newest_sum, refunded
from .sales import NOT_OURS, Origin, opened_here, origin_of

NOT_ONE_TIME = "not a one-time payment"
MIN_CENTS = 50  # Stripe charges no less in usd
MAX_CREDITS_BY_HAND = 10_000_000  # what an operator may credit of a parked payment
MAX_CENTS = 99_999_999  # nor more: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts

# The later state wins; a payment that was paid stays paid whatever arrives after it.
SESSION_RANK = {"unknown": 0, "unpaid": 1, "failed": 2, "paid": 3}
NOTHING = Amount(0)


@dataclass(frozen=True, slots=True)
class SessionFact:
    """What one Checkout Session says. `parked_reason` is set when it is not plainly ours to credit.

    `charged`, here and below: what the payer was charged, in every currency that was named beside the fact itself.
    `origin` is set while it is not known to be ours: nothing is credited then, whatever else it says, and `source` is
    the link or product that it is kept under.
    """

    payment_id: str
    session_id: str
    payment_intent: str | None
    state: str
    credits: int = 0
    total_cents: int = 0
    currency: str = ""
    email: Address | None = None
    account_id: str | None = None  # ours, from metadata that we wrote
    account_email: AccountKey | None = None
    customer_id: str | None = None
    parked_reason: str | None = None
    charged: Mapping[str, int] = field(default_factory=dict)
    origin: Origin | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class RefundFact:
    """`wrong_mode`, here and below: test against live. It joins a payment that is known, and begins none.

    `told`, here and below, is when Stripe said so, in seconds since 1970, and `made` when the refund was made; 0 where
    nobody knows. `currency` is that of `cents`; without one it is the payment's own.
    """

    payment_id: str
    refund_id: str
    cents: int
    status: str
    wrong_mode: bool = False
    currency: str = ""
    told: int = 0
    made: int = 0
    charged: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChargeRefundedFact:
    """A charge's cumulative refunded amount."""

    payment_id: str
    cents: int
    receipt_url: str | None = None
    wrong_mode: bool = False
    currency: str = ""
    told: int = 0
    charged: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DisputeFact:
    payment_id: str
    dispute_id: str
    cents: int
    status: str
    wrong_mode: bool = False
    currency: str = ""
    told: int = 0
    charged: Mapping[str, int] = field(default_factory=dict)


Fact = SessionFact | RefundFact | ChargeRefundedFact | DisputeFact


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """A row of the Payments table.

    `granted` credits were bought for `total_cents` of `currency`, which in other currencies were what `charged` says;
    `applied` credits of it stand in the ledger, over `entries` rows.
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
    charge_refunded: Amount = NOTHING
    disputes: Mapping[str, Amount] = field(default_factory=dict)
    parked_reason: str | None = None
    resolution: str | None = None  # what an operator decided of a parked payment
    user_email: AccountKey | None = None
    applied: int = 0
    entries: int = 0
    receipt_url: str | None = None
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    charged: Mapping[str, int] = field(default_factory=dict)
    source: str | None = None  # of a payment that is not ours: the link or product it is kept under
    origin: Origin | None = None
    credits_if_ours: int = 0
    reason_if_ours: str | None = None  # why it would be parked all the same

    @property
    def is_parked(self) -> bool:
        open_still = self.resolution in (None, "refunding") or self.refund_failed
        return self.parked_reason is not None and open_still and self.granted == 0

    @property
    def refund_failed(self) -> bool:
        """It was refunded by an operator, and the money came back, perhaps days later: it waits for a decision again.

        https://docs.stripe.com/refunds#failed-refunds
        """
        return self.resolution == "refunded" and bool(refunds_undone(self)) and refunded_share(self) < 1

    @property
    def delta(self) -> int:
        """Credits that the ledger still owes this payment's account; negative when it must take back."""
        return target(self) - self.applied


def target(record: PaymentRecord) -> int:
    """Whole credits that the ledger should hold of this payment: granted, less the refunded and disputed share."""
    gone = min(Fraction(1), refunded_share(record) + held_share(record))
    return record.granted - record.granted * gone.numerator // gone.denominator


def refunded_share(record: PaymentRecord) -> Fraction:
    """What of the payment was refunded, exactly; it can be more than all of it."""
    refunds = [_named(refund, record) for refund in record.refunds.values()]
    return refunded(refunds, _named(record.charge_refunded, record), _worth(record))


def refunds_undone(record: PaymentRecord) -> int:
    """How many of its refunds have failed or were cancelled."""
    return sum(refund.status in REFUND_UNDONE for refund in record.refunds.values())


def _named(amount: Amount, record: PaymentRecord) -> Amount:
    return amount if amount.currency else replace(amount, currency=record.currency)


def held_share(record: PaymentRecord) -> Fraction:
    """What of the payment open and lost disputes hold, exactly; it can be more than all of it."""
    return held(record.disputes.values(), _worth(record))


def kept_cents(record: PaymentRecord, credits: int) -> int | None:
    """What of the price we kept while the ledger held so many credits of the payment.

    Credits were rounded, money never is: so it is looked for among the refunds and disputes that Stripe told of. None
    where none of them, or more than one, explains those credits.
    """
    if credits in (0, record.granted):
        return record.total_cents if credits else 0
    if credits == record.applied and not record.delta:
        gone = {refunded_share(record) + held_share(record)}
    else:
        gone = _possibly_gone(record)
    found = {
        floor(record.total_cents * (1 - share) + Fraction(1, 2))
        for share in gone
        if record.granted - record.granted * share.numerator // share.denominator == credits
    }
    return found.pop() if len(found) == 1 else None


def _possibly_gone(record: PaymentRecord) -> set[Fraction]:
    """Each share that some of the refunds and disputes add up to; of very many, those that follow one another."""
    worth = _worth(record)
    amounts = [record.charge_refunded, *record.disputes.values()]
    amounts += sorted(record.refunds.values(), key=lambda refund: refund.made)
    shares = [share for amount in amounts if (share := worth(_named(amount, record)))]
    sums = {Fraction(0), *accumulate(shares)}
    for share in shares[:8]:
        sums |= {before + share for before in sums}
    return sums


def charged_cents(record: PaymentRecord, currency: str) -> int:
    """What the payer was charged in that currency, 0 if Stripe never told."""
    if currency in ("", record.currency) and record.total_cents > 0:
        return record.total_cents
    return record.charged.get(currency or record.currency, 0)


def _worth(record: PaymentRecord) -> Worth:
    """An amount as a share of what was charged in the same currency; None where that was never told."""

    def worth(amount: Amount) -> Fraction | None:
        charged = charged_cents(record, amount.currency)
        if not amount.cents:
            return Fraction(0)
        return Fraction(amount.cents, charged) if charged else None

    return worth


def refunded_sums(record: PaymentRecord) -> dict[str, int]:
    """For reading: what went back, by currency, in its smallest units. One refund may be told in two currencies."""
    charge, refunds = record.charge_refunded, _by_currency(record, record.refunds.values())
    own = charge.currency or record.currency
    sums = {
        name: refunded(refunds.get(name, []), charge if name == own else NOTHING, _face_value)
        for name in refunds.keys() | {own}
    }
    return {name: int(cents) for name, cents in sorted(sums.items()) if cents}


@dataclass(frozen=True, slots=True)
class Portion:
    """What of a payment went back or is held, in one currency; `of_cents` is 0 where nobody told what it was in it."""

    cents: int
    currency: str
    of_cents: int

    def __str__(self) -> str:
        """For reading: "$2.50 of $10.00", "all of $10.00"."""
        whole = money(self.of_cents, self.currency)
        if self.cents == self.of_cents:
            return f"all of {whole}"
        part = money(self.cents, self.currency)
        return f"{part} of {whole}" if self.of_cents else part


def portions(record: PaymentRecord, sums: Mapping[str, int]) -> list[Portion]:
    return [Portion(cents, currency, charged_cents(record, currency)) for currency, cents in sums.items()]


def held_sums(record: PaymentRecord) -> dict[str, int]:
    """For reading: what open and lost disputes hold, by currency, in its smallest units."""
    sums = {name: held(every, _face_value) for name, every in _by_currency(record, record.disputes.values()).items()}
    return {name: int(cents) for name, cents in sorted(sums.items()) if cents}


def _by_currency(record: PaymentRecord, amounts: Iterable[Amount]) -> dict[str, list[Amount]]:
    found: dict[str, list[Amount]] = {}
    for amount in amounts:
        found.setdefault(amount.currency or record.currency, []).append(amount)
    return found


def _face_value(amount: Amount) -> Fraction:
    return Fraction(amount.cents)


def unknown_currencies(record: PaymentRecord) -> list[str]:
    """In which refunds or disputes were told that cannot be compared with what was charged."""
    told = refunded_sums(record) | held_sums(record)
    return [currency for currency in sorted(told) if not charged_cents(record, currency)]


def says_more(before: PaymentRecord, after: PaymentRecord) -> bool:
    """Whether `after` is more than the same words told once more at a later time."""
    return before.delta != after.delta or _without_times(before) != _without_times(after)


def _without_times(record: PaymentRecord) -> PaymentRecord:
    def plain(amount: Amount) -> Amount:
        return Amount(amount.cents, amount.status, amount.currency or record.currency)

    refunds, disputes = ({key: plain(a) for key, a in every.items()} for every in (record.refunds, record.disputes))
    return replace(record, refunds=refunds, disputes=disputes, charge_refunded=plain(record.charge_refunded))


def merge(record: PaymentRecord, fact: Fact) -> PaymentRecord:
    """The record with one more fact. Merging a fact again, or facts in another order, gives the same record."""
    if fact.charged:
        charged = {name: max(record.charged.get(name, 0), cents) for name, cents in fact.charged.items()}
        record = replace(record, charged={**record.charged, **charged})
    match fact:
        case SessionFact():
            return _merge_session(record, fact)
        case RefundFact():
            undone = fact.told if fact.status in REFUND_UNDONE else 0
            word = Amount(fact.cents, fact.status, fact.currency, fact.told, fact.made, undone)
            return replace(record, refunds=join(record.refunds, fact.refund_id, word, REFUND_RANK))
        case ChargeRefundedFact():
            word = Amount(fact.cents, currency=fact.currency, told=fact.told)
            receipts = [url for url in (record.receipt_url, fact.receipt_url) if url]
            return replace(
                record,
                charge_refunded=newest_sum(record.charge_refunded, word),
                receipt_url=max(receipts, default=None),  # a charge has one; any rule will do that no order changes
            )
        case DisputeFact():
            word = Amount(fact.cents, fact.status, fact.currency, fact.told)
            return replace(record, disputes=join(record.disputes, fact.dispute_id, word, DISPUTE_RANK))


def entry_for(record: PaymentRecord, email: AccountKey, before: PaymentRecord | None = None) -> LedgerEntry | None:
    """The one ledger entry that settles `record.delta`, or None when nothing is owed.

    `before` is the record without the fact that asks for it: of refund and dispute the one that has changed is why.
    """
    delta = record.delta
    if delta == 0:
        return None
    number = record.entries + 1
    if number == 1 and delta > 0:
        kind = PURCHASE
    else:
        kind = CLAWBACK if delta < 0 else REINSTATEMENT
    transaction_id = _entry_id(record, kind, number)
    cause = _cause(record, before)
    return LedgerEntry(
        transaction_id=transaction_id,
        user_email=email,
        type=kind,
        amount=delta,
        description=_describe(kind, record, cause),
        payment_id=record.payment_id,
        stripe_payment_intent=record.payment_intent,
        cause=None if kind == PURCHASE else cause,
    )


def _cause(record: PaymentRecord, before: PaymentRecord | None) -> str:
    if before is not None and refunded_share(before) != refunded_share(record):
        return REFUNDED
    return DISPUTED if held_share(record) or (before is not None and held_share(before)) else REFUNDED


def entry_ids(record: PaymentRecord, number: int) -> list[str]:
    """What the row that was the first, second … of a payment may be called."""
    kinds = (CLAWBACK, REINSTATEMENT) if number > 1 else (PURCHASE, CLAWBACK)
    return [_entry_id(record, kind, number) for kind in kinds]


def _entry_id(record: PaymentRecord, kind: str, number: int) -> str:
    if kind == PURCHASE:
        return f"{kind}#{record.session_id or record.payment_id}"
    return f"{kind}#{record.payment_id}#{number}"


def settled(record: PaymentRecord, entry: LedgerEntry | None, email: AccountKey) -> PaymentRecord:
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
    if fact is None or isinstance(fact, SessionFact):
        return fact  # a session of the wrong mode is parked
    told = _moment(event.get("created"))
    fact = replace(fact, told=told, wrong_mode=event.get("livemode", livemode) is not livemode)
    if isinstance(fact, RefundFact) and kind == "refund.created" and not fact.made:
        return replace(fact, made=told)
    return fact


def payment_named(thing: Mapping[str, Any]) -> str | None:
    """The payment that a refund, dispute or charge of Stripe's is about, also where nothing else in it can be read."""
    return _id(_inner_id(thing.get("payment_intent")))


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
    here = opened_here(metadata)
    subtotal = _cents(session.get("amount_subtotal"))
    total = _cents(session.get("amount_total"))
    if subtotal is None and "amount_subtotal" not in session:
        subtotal = total
    if not here and session.get("mode") != "payment" and not total:  # a card that was kept, a trial that began
        return SessionFact(payment_id, session_id, payment_intent, "unpaid")
    fact = SessionFact(
        payment_id,
        session_id,
        payment_intent,
        "paid",
        credits=(subtotal or 0) * CREDITS_PER_CENT,
        total_cents=total or 0,
        currency=_currency(session),
        email=_email(details.get("email") or session.get("customer_email")),
        account_id=_id(metadata.get("account_id")) if here else None,  # another program's word is none about ours
        account_email=_key(metadata.get("account_email")) if here else None,
        customer_id=_id(_inner_id(session.get("customer"))),
        charged=_presented(session),
        origin=None if here else origin_of(session),
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
        return replace(fact, parked_reason=NOT_ONE_TIME)
    if fact.currency != "usd":
        return replace(fact, parked_reason=f"paid in {fact.currency or 'an unknown currency'}, not in usd")
    if subtotal is None or total is None or not MIN_CENTS <= subtotal <= MAX_CENTS or not 0 <= total <= 2 * MAX_CENTS:
        return replace(fact, parked_reason="the amount is missing or out of range")
    if fact.account_id is None and fact.email is None:
        return replace(fact, parked_reason="no usable e-mail address")
    if fact.origin is not None:
        return fact
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
    if fact.origin is not None:
        return _kept_as_not_ours(known, fact, fact.origin)
    known = replace(known, source=None, origin=None, credits_if_ours=0, reason_if_ours=None)
    if fact.parked_reason:
        return replace(known, parked_reason=fact.parked_reason, total_cents=fact.total_cents)
    return replace(known, granted=fact.credits, total_cents=fact.total_cents, parked_reason=None)


def _kept_as_not_ours(known: PaymentRecord, fact: SessionFact, origin: Origin) -> PaymentRecord:
    """A payment that is not ours, with all that is needed to credit it should an operator say that it is."""
    if origin.lines is None and known.origin is not None and known.origin.link == origin.link:
        origin = known.origin  # what Stripe was asked before stays
    return replace(
        known,
        parked_reason=NOT_OURS,
        total_cents=fact.total_cents,
        source=fact.source or known.source,
        origin=origin,
        credits_if_ours=0 if fact.parked_reason else fact.credits,
        reason_if_ours=fact.parked_reason,
    )


def as_ours(record: PaymentRecord) -> PaymentRecord:
    """A payment that was set aside, once what it was sold by is named: granted, or parked for its other reason."""
    return replace(
        record,
        parked_reason=record.reason_if_ours,
        granted=record.credits_if_ours,
        source=None,
        origin=None,
        credits_if_ours=0,
        reason_if_ours=None,
    )


def refund_fact(refund: Mapping[str, Any], livemode: bool = False) -> RefundFact | None:
    """A refund as a fact, or None when it names no payment, or has an amount or a status that is not known here."""
    payment, refund_id = payment_named(refund), _id(refund.get("id"))
    cents, status = _cents(refund.get("amount")), _status(refund.get("status") or "pending", REFUND_RANK)
    if payment is None or refund_id is None or cents is None or status is None:
        return None
    charged = _charged(refund.get("charge"))
    made = _moment(refund.get("created"))
    return RefundFact(payment, refund_id, cents, status, currency=_currency(refund), made=made, charged=charged)


def _charge_fact(charge: Mapping[str, Any], livemode: bool) -> ChargeRefundedFact | None:
    payment, cents = payment_named(charge), _cents(charge.get("amount_refunded"))
    if payment is None or cents is None:
        return None
    receipt = charge.get("receipt_url")
    receipt = receipt if isinstance(receipt, str) else None
    return ChargeRefundedFact(payment, cents, receipt, currency=_currency(charge), charged=_charged(charge))


def dispute_fact(dispute: Mapping[str, Any], livemode: bool = False) -> DisputeFact | None:
    """A dispute as a fact, or None when it names no payment, or has an amount or a status that is not known here."""
    payment, dispute_id = payment_named(dispute), _id(dispute.get("id"))
    cents, status = _cents(dispute.get("amount")), _status(dispute.get("status"), DISPUTE_RANK)
    if payment is None or dispute_id is None or cents is None or status is None:
        return None
    charged = _charged(dispute.get("charge"))
    return DisputeFact(payment, dispute_id, cents, status, currency=_currency(dispute), charged=charged)


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


def _describe(kind: str, record: PaymentRecord, cause: str) -> str:
    price = money(record.total_cents, record.currency)
    if kind == PURCHASE:
        bought = f"Bought {record.granted:,} credits for {price}"
        return bought if record.delta == record.granted else f"{bought}, less what was refunded or disputed"
    if kind == CLAWBACK:
        return f"Taken back: a payment of {price} was {cause}"
    return f"Given back: a refund failed or a dispute was won for a payment of {price}"


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


def _currency(thing: Mapping[str, Any]) -> str:
    """As Stripe names it, in lower case; empty where it says nothing."""
    return str(thing.get("currency") or "")[:10].lower()


def _charged(charge: object) -> dict[str, int]:
    """What a charge says its payer was charged, by currency; nothing when it was not expanded."""
    if not isinstance(charge, dict):
        return {}
    return _priced(_currency(charge), charge.get("amount")) | _presented(charge)


def _presented(thing: Mapping[str, Any]) -> dict[str, int]:
    """The amount in the payer's own currency, where Stripe converted it: https://docs.stripe.com/payments/currencies"""
    details = thing.get("presentment_details")
    if not isinstance(details, dict):
        return {}
    currency = str(details.get("presentment_currency") or "")[:10].lower()
    return _priced(currency, details.get("presentment_amount"))


def _priced(currency: str, amount: object) -> dict[str, int]:
    cents = _cents(amount)
    return {currency: cents} if cents and len(currency) == 3 and currency.isascii() and currency.isalpha() else {}


def _moment(value: object) -> int:
    """A time of Stripe's in seconds since 1970, 0 where it is none."""
    return _cents(value) or 0


def _status(value: object, known: Mapping[str, int]) -> str | None:
    return value if isinstance(value, str) and value in known else None


def _number(value: object) -> int | None:
    """A whole number as session metadata carries it: text."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _key(value: object) -> AccountKey | None:
    """What we wrote into the session ourselves."""
    address = _email(value)
    return AccountKey(address) if address else None


def _email(value: object) -> Address | None:
    try:
        return normalise_email(value)
    except InvalidInput:
        return None
