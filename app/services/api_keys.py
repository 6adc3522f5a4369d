"""API keys: made by the owner of an account, ended by the owner or an operator, and asked for at each request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from app.data import Store
from app.data.client import Stale
from app.data.store import Transaction
from app.domain.accounts import Account, AccountKey, Session, mask_email
from app.domain.api_keys import (
    MAX_KEYS,
    QUEUE_WORK,
    ApiKey,
    KeyWishes,
    is_of,
    is_whole,
    key_id_of,
    new_key,
)
from app.domain.clock import to_iso
from app.domain.errors import (
    AddressUnconfirmed,
    AlreadyRecorded,
    InvalidInput,
    KeyRefused,
    NotFound,
    NotSignedIn,
    OperatorNotProven,
    StoreUnavailable,
    WrongState,
)
from app.domain.mails import Mail
from app.domain.tasks import check_reason
from app.telemetry.spans import verb

from . import webhook_events
from .account_notices import changed
from .acting import Act

log = logging.getLogger(__name__)

ENDED_LISTED = 50

NOT_WHOLE = (
    "That is no API key of ours, or not the whole of one: a key has 47 characters, of which the last are a check."
)


def let_in(store: Store, secret: str, *, now: datetime) -> tuple[Account, ApiKey]:
    """The account that a key opens, and the key. Two consistent reads: what was revoked is dead in every worker.

    Raises NotSignedIn; KeyRefused to who holds the whole of one that was ours.
    """
    if not is_whole(secret):
        raise NotSignedIn(NOT_WHOLE)
    key = store.api_keys.find(key_id_of(secret))
    if key is None or not is_of(secret, key):
        raise NotSignedIn("There is no such API key.")
    account = store.accounts.find(key.user_email)
    if key.expired(now):
        raise KeyRefused(f"This API key ran out on {key.expires_at:%Y-%m-%d}. Make a new one under Account, API keys.")
    if account is None or not key.is_named_by(account):
        raise KeyRefused
    return account, key


@verb
def note_used(store: Store, account: Account, key: ApiKey, *, now: datetime) -> None:
    """Once an hour at most, and with it the mail that a key in use will run out; a program does not wait for it."""
    with suppress(StoreUnavailable, AlreadyRecorded, Stale):  # others note it at the same time
        store.updates.api_keys.note_used(key, now)
        if key.is_to_be_told_of(now):
            _tell_of_the_end(store, account, key, now)


def _tell_of_the_end(store: Store, account: Account, key: ApiKey, now: datetime) -> None:
    """Once for each key. Raises AlreadyRecorded."""
    about = {"name": key.name, "expires_at": to_iso(key.expires_at or now)}
    with store.transaction() as tx:
        tx.api_keys.note_warned(key, now)
        tx.mails.enqueue(Mail(f"key_runs_out#{key.key_id}", "key_runs_out", account.address, now, about))


def named(store: Store, account: Account) -> list[ApiKey]:
    """Its keys that have not ended, also those that have run out, newest first. One read, none where it has none."""
    found = (key for key in store.api_keys.find_many(sorted(account.api_keys)) if key.is_named_by(account))
    return sorted(found, key=lambda key: (key.created_at, key.key_id), reverse=True)


def alive(store: Store, account: Account, *, now: datetime) -> list[ApiKey]:
    """Those of them that open something."""
    return [key for key in named(store, account) if not key.expired(now)]


def listed(store: Store, account: Account, *, now: datetime) -> tuple[list[ApiKey], list[ApiKey]]:
    """All that are alive, and the newest that have ended or run out."""
    found = store.api_keys.of(account)
    return (
        [key for key in found if key.is_alive(account, now)],
        [key for key in found if not key.is_alive(account, now)][:ENDED_LISTED],
    )


@verb
def make(store: Store, account: Account, wanted: KeyWishes, session: Session, *, now: datetime) -> tuple[ApiKey, str]:
    """A key, and its secret: the only time that it is at hand. Its owner is told by mail.

    The password was checked by the caller. The name is taken by no other key that is alive, so that a form which is
    sent twice makes one. Raises InvalidInput, WrongState beyond MAX_KEYS, AddressUnconfirmed, and OperatorNotProven for
    the scope of an operator in a session without a second factor, also where operators' sessions need none.
    """
    works = QUEUE_WORK in wanted.scopes
    if works and session.mfa_at is None:
        raise OperatorNotProven("An operator's key is made in a session that has proven a second factor.")
    key, secret = new_key(account, wanted, now)
    about = {"key": key.key_id, "name": key.name, "scopes": sorted(key.scopes)}
    act = Act(account.email, "key.create", account.email, now, after=about) if works else None
    what = f"The API key “{key.name}” was made. Whoever holds it may: {', '.join(sorted(key.scopes))}."

    def attempt(current: Account) -> None:
        if not current.confirmed:
            raise AddressUnconfirmed
        if current.session_version != account.session_version or current.disabled or current.deleted_at:
            raise NotSignedIn
        if works and not current.is_operator:
            raise InvalidInput("Only an operator's key can work the queue.", field="scopes")
        others = alive(store, current, now=now)
        if len(others) >= MAX_KEYS:
            raise WrongState(f"An account has at most {MAX_KEYS} API keys. Revoke one that is no longer used.")
        if any(other.name.casefold() == key.name.casefold() for other in others):
            raise InvalidInput("You have a key of this name already. Revoke it first, or take another.", field="name")
        named = frozenset({key.key_id, *(other.key_id for other in others)})

        def add(tx: Transaction) -> None:
            tx.api_keys.add(key)
            tx.accounts.change_settings(current, confirmed=True, same_sessions=True, still="api_keys", api_keys=named)

        changed(store, current, what, now, add, act)

    store.accounts.decide(account, attempt)
    log.info("API key made", extra={"email": mask_email(account.email), "key_id": key.key_id})
    return key, secret


@verb
def revoke(store: Store, account: Account, key_id: str, *, now: datetime) -> ApiKey:
    """By its owner: dead at the next request. Safe to repeat. Raises NotFound."""
    key = find_own(store, account, key_id)

    def attempt(current: Account) -> None:
        if key.key_id in current.api_keys:
            with store.transaction() as tx:
                _end(tx, current, [key], now)

    store.accounts.decide(account, attempt)
    log.info("API key revoked", extra={"email": mask_email(account.email), "key_id": key.key_id})
    return key


@verb
def revoke_by_operator(
    store: Store, operator: str, email: AccountKey, key_id: str, reason: object, *, now: datetime
) -> ApiKey:
    """The same by an operator; its owner is told by mail.

    Raises NotFound, InvalidInput, and WrongState for one that has ended.
    """
    words, account = check_reason(reason), store.accounts.get(email)
    key = find_own(store, account, key_id)

    def attempt(current: Account) -> None:
        if key.key_id not in current.api_keys:
            raise WrongState("This API key has ended already.")
        about = {"key": key.key_id, "name": key.name}
        act = Act(operator, "key.revoke", current.email, now, words, before=about)
        what = f"The API key “{key.name}” was revoked by an operator: {words}"
        changed(store, current, what, now, lambda tx: _end(tx, current, [key], now), act)

    store.accounts.decide(account, attempt)
    log.warning("API key revoked by an operator", extra={"email": mask_email(email), "key_id": key.key_id})
    return key


def but_the_queue_s(store: Store, current: Account) -> frozenset[str] | None:
    """What an account keeps of its keys as its role begins or ends: none that works the queue."""
    keys = store.api_keys.find_many(sorted(current.api_keys))
    return frozenset(key.key_id for key in keys if QUEUE_WORK not in key.scopes) or None


def find_own(store: Store, account: Account, key_id: str) -> ApiKey:
    """A key of the account, alive or ended. Raises NotFound, also for somebody else's."""
    key = store.api_keys.find(key_id) if key_id.startswith("key_") else None
    if key is None or (key.account_id, key.life) != (account.account_id, account.life):
        raise NotFound("There is no such API key.")
    return key


