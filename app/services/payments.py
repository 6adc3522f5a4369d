"""Payments: what Stripe tells us becomes credits, exactly once, whatever the order and however often it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypedDict

from app.data import Store
from app.data.accounts import at
from app.data.client import Stale
from app.data.transaction import optimistic
from app.domain import credits, payments
from app.domain.accounts import Account, AccountKey, Address, Session, mask_email, new_account_id
from app.domain.by_hand import COMMAND_LINE, are_one
from app.domain.errors import AlreadyRecorded, BalanceUnexplained
from app.domain.heartbeats import moment_told
from app.domain.paging import each
from app.domain.payments import Fact, PaymentRecord, SessionFact
from app.domain.sales import ELSEWHERE, OURS, Named, Sale, judge
from app.telemetry.instruments import PAYMENT_DELAY
from app.telemetry.spans import verb

from . import by_hand, notices, sales, webhook_events
from .acting import Act, transaction
from .links import SET_PASSWORD, new_nonce

log = logging.getLogger(__name__)

NOTHING_NAMED = Named()
LEFT = "its payer's address is one that an account has left: whose payment it is has to be found out"
RECORDED_TWICE = "its session stands in the ledger under another payment"
LinesOf = Callable[[str], Mapping[str, Any]]  # a session's id to Stripe's list of its line items


@dataclass(frozen=True, slots=True)
class Outcome:
    """What recording a fact did: the record as it stands, and the credits that moved now (0 for a repeat)."""

    record: PaymentRecord | None
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a payment; `account` is None for a payer who has none yet.

    `left`: the payer's address is one that its account has left. Whose it is now nobody can tell.
    """

    record: PaymentRecord | None
    account: Account | None
    left: bool = False
    sales: Mapping[str, Sale] = field(default_factory=dict)  # what is said of where a session came from


@dataclass(frozen=True, slots=True)
class Released:
    """What one run of `release` did: payments that were credited, their credits, and whether more are waiting."""

    payments: int
    credits: int
    more: bool = False


@verb
def handle_event(
    store: Store,
    event: Mapping[str, Any],
    *,
    livemode: bool,
    now: datetime,
    named: Named = NOTHING_NAMED,
    lines_of: LinesOf | None = None,
) -> Outcome:
    """Record what a verified Stripe event says. Repeats and unknown types change nothing.

    Of a session that this app did not open `lines_of` is asked what it sold. Raises InvalidPayload, and
    PaymentsUnavailable: Stripe then tells the event again.
    """
    fact = payments.fact_of_event(event, livemode=livemode)
    if fact is None:
        if event.get("type") in payments.READERS:  # perhaps a status that is newer than this code
            about = {"type": event["type"], "event_id": str(event.get("id"))[:100]}
            ours = named_of_ours(store, event["data"]["object"])
            rings = {"alert": "webhook", "payment_id": ours} if ours else {}
            log.warning("a Stripe event says nothing that is known here", extra=about | rings)
        return Outcome(None)
    if isinstance(fact, SessionFact) and fact.origin is not None and lines_of is not None:
        fact = sales.with_lines(store, fact, lines_of, named=named, told_at=event.get("created"), now=now)
    outcome = record_fact(store, fact, now=now, named=named)
    told = moment_told(event.get("created"))
    if outcome.moved > 0 and told:
        PAYMENT_DELAY.record(max(0.0, (now - told).total_seconds()))
    return outcome


def named_of_ours(store: Store, thing: Mapping[str, Any]) -> str | None:
    """The payment of ours that a refund, dispute or charge is about, of which nothing else can be read: money may have
    gone back, and its credits stay until a person looks. None where it is about none that is known here.
    """
    payment_id = payments.payment_named(thing)
    record = store.payments.find(payment_id) if payment_id else None
    return record.payment_id if record is not None and record.source is None else None


