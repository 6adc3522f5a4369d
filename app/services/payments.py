"""Payments: what Stripe tells us becomes credits, exactly once, whatever the order and however often it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.data import Store
from app.data.client import Stale
from app.data.transaction import optimistic
from app.domain import credits, payments
from app.domain.accounts import Account, mask_email, new_account_id
from app.domain.errors import AlreadyRecorded
from app.domain.payments import Fact, PaymentRecord, SessionFact

from . import notices
from .links import SET_PASSWORD, new_nonce

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What recording a fact did: the record as it stands, and the credits that moved now (0 for a repeat)."""

    record: PaymentRecord | None
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a payment; `account` is None for a payer who has none yet."""

    record: PaymentRecord | None
    account: Account | None


def handle_event(store: Store, event: Mapping[str, Any], *, livemode: bool, now: datetime) -> Outcome:
    """Record what a verified Stripe event says. Repeats and unknown types change nothing. Raises InvalidPayload."""
    fact = payments.fact_of_event(event, livemode=livemode)
    if fact is None:
        if event.get("type") in payments.READERS:  # perhaps a status that is newer than this code
            log.warning("a Stripe event says nothing that is known here", extra={"type": event["type"]})
        return Outcome(None)
    return record_fact(store, fact, now=now)


def record_fact(store: Store, fact: Fact, *, now: datetime) -> Outcome:
    """Merge one fact into its payment and settle the ledger with it, in one transaction.

    Safe to repeat and to race: the record's version and the account's sequence are conditions of the write.
    """

    def attempt(known: Known) -> Outcome:
        if known.record is None and not isinstance(fact, SessionFact) and fact.wrong_mode:
            log.warning("an event of the wrong mode for a payment that is not known here")
            return Outcome(None)
        before = known.record or PaymentRecord(fact.payment_id)
        after = payments.merge(before, fact)
        if isinstance(fact, SessionFact) and after.granted and not known.account and not fact.email:
            after = replace(after, granted=0, parked_reason="the account that it was bought for is gone")
        if after == before and not (known.account and before.granted and before.delta):
            return Outcome(before)
        return settle(store, known, after, fact, now)

    def set_aside(known: Known) -> Outcome:
        """Keep what was told for an operator to see, and grant nothing for it."""
        before = known.record or PaymentRecord(fact.payment_id)
        merged = payments.merge(before, fact)
        after = replace(merged, granted=0, parked_reason="its session stands in the ledger under another payment")
        if before.granted or after == before:
            return Outcome(before)
        return settle(store, known, after, fact, now)

    try:
        outcome = optimistic(fact.payment_id, attempt, _read(store, fact), lambda _stale: _read(store, fact))
    except AlreadyRecorded:  # the session was credited under another payment id
        log.error("payment already in the ledger", extra={"payment_id": fact.payment_id})
        return optimistic(fact.payment_id, set_aside, _read(store, fact), lambda _stale: _read(store, fact))
    _log(fact, outcome)
    return outcome


def _read(store: Store, fact: Fact) -> Known:
    """The payment and the account it is for: our own id first, then the e-mail address, then Stripe's customer."""
    if not isinstance(fact, SessionFact):
        record = store.find_payment(fact.payment_id)
        return Known(record, store.find_account(record.user_email) if record and record.user_email else None)
    email = fact.account_email if fact.account_id else fact.email
    record, account = store.find_payment_and_account(fact.payment_id, email)
    if record and record.user_email:
        if account is None or account.email != record.user_email:
            account = store.find_account(record.user_email)
        return Known(record, account)
    if fact.account_id and (account is None or account.account_id != fact.account_id):
        account = store.find_account(fact.email) if fact.email else None
    if account is None and fact.customer_id:
        known_as = store.find_email_by_customer(fact.customer_id)
        account = store.find_account(known_as) if known_as else None
    return Known(record, account)


def settle(
    store: Store,
    known: Known,
    after: PaymentRecord,
    fact: Fact,
    now: datetime,
    and_also: Callable[[Any], None] = lambda tx: None,
) -> Outcome:
    """Write the record, and beside it the ledger row, the balance and the mail that it asks for.

    `and_also` puts further writes into the same transaction. Raises Stale when `known` is no longer so.
    """
    account = known.account
    is_new = False
    if account is None and after.granted and isinstance(fact, SessionFact) and fact.email:
        account = Account(email=fact.email, account_id=new_account_id(), created_at=now)
        is_new = True
    if account is None or not after.granted:
        with store.transaction() as tx:
            tx.save_payment(known.record, after, now)
        return Outcome(after)

    entry = payments.entry_for(after, account.email)
    settled = payments.settled(after, entry, account.email)
    first_grant = isinstance(fact, SessionFact) and (known.record is None or known.record.granted == 0)
    account, settings = _prepared(account, fact, first_grant)
    with store.transaction() as tx:
        tx.save_payment(known.record, settled, now)
        if entry is not None:
            posted, moved_account = credits.post(account, entry, now)
            tx.record_once(posted)
            if is_new:
                tx.create_account(replace(moved_account, **settings), failure=Stale)
            else:
                tx.move_balance(account, moved_account, unless_confirmed="link_nonces" in settings, **_paths(settings))
            if not first_grant:
                tx.enqueue_mail(notices.correction(settled, posted, now))
        elif is_new:
            tx.create_account(replace(account, **settings), failure=Stale)
        elif settings:
            tx.change_settings(account, **_paths(settings))
        and_also(tx)
        if first_grant:
            tx.enqueue_mail(notices.purchase(settled, account, entry.amount if entry else 0, now))
    return Outcome(settled, entry.amount if entry else 0)


def _prepared(account: Account, fact: Fact, first_grant: bool) -> tuple[Account, dict[str, Any]]:
    """Settings that go with a purchase: the Stripe customer, and a link for an account that nobody has proven.

    Pre-hijack: somebody may have signed up with the payer's address. A payment from outside a signed-in session ends
    the sessions and the password of an account whose mailbox was never proven; its owner gets a link to set one.
    """
    settings: dict[str, Any] = {}
    if not first_grant or not isinstance(fact, SessionFact):
        return account, settings
    if fact.customer_id and account.stripe_customer_id is None and account.deleted_at is None:
        settings["stripe_customer_id"] = fact.customer_id
    bought_signed_in = fact.account_id is not None and fact.account_id == account.account_id
    if not account.confirmed and not bought_signed_in:
        if account.password_hash or account.sessions:
            settings |= {"password_hash": None, "sessions": {}}  # nosec B105
            account = replace(account, password_hash=None)
        settings["link_nonces"] = {SET_PASSWORD: account.link_nonces.get(SET_PASSWORD) or new_nonce()}
    return account, settings


def _paths(settings: dict[str, Any]) -> dict[str, Any]:
    """As attributes of a row that others write to at the same time: one nonce is set, the other links stay."""
    nonces = settings.get("link_nonces", {})
    plain = {name: value for name, value in settings.items() if name != "link_nonces"}
    return plain | {f"link_nonces.{purpose}": nonce for purpose, nonce in nonces.items()}


def _log(fact: Fact, outcome: Outcome) -> None:
    record = outcome.record
    if record and record.is_parked and isinstance(fact, SessionFact):
        log.warning("payment parked", extra={"payment_id": fact.payment_id, "reason": record.parked_reason})
    elif outcome.moved and record and record.user_email:
        log.info(
            "credits moved by a payment",
            extra={
                "payment_id": fact.payment_id,
                "credits": outcome.moved,
                "email": mask_email(record.user_email),
            },
        )
