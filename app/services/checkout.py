"""Selling packs: open a Checkout Session, and credit it when the buyer is back before the webhook."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

from app.config import Pack
from app.data import Store
from app.domain import payments as facts
from app.domain.accounts import Account, mask_email
from app.domain.clock import from_iso, to_iso
from app.domain.errors import (
    AlreadyRecorded,
    BalanceUnexplained,
    IdempotencyKeyReused,
    InvalidPayload,
    NotFound,
    PaymentsUnavailable,
)
from app.domain.sales import Named
from app.domain.tasks import check_idempotency_key
from app.telemetry.spans import verb

from . import addresses, payments

log = logging.getLogger(__name__)

MAX_SESSION_ID = 255
WAITING, ADDED, FAILED, EXPIRED = "waiting", "added", "failed", "expired"
HELD = "held"  # paid, and parked for an operator
CHECKOUT = "checkout"  # what an opened session is kept under
# https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at: open for 24 hours, as Stripe
# keeps an idempotency key.
OPEN_FOR = timedelta(hours=23)


class Stripe(Protocol):
    """What this module asks of the gateway."""

    def ensure_customer(self, account_id: str, email: str) -> str: ...

    def change_customer_email(self, customer_id: str, email: str) -> None: ...

    @property
    def create_checkout(self) -> Callable[..., dict[str, Any]]: ...

    @property
    def create_guest_checkout(self) -> Callable[..., dict[str, Any]]: ...

    def get_session(self, session_id: str) -> dict[str, Any]: ...

    def receipt_url(self, payment_intent: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Purchase:
    """How a Checkout Session stands, as its buyer is told."""

    state: str
    credits_added: int = 0
    asked: bool = True  # False: Stripe does not answer now


@dataclass(frozen=True, slots=True)
class Opened:
    """Stripe's page for a pack. `replayed`: it was open already."""

    url: str
    replayed: bool = False


@verb
def open_session(
    store: Store,
    stripe: Stripe,
    account: Account,
    pack: Pack,
    *,
    idempotency_key: str,
    app_url: str,
    now: datetime,
    before_asking: Callable[[], None] = lambda: None,
) -> Opened:
    """The address of Stripe's page for this pack. A repeat with the same idempotency key is the same session, for as
    long as Stripe keeps it open, and asks nobody; `before_asking` is called before Stripe is, and may refuse.

    Raises IdempotencyKeyReused (the key was another pack's, within 30 days), PaymentsUnavailable, and
    BalanceUnexplained: credits could not be added now. Nothing is charged here: that is between the buyer and Stripe.
    """
    check_idempotency_key(idempotency_key)
    first = store.once.find(account.account_id, CHECKOUT, idempotency_key)
    if first and (url := _still_open(first, pack, now)):
        return Opened(url, replayed=True)
    if account.unexplained:
        raise BalanceUnexplained
    before_asking()
    opened_at = to_iso(now)
    if first is None:
        try:
            with store.transaction() as tx:  # before Stripe is asked: of two packs under one key the first counts
                tx.once.keep_first(account.account_id, CHECKOUT, idempotency_key, [pack.pack_id, "", opened_at], now)
        except AlreadyRecorded:  # sent twice at once
            first = store.once.find(account.account_id, CHECKOUT, idempotency_key)
            if first and (url := _still_open(first, pack, now)):
                return Opened(url, replayed=True)
    customer_id = account.stripe_customer_id
    if customer_id is None:
        customer_id = stripe.ensure_customer(account.account_id, account.address)
        store.updates.accounts.change(account, visible=False, stripe_customer_id=customer_id)
    addresses.tell_stripe(store, stripe, account)
    session = stripe.create_checkout(
        account_id=account.account_id,
        email=account.address,
        known_as=account.email,
        customer_id=customer_id,
        pack_id=pack.pack_id,
        credits=pack.credits,
        price_cents=pack.price_cents,
        idempotency_key=_key_at_stripe(account, idempotency_key, first),
        success_url=f"{app_url}/credits/return?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{app_url}/credits",
        product_name=f"{pack.credits:,} ImpacterAGI credits",
    )
    url = str(session["url"])
    with store.transaction() as tx:
        tx.once.keep(account.account_id, CHECKOUT, idempotency_key, [pack.pack_id, url, opened_at], now)
    store.updates.heartbeats.note_checkout(now)
    log.info("checkout opened", extra={"email": mask_email(account.email), "pack": pack.pack_id})
    return Opened(url)


def _still_open(first: list[Any], pack: Pack, now: datetime) -> str | None:
    """The page that was opened under this key, if its buyer can still pay there. Raises IdempotencyKeyReused."""
    pack_id, url, opened_at = first
    if pack_id != pack.pack_id:
        raise IdempotencyKeyReused("This idempotency key was used before for another pack. No checkout was opened.")
    return url if url and now - from_iso(opened_at) < OPEN_FOR else None


def _key_at_stripe(account: Account, idempotency_key: str, first: list[Any] | None) -> str:
    """Bound to the account, and of a form that Stripe takes, whatever a client has sent. A session that has run out is
    followed by another one, which whoever repeats it at the same time gets as well.
    """
    run_out = first[2] if first and first[1] else ""
    return "checkout-" + sha256("\n".join((account.account_id, idempotency_key, run_out)).encode()).hexdigest()