@verb
def record_fact(store: Store, fact: Fact, *, now: datetime, named: Named = NOTHING_NAMED) -> Outcome:
    """Merge one fact into its payment and settle the ledger with it, in one transaction.

    Safe to repeat and to race: the record's version and the account's sequence are conditions of the write.
    """

    def attempt(known: Known) -> Outcome:
        if known.record is None and not isinstance(fact, SessionFact) and fact.wrong_mode:
            log.warning("an event of the wrong mode for a payment that is not known here")
            return Outcome(None)
        before = known.record or PaymentRecord(fact.payment_id)
        told = _judged(fact, known, named)
        after = payments.merge(before, told)
        if isinstance(fact, SessionFact) and after.granted and not known.account and (known.left or not fact.email):
            gone = "the account that it was bought for is gone"
            after = replace(after, granted=0, parked_reason=LEFT if known.left else gone)
        if after == before and not (known.account and before.granted and before.delta):
            return Outcome(before)
        if after.source is None or after.source == before.source:
            return _told(before, settle(store, known, after, told, now))
        outcome = settle(store, known, after, told, now, and_also=sales.kept(known.sales, after, now))
        if after.source not in known.sales:  # once for a link or product: a book may sell ten thousand times
            said = {"alert": "sale", "source": after.source, "payment_id": fact.payment_id}
            log.warning("a sale that is not ours", extra=said)
        return outcome

    def keep(known: Known) -> Outcome:
        """Keep what was told for an operator to see, and grant nothing for it."""
        before = known.record or PaymentRecord(fact.payment_id)
        merged = payments.merge(before, _judged(fact, known, named))
        after = replace(merged, granted=0, parked_reason=RECORDED_TWICE)
        if before.granted or after == before:
            return Outcome(before)
        return _told(before, settle(store, known, after, fact, now))

    try:
        outcome = optimistic(fact.payment_id, attempt, _read(store, fact), lambda _stale: _read(store, fact))
    except AlreadyRecorded:  # the session was credited under another payment id
        log.error("payment already in the ledger", extra={"payment_id": fact.payment_id})
        return optimistic(fact.payment_id, keep, _read(store, fact), lambda _stale: _read(store, fact))
    _log(fact, outcome)
    return outcome


@verb
def release(
    store: Store, source: str, *, named: Named, now: datetime, limit: int = 50, actor: str = COMMAND_LINE
) -> Released:
    """Credit what was set aside under a link or product that is named now, newest first, about `limit` payments.

    Each is a transaction of its own that looks whether the name still stands, so this may be broken off, repeated and
    run beside itself, beside the webhook and beside operators who decide one by one: each payment is credited once.
    One that cannot be credited keeps none of the others waiting.
    """
    released = credited = 0
    for record in each(lambda cursor: store.payments.list_not_ours(source, limit=limit, cursor=cursor)):
        if released >= limit:
            return Released(released, credited, more=True)
        try:
            moved = _release(store, record.payment_id, source, named, now, actor).moved
        except BalanceUnexplained:  # books check names the account
            log.error("a payment waits for an unexplained balance", extra={"payment_id": record.payment_id})
            continue
        released += moved > 0
        credited += moved
    return Released(released, credited)


def _release(store: Store, payment_id: str, source: str, named: Named, now: datetime, actor: str) -> Outcome:
    def attempt(known: Known, twice: bool = False) -> Outcome:
        record = known.record
        if record is None or not record.is_parked or record.source != source or record.origin is None:
            return Outcome(record)  # somebody was quicker
        if record.resolution or judge(record.origin, named, known.sales).source is not None:
            return Outcome(record)  # a refund was begun, the name was taken back, or it sold something else beside
        said = [sale for sale in known.sales.values() if sale.decision == OURS]
        own = [record.payer_email or "", *(known.account.addresses if known.account else ())]
        deciders = [known_as for sale in said for name in sale.deciders for known_as in by_hand.known_as(store, name)]
        if any(are_one(name, address) for name in deciders for address in own):
            return Outcome(record)  # nobody makes value for himself: another operator credits this one
        after = payments.as_ours(record)
        if twice:
            after = replace(after, granted=0, parked_reason=RECORDED_TWICE)
        fact = _fact_of(record)
        if after.granted and not known.account and (known.left or not fact.email):
            after = replace(after, granted=0, parked_reason=LEFT if known.left else "no usable e-mail address")

        def still_said(tx: Any) -> None:
            for sale in said:
                tx.sales.require(sale.source, OURS)

        by = Act(actor, "sale.credit", payment_id, now, after={"credits": after.granted, "sale": source})
        return _told(record, settle(store, known, after, fact, now, and_also=still_said, by=by))

    def read(_stale: object = None) -> Known:
        record = store.payments.find(payment_id)
        if record is None or record.origin is None:
            return Known(record, None)
        return replace(_read_payment(store, _fact_of(record)), sales=store.sales.find_many(record.origin.ids))

    try:
        outcome = optimistic(payment_id, attempt, read(), read)
    except AlreadyRecorded:  # the session was credited under another payment id
        outcome = optimistic(payment_id, lambda known: attempt(known, twice=True), read(), read)
    if outcome.record is not None:
        _log(_fact_of(outcome.record), outcome)
    return outcome