def erase(store: Store, account: Account) -> None:
    """Of an account that is deleted: the names of keys are words of its owner's. Safe to repeat."""
    for key in store.api_keys.find_many(store.api_keys.ids_of(account.account_id)):
        if key.life < account.life:
            store.updates.api_keys.remove(key.key_id)


class Purse:
    """What a key has spent, read anew for each attempt but the first: the guard has only just read it."""

    def __init__(self, store: Store, key: ApiKey | None) -> None:
        self._store, self._key, self._fresh = store, key, True

    def charge(self, credits: int, at: datetime) -> Callable[[Transaction], None]:
        """What goes into the transaction of a spend. Raises KeyLimitReached, and NotSignedIn for a key that is gone.

        The spend is noted on the condition that none came in between, so no two of them go over the month together.
        """
        if self._key is None:
            return lambda tx: None
        before = self._key if self._fresh else self._store.api_keys.find(self._key.key_id)
        self._fresh = False
        if before is None:
            raise NotSignedIn
        after = before.charged(credits, at)
        return lambda tx: tx.api_keys.charge(before, after)


def _end(tx: Transaction, current: Account, keys: list[ApiKey], now: datetime) -> None:
    left = current.api_keys - {key.key_id for key in keys}
    tx.accounts.change_settings(current, still="api_keys", api_keys=left or None)
    for key in keys:
        tx.api_keys.note_end(key, now)
        webhook_events.key_revoked(tx, current, key.key_id, key.name, now)
