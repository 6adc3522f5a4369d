"""Changing the e-mail address of an account: asked for with the password, agreed to in both mailboxes."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from datetime import datetime
from math import ceil
from typing import Protocol

from app.data import Store
from app.data.client import Stale
from app.domain.accounts import (
    BROWSER,
    LINK_REST,
    MOST_CHANGES,
    MOST_LEFT,
    Account,
    Address,
    AddressChange,
    LinkMails,
    Session,
    mask_email,
    new_session_id,
    normalise_email,
    session_key,
)
from app.domain.audit import CHANGE_ADDRESS
from app.domain.clock import to_iso
from app.domain.errors import AccountExists, DomainError, InvalidInput, LinkExpired, RateLimited, WrongState
from app.domain.mails import Mail, context_of
from app.telemetry.spans import verb

from .accounts import SignedIn
from .acting import Act, acting
from .links import Links, new_nonce

log = logging.getLogger(__name__)

ADDRESS = "address"  # the purpose that its mails are counted under
NOT_CONFIRMED = "Confirm your present address first: the link is in your mailbox."


class Stripe(Protocol):
    """What this module asks of the gateway."""

    def change_customer_email(self, customer_id: str, email: str) -> None: ...


def check_new_address(store: Store, account: Account, wanted: object) -> Address:
    """The address as it would be kept. Raises InvalidInput, AccountExists for one of another account, also one that
    account has left, and WrongState for an account that has had too many.

    Whoever asks learns what sign-up tells as well (decision 8), under the same limit.
    """
    to = normalise_email(wanted)
    if to == account.address:
        raise InvalidInput("This is your address already.", field="new_email")
    if to in account.addresses:
        return to
    if store.accounts.find_holder(to) is not None:
        log.info("address not changed: taken", extra={"email": mask_email(to)})
        raise AccountExists("There is already an account with this e-mail address.")
    if len(account.left_addresses) >= MOST_LEFT:
        raise WrongState("This account has had too many addresses. Write to us, or go back to one that it had.")
    return to


@verb
def ask(store: Store, account: Account, wanted: object, *, label: str, now: datetime) -> AddressChange:
    """Mail a link to the new mailbox and one to the present one; a request that waits already is replaced.

    The password was checked by the caller, and nothing changes before both have agreed. Raises what `check_new_address`
    does, WrongState for an account whose present address nobody has confirmed, and RateLimited: each request mails two
    mailboxes, of which one may be anybody's.
    """
    to = check_new_address(store, account, wanted)
    if not account.confirmed:
        raise WrongState(NOT_CONFIRMED)
    mails = account.link_mails.get(ADDRESS, LinkMails()).and_one_more(now)
    if mails.in_a_row > MOST_CHANGES:
        raise RateLimited(_rest(account, now), "You have asked to change your address many times.")
    change = AddressChange(to, now, label, new_nonce(), new_nonce(), account.session_version)

    def attempt(current: Account) -> None:
        if current.session_version != account.session_version or current.address != account.address:
            raise WrongState("Your account was changed meanwhile. Look at it again, then ask once more.")
        context, cause = context_of(current, change), f"{current.account_id}#{to_iso(now)}"
        with store.transaction() as tx:
            tx.accounts.ask_for_address(current, change, mails, now)
            tx.mails.enqueue(Mail(f"address_new#{cause}", "address_new", to, now, context))
            tx.mails.enqueue(Mail(f"address_present#{cause}", "address_present", current.address, now, context))

    store.accounts.decide(account, attempt)
    log.info("change of address asked for", extra={"email": mask_email(account.address), "to": mask_email(to)})
    return change


def _rest(account: Account, now: datetime) -> int:
    last = account.link_mails[ADDRESS].last_at or now
    return ceil((last + LINK_REST - now).total_seconds())


@verb
def cancel(store: Store, account: Account) -> None:
    """Drop the request that waits, whose links are dead then. Safe to repeat."""

    def attempt(current: Account) -> None:
        if current.address_change is not None:
            with store.transaction() as tx:
                tx.accounts.change_settings(current, still="address_change", address_change=None)

    store.accounts.decide(account, attempt)
    log.info("change of address cancelled", extra={"email": mask_email(account.address)})


def request_of(store: Store, links: Links, token: str, now: datetime) -> tuple[Account, AddressChange, bool]:
    """Of a link to agree by: whose request, and whether the link is that of the new mailbox. Raises LinkExpired."""
    account_id, nonce, to = links.read_change(token)
    account, change = _standing(store, account_id, to, now)
    for_new = secrets.compare_digest(change.to_nonce, nonce)
    if not for_new and not secrets.compare_digest(change.from_nonce, nonce):
        raise LinkExpired
    return account, change, for_new


def _standing(store: Store, account_id: str, to: Address, now: datetime) -> tuple[Account, AddressChange]:
    account = store.accounts.find_by_id(account_id)
    change = account.change_that_stands(now) if account else None
    if account is None or change is None or change.to != to:
        raise LinkExpired
    return account, change


def is_done(links: Links, token: str, who: Account) -> bool:
    """Whether the link asked for what is so by now: it was used, and nothing is left to do."""
    try:
        account_id, _, to = links.read_change(token)
    except LinkExpired:
        return False
    return who.account_id == account_id and who.address == to


@verb
def agree(
    store: Store, links: Links, token: str, *, signed_in_as: Account, session: Session, now: datetime
) -> SignedIn | None:
    """Note that the mailbox of this link agrees; with the second one the address changes, and the new session is
    returned: every other has ended, and so has every mailed link.

    Only for who is signed in to the account: a stranger's click, or a mail scanner's, moves nobody's account to a
    mailbox. Safe to repeat. Raises LinkExpired, and AccountExists when the address has become another account's.
    """
    account, request, for_new = request_of(store, links, token, now)
    asked = request.to_nonce
    if account.email != signed_in_as.email:
        raise LinkExpired

    def attempt(current: Account) -> SignedIn | None:
        change = current.change_that_stands(now)
        if change is None or change.to_nonce != asked:
            raise LinkExpired
        noted = _noted(change, for_new, now)
        if noted.agreed:
            return _move(store, current, noted, session, now)
        with store.transaction() as tx:
            tx.accounts.change_settings(current, confirmed=True, still="address_change", address_change=noted)
        return None

    try:
        return store.accounts.decide(account, attempt)
    except AccountExists:
        cancel(store, account)
        raise


def _noted(change: AddressChange, for_new: bool, now: datetime) -> AddressChange:
    if for_new:
        return replace(change, to_agreed_at=change.to_agreed_at or now)
    return replace(change, from_agreed_at=change.from_agreed_at or now)


def _move(store: Store, account: Account, change: AddressChange, session: Session, now: datetime) -> SignedIn:
    session_id = new_session_id()
    fresh = Session(session_key(session_id), BROWSER, now, now, session.label, session.mfa_at)
    try:
        _write(store, account, change, fresh, now)
    except AccountExists:
        holder = store.accounts.find_holder(change.to)
        if holder is not None and holder.email == account.email:  # both links were opened at once
            raise Stale from None
        raise
    log.warning("address changed", extra={"email": mask_email(account.address), "to": mask_email(change.to)})
    return SignedIn(store.accounts.get(account.email), session_id)


def _write(store: Store, account: Account, change: AddressChange, session: Session, now: datetime) -> None:
    context, cause = context_of(account, change), f"{account.account_id}#{to_iso(change.asked_at)}"
    before, after = {"address": account.address}, {"address": change.to}
    act = Act(account.email, CHANGE_ADDRESS, account.email, now, before=before, after=after)
    with acting(store, act) as tx:
        tx.accounts.move_address(account, change, session, now)
        tx.mails.enqueue(Mail(f"address_changed#{cause}#new", "address_changed", change.to, now, context))
        tx.mails.enqueue(Mail(f"address_changed#{cause}#left", "address_changed", account.address, now, context))


@verb
def refuse(store: Store, links: Links, token: str, *, now: datetime) -> Account:
    """By the link in the present mailbox: drop the request and end every session and API key, as whoever asked had the
    password.

    Raises LinkExpired, also for a repeat: then nothing is left to drop.
    """
    account = account_to_refuse(store, links, token, now)
    refused = account.address_change

    def attempt(current: Account) -> None:
        change = current.change_that_stands(now)
        if change is None or refused is None or change.from_nonce != refused.from_nonce:
            raise LinkExpired
        with store.transaction() as tx:
            tx.accounts.change_settings(
                current, still="address_change", address_change=None, sessions={}, api_keys=None, webhooks=None
            )

    store.accounts.decide(account, attempt)
    log.warning("change of address refused", extra={"email": mask_email(account.address)})
    return account


def account_to_refuse(store: Store, links: Links, token: str, now: datetime) -> Account:
    """Raises LinkExpired."""
    account_id, nonce, to = links.read_change(token, refuse=True)
    account, change = _standing(store, account_id, to, now)
    if not secrets.compare_digest(change.from_nonce, nonce):
        raise LinkExpired
    return account


def tell_stripe(store: Store, stripe: Stripe | None, account: Account) -> None:
    """Let Stripe's customer have the present address. Safe to repeat; a failure is logged, and the next purchase tries
    again: nothing of ours goes by what Stripe has.
    """
    if not account.stripe_behind or stripe is None or account.stripe_customer_id is None:
        return
    try:
        stripe.change_customer_email(account.stripe_customer_id, account.address)
        store.updates.accounts.told_stripe(account)
    except DomainError as error:
        log.warning(
            "Stripe keeps the address of before", extra={"email": mask_email(account.address), "why": error.code}
        )