def _fact_of(record: PaymentRecord) -> SessionFact:
    """What the session of a payment that was set aside had said of its payer."""
    return SessionFact(
        record.payment_id,
        record.session_id or record.payment_id,
        record.payment_intent,
        "paid",
        email=Address(record.payer_email) if record.payer_email else None,
        customer_id=record.customer_id,
    )


def _judged(fact: Fact, known: Known, named: Named) -> Fact:
    """A session that this app did not open as one of ours, or with the link or product that it is kept under."""
    if not isinstance(fact, SessionFact) or fact.origin is None or fact.state != "paid":
        return fact
    record = known.record
    origin = fact.origin
    if origin.lines is None and record is not None and record.origin is not None:
        origin = record.origin
    if fact.parked_reason == payments.NOT_ONE_TIME:  # a subscription is somebody else's sale, also in development
        named = replace(named, unnamed_too=False)
    verdict = judge(origin, named, known.sales)
    if verdict.source is not None:
        return replace(fact, origin=origin, source=verdict.source)
    if verdict.blindly and not (record and record.granted):
        log.warning("a payment that no setting names is credited", extra={"payment_id": fact.payment_id})
    return replace(fact, origin=None)


def judged(store: Store, fact: Fact, named: Named) -> tuple[PaymentRecord | None, Fact]:
    """The payment as it is known, and the fact as `record_fact` would take it now. Changes nothing."""
    if not isinstance(fact, SessionFact) or fact.origin is None:
        return store.payments.find(fact.payment_id), fact
    known = _read(store, fact)
    return known.record, _judged(fact, known, named)


def _read(store: Store, fact: Fact) -> Known:
    """The payment, the account it is for, and what operators say of where it came from."""
    known = _read_payment(store, fact)
    if not isinstance(fact, SessionFact) or fact.origin is None:
        return known
    stored = known.record.origin if known.record else None
    ids = dict.fromkeys([*fact.origin.ids, *(stored.ids if stored else ()), ELSEWHERE])
    return replace(known, sales=store.sales.find_many(list(ids)))


def _read_payment(store: Store, fact: Fact) -> Known:
    """The payment and the account it is for: our own id first, then the e-mail address, then Stripe's customer.

    An address counts for the account that is reached there now. One that an account has left may be somebody else's by
    now, so that a person has to look, unless our own id or Stripe's customer says whose payment it is.
    """
    if not isinstance(fact, SessionFact):
        record = store.payments.find(fact.payment_id)
        return Known(record, store.accounts.find(record.user_email) if record and record.user_email else None)
    email = fact.account_email if fact.account_id else fact.email
    record, account = store.payments.find_with_account(fact.payment_id, email)
    if record and record.user_email:
        if account is None or account.email != record.user_email:
            account = store.accounts.find(record.user_email)
        return Known(record, account)
    if fact.account_id and account is not None and account.account_id == fact.account_id and not account.moved_away:
        return Known(record, account)
    if fact.account_id:
        account = store.accounts.find_holder(fact.email) if fact.email else None
    if account is not None and fact.email and at(fact.email, account):
        return Known(record, account)
    left = account is not None
    known_as = store.accounts.find_email_by_customer(fact.customer_id) if fact.customer_id else None
    account = store.accounts.find(known_as) if known_as else None
    return Known(record, account, left=left and account is None)


