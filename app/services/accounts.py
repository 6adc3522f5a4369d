"""Signing up, in and out, and proving a mailbox."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.data import Store
from app.data.client import Stale
from app.data.outbox import Mail
from app.domain.accounts import (
    Account,
    Session,
    check_new_password,
    mask_email,
    new_account_id,
    new_session_id,
    normalise_email,
    session_key,
)
from app.domain.errors import AccountExists, AlreadyRecorded, BadCredentials, InvalidInput

from .links import CONFIRM, RESET, SET_PASSWORD, Links, check_nonce, new_nonce
from .passwords import Passwords

log = logging.getLogger(__name__)

MAIL_GRAIN = timedelta(minutes=5)  # a mail that anybody can ask for goes out at most this often


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account and the id of its new session: the only time that the id is at hand unhashed."""

    account: Account
    session_id: str


def sign_up(
    store: Store, passwords: Passwords, email: object, password: object, *, now: datetime, kind: str, label: str = ""
) -> SignedIn:
    """Make an account with no credits, sign it in, and promise a mail that confirms the mailbox.

    Raises InvalidInput, and AccountExists for a taken address: nothing of that account changes, and if a payment made
    it and it has no password yet, its owner is mailed a link to set one.
    """
    address = normalise_email(email)
    chosen = check_new_password(password, address)
    session_id = new_session_id()
    session = Session(session_key(session_id), kind, now, now, label)
    account = Account(
        email=address,
        account_id=new_account_id(),
        created_at=now,
        password_hash=passwords.hash(chosen),
        sessions={session.key: session},
        link_nonces={CONFIRM: new_nonce()},
    )
    try:
        with store.transaction() as tx:
            tx.create_account(account)
            tx.enqueue_mail(Mail(f"confirm#{account.account_id}", "confirm", address, now))
    except AccountExists:
        existing = store.find_account(address)
        if existing and session.key in existing.sessions:  # our own write, whose answer was lost on the way
            return SignedIn(existing, session_id)
        if existing and existing.password_hash is None:
            _mail_link(store, existing, SET_PASSWORD, now)
        log.info("sign-up refused: address taken", extra={"email": mask_email(address)})
        raise
    log.info("signed up", extra={"email": mask_email(address)})
    return SignedIn(account, session_id)


def sign_in(
    store: Store, passwords: Passwords, email: object, password: object, *, now: datetime, kind: str, label: str = ""
) -> SignedIn:
    """Open a new session. Raises BadCredentials, the same in text and time whatever is wrong."""
    try:
        address = normalise_email(email)
    except InvalidInput:
        address = ""
    account = store.find_account(address) if address else None
    given = password if isinstance(password, str) else ""
    matches = passwords.matches(given, account.password_hash if account else None)
    if account is None or not matches or account.disabled:
        log.warning("sign-in refused", extra={"email": mask_email(address)})
        raise BadCredentials
    settings = {}
    if account.password_hash and passwords.is_outdated(account.password_hash):
        settings["password_hash"] = passwords.hash(given)
    session_id = new_session_id()
    session = Session(session_key(session_id), kind, now, now, label)
    try:
        account = store.add_session(account, session, now, **settings)
    except Stale as error:  # disabled in this moment
        raise BadCredentials from error
    log.info("signed in", extra={"email": mask_email(address), "kind": kind})
    return SignedIn(account, session_id)


def sign_out(store: Store, account: Account, session_id: str) -> None:
    """End one session at the server. Safe to repeat."""
    store.remove_session(account.email, session_key(session_id))
    log.info("signed out", extra={"email": mask_email(account.email)})


def set_password(
    store: Store, passwords: Passwords, links: Links, token: str, password: object, *, purpose: str, now: datetime
) -> SignedIn:
    """Set the password that a mailed link allows, end every other session, and sign in.

    Following the link proves the mailbox. Raises LinkExpired and InvalidInput; the link works once.
    """
    account, nonce = account_of_link(store, links, token, purpose)
    chosen = check_new_password(password, account.email)
    session_id = new_session_id()
    session = Session(session_key(session_id), "browser", now, now)
    updated = replace(account, sessions={session.key: session})
    used = (SET_PASSWORD, RESET, CONFIRM)
    store.set_password(updated, passwords.hash(chosen), used=used, nonce=(purpose, nonce), now=now)
    log.info("password set by link", extra={"email": mask_email(account.email)})
    return SignedIn(store.get_account(account.email), session_id)


def account_of_link(store: Store, links: Links, token: str, purpose: str) -> tuple[Account, str]:
    """The account that a live link belongs to, and the link's nonce. Raises LinkExpired."""
    email, nonce = links.email_of(token, purpose)
    return check_nonce(store.find_account(email), purpose, nonce), nonce


def confirm_mailbox(store: Store, links: Links, token: str, *, now: datetime) -> Account:
    """Mark the mailbox proven. Raises LinkExpired; the link works once."""
    account, nonce = account_of_link(store, links, token, CONFIRM)
    store.confirm_mailbox(account.email, (CONFIRM, nonce), now)
    log.info("mailbox confirmed", extra={"email": mask_email(account.email)})
    return account


def ask_for_link(store: Store, email: object, *, now: datetime) -> None:
    """Mail a link to set or reset the password. Says nothing about whether there is such an account."""
    try:
        account = store.find_account(normalise_email(email))
    except InvalidInput:
        return
    if account is not None and not account.disabled:
        _mail_link(store, account, RESET if account.password_hash else SET_PASSWORD, now)


def resend_confirmation(store: Store, account: Account, *, now: datetime) -> None:
    if not account.confirmed:
        _mail_link(store, account, CONFIRM, now)


def _mail_link(store: Store, account: Account, purpose: str, now: datetime) -> None:
    """Renew the link of this purpose and promise its mail, at most one in five minutes."""
    slot = int(now.timestamp() // MAIL_GRAIN.total_seconds())
    try:
        with store.transaction() as tx:
            tx.enqueue_mail(Mail(f"{purpose}#{account.account_id}#{slot}", purpose, account.email, now))
            tx.change_settings(account.email, **{f"link_nonces.{purpose}": new_nonce()})
    except AlreadyRecorded:
        log.info("link mail held back: one was sent just now", extra={"email": mask_email(account.email)})