def open_guest_session(stripe: Stripe, pack: Pack, *, browser: str, idempotency_key: str, app_url: str) -> str:
    """The address of Stripe's page for somebody without an account. One browser's idempotency key opens one session.

    Whose credits they are is told by the address that the payer gives to Stripe. Raises PaymentsUnavailable. It is not
    counted for the silence alarm: anybody may open such a page and leave it.
    """
    check_idempotency_key(idempotency_key)
    session = stripe.create_guest_checkout(
        pack_id=pack.pack_id,
        credits=pack.credits,
        price_cents=pack.price_cents,
        idempotency_key=f"guest-{sha256(f'{browser} {idempotency_key} {pack.pack_id}'.encode()).hexdigest()}",
        success_url=f"{app_url}/buy/return?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{app_url}/",
        product_name=f"{pack.credits:,} ImpacterAGI credits",
    )
    log.info("checkout opened for a guest", extra={"pack": pack.pack_id})
    return str(session["url"])


def receipt(store: Store, stripe: Stripe, account: Account, payment_id: str) -> str:
    """The address of Stripe's own receipt, for the payer's eyes only. Raises NotFound, PaymentsUnavailable."""
    record = store.payments.find(payment_id) if 0 < len(payment_id.encode()) <= MAX_SESSION_ID else None
    if record is None or record.user_email != account.email or record.payment_intent is None:
        raise NotFound
    address = record.receipt_url or stripe.receipt_url(record.payment_intent)
    if address is None:
        raise NotFound("Stripe has no receipt for this payment yet.")
    return address


def look_up_guest(
    store: Store,
    stripe: Stripe,
    session_id: str,
    *,
    livemode: bool,
    now: datetime,
    named: Named,
    before_asking: Callable[[], None] = lambda: None,
    only_looking: bool = False,
) -> str:
    """How a session stands that was opened without an account; fulfils it when it is paid and no webhook has come,
    unless `only_looking`.

    The answer never says whose account it was, nor whether there had been one. `before_asking` may refuse, with
    RateLimited, to ask Stripe. Raises NotFound for what is no session of ours, and for one of a customer who was signed
    in: that one has a page of its own.
    """
    if not 0 < len(session_id) <= MAX_SESSION_ID or not session_id.isascii():
        raise NotFound
    if store.ledger.find(f"purchase#{session_id}") is not None:
        return ADDED
    before_asking()
    try:
        session = stripe.get_session(session_id)
    except PaymentsUnavailable:
        return WAITING
    metadata = session.get("metadata") or {}
    if not isinstance(metadata, dict) or "account_id" in metadata:
        raise NotFound
    if session.get("status") == "expired":
        return EXPIRED
    if session.get("status") != "complete" or only_looking:
        return WAITING
    return _fulfil_guest(store, session, livemode=livemode, now=now, named=named)


def _fulfil_guest(store: Store, session: dict[str, Any], *, livemode: bool, now: datetime, named: Named) -> str:
    try:
        fact = facts.session_fact(session, livemode)
    except InvalidPayload:
        raise NotFound from None
    outcome = payments.record_fact(store, fact, now=now, named=named)
    record = outcome.record
    if outcome.moved:
        store.updates.heartbeats.note_checkout(now)  # paid, and not by a webhook: three of those are worth an alarm
    if record is None:
        return WAITING
    if record.source is not None:  # a book that was sold by the same Stripe account
        raise NotFound
    if record.granted:
        return ADDED
    if record.is_parked:
        return HELD
    return FAILED if record.state == "failed" else WAITING


def look_up(
    store: Store,
    stripe: Stripe,
    account: Account,
    session_id: str,
    *,
    livemode: bool,
    now: datetime,
    only_looking: bool = False,
) -> Purchase:
    """How the session stands; fulfils it when it is paid and the webhook has not come, unless `only_looking`.

    The same function as the webhook's records it, so whichever comes second changes nothing. Raises NotFound for a
    session of somebody else.
    """
    if not 0 < len(session_id) <= MAX_SESSION_ID:
        raise NotFound
    entry = store.ledger.find(f"purchase#{session_id}")
    if entry is not None:
        if entry.user_email != account.email:
            raise NotFound
        return Purchase(ADDED, entry.amount)
    try:
        session = stripe.get_session(session_id)
    except PaymentsUnavailable:
        return Purchase(WAITING, asked=False)
    metadata = session.get("metadata") or {}
    if metadata.get("account_id") != account.account_id:
        raise NotFound
    if session.get("status") == "expired":
        return Purchase(EXPIRED)
    if only_looking:
        return Purchase(WAITING)
    return _fulfil(store, session, livemode=livemode, now=now)


def _fulfil(store: Store, session: dict[str, Any], *, livemode: bool, now: datetime) -> Purchase:
    if session.get("status") != "complete":
        return Purchase(WAITING)
    try:
        fact = facts.session_fact(session, livemode)
    except InvalidPayload:
        return Purchase(WAITING)
    outcome = payments.record_fact(store, fact, now=now)
    record = outcome.record
    if record is not None and record.granted:
        return Purchase(ADDED, facts.target(record))
    if record is not None and record.state == "failed":
        return Purchase(FAILED)
    return Purchase(WAITING)