def settle(
    store: Store,
    known: Known,
    after: PaymentRecord,
    fact: Fact,
    now: datetime,
    and_also: Callable[[Any], None] = lambda tx: None,
    by: Act | None = None,
) -> Outcome:
    """Write the record, and beside it the ledger row, the balance and the mail that it asks for.

    `and_also` puts further writes into the same transaction; `by`: whose act it is, where Stripe has not told it.
    Raises Stale when `known` is no longer so.
    """
    account = known.account
    is_new = False
    if account is None and after.granted and isinstance(fact, SessionFact) and fact.email:
        account = Account(email=AccountKey(fact.email), account_id=new_account_id(), created_at=now)
        is_new = True
    if account is None or not after.granted:
        with transaction(store, by) as tx:
            tx.payments.save(known.record, after, now)
            and_also(tx)
        return Outcome(after)

    entry = payments.entry_for(after, account.email, known.record)
    settled = payments.settled(after, entry, account.email)
    first_grant = isinstance(fact, SessionFact) and (known.record is None or known.record.granted == 0)
    account, settings = _prepared(account, fact, first_grant)
    with transaction(store, by) as tx:
        tx.payments.save(known.record, settled, now)
        if entry is not None:
            posted, moved_account = credits.post(account, entry, now)
            tx.ledger.append_once(posted)
            if is_new:
                tx.accounts.create(replace(moved_account, **settings), failure=Stale)
            else:
                tx.accounts.move_balance(account, moved_account, unless_confirmed="link_nonces" in settings, **settings)
            webhook_events.credited(tx, account, posted, now)
            if not first_grant:
                tx.mails.enqueue(notices.clawback_or_reinstatement(settled, account, posted, now))
        elif is_new:
            tx.accounts.create(replace(account, **settings), failure=Stale)
        elif settings:
            tx.accounts.change_settings(account, unconfirmed="link_nonces" in settings, **settings)
        and_also(tx)
        if first_grant:
            tx.mails.enqueue(notices.purchase(settled, account, entry.amount if entry else 0, now))
    return Outcome(settled, entry.amount if entry else 0)


class Prepared(TypedDict, total=False):
    """What goes with a purchase."""

    stripe_customer_id: str
    password_hash: None
    sessions: Mapping[str, Session]
    link_nonces: Mapping[str, str]


def _prepared(account: Account, fact: Fact, first_grant: bool) -> tuple[Account, Prepared]:
    """Settings that go with a purchase: the Stripe customer, and a link for an account that nobody has proven.

    Pre-hijack: somebody may have signed up with the payer's address. A payment from outside a signed-in session ends
    the sessions and the password of an account whose mailbox was never proven; its owner gets a link to set one.
    """
    settings: Prepared = {}
    if not first_grant or not isinstance(fact, SessionFact):
        return account, settings
    if fact.customer_id and account.stripe_customer_id is None and account.deleted_at is None:
        settings["stripe_customer_id"] = fact.customer_id
    bought_signed_in = fact.account_id is not None and fact.account_id == account.account_id
    if not account.confirmed and not bought_signed_in:
        if account.password_hash or account.sessions:
            settings.update({"password_hash": None, "sessions": {}})  # nosec B105
            account = replace(account, password_hash=None)
        settings["link_nonces"] = {SET_PASSWORD: account.link_nonces.get(SET_PASSWORD) or new_nonce()}
    return account, settings


def _told(before: PaymentRecord, outcome: Outcome) -> Outcome:
    """The outcome; somebody has paid and waits for an operator, which rings once and not with each repeat."""
    after = outcome.record
    if after and after.is_parked and after.source is None and (before.source or not before.is_parked):
        about = {"alert": "parked", "payment_id": after.payment_id, "reason": after.parked_reason}
        log.warning("payment parked", extra=about)
    return outcome


def _log(fact: Fact, outcome: Outcome) -> None:
    record = outcome.record
    if outcome.moved and record and record.user_email:
        log.info(
            "credits moved by a payment",
            extra={
                "payment_id": fact.payment_id,
                "credits": outcome.moved,
                "email": mask_email(record.user_email),
            },
        )
