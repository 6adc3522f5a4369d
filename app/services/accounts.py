"""Signing up, in and out, and confirming an address."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from app.data import Store
from app.data.erasure import ERASED
from app.domain.accounts import (
    BROWSER,
    HALF,
    MAX_LOW_BALANCE,
    NOT_ADOPTED,
    THEMES,
    Account,
    AccountKey,
    Address,
    LinkMails,
    Session,
    Settings,
    check_new_password,
    mask_email,
    new_account_id,
    new_session_id,
    normalise_email,
    session_key,
)
from app.domain.clock import to_iso
from app.domain.errors import AccountExists, AlreadyRecorded, BadCredentials, InvalidInput, LinkExpired, WrongState
from app.domain.mails import OPTIONAL, Mail
from app.domain.tasks import Task
from app.gateways.files import FileStore
from app.telemetry.spans import verb

from . import api_keys, typed_drafts, webhooks
from .account_notices import changed
from .acting import Act, transaction
from .links import CONFIRM, LIFETIMES, RESET, SET_PASSWORD, Links, check_nonce, new_nonce
from .passwords import Passwords

log = logging.getLogger(__name__)

ERASED_AT_ONCE = 300  # tasks, within the request that deletes the account


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account and the id of its new session: the only time that the id is at hand unhashed."""

    account: Account
    session_id: str
    half: bool = False  # the second factor is still to come: the session opens nothing yet


@verb
def sign_up(
    store: Store, passwords: Passwords, email: object, password: object, *, now: datetime, kind: str, label: str = ""
) -> SignedIn:
    """Make an account with no credits, sign it in, and promise a mail that confirms the address.

    Raises InvalidInput, and AccountExists for a taken address: nothing of that account changes, and if a payment made
    it and it has no password yet, its owner is mailed a link to set one.
    """
    address = normalise_email(email)
    chosen = check_new_password(password, address)
    session_id = new_session_id()
    session = Session(session_key(session_id), kind, now, now, label)
    account = Account(
        email=AccountKey(address),
        account_id=new_account_id(),
        created_at=now,
        password_hash=passwords.hash(chosen),
        sessions={session.key: session},
        link_nonces={CONFIRM: new_nonce()},
    )
    try:
        with store.transaction() as tx:
            tx.accounts.create(account)
            tx.mails.enqueue(Mail(f"confirm#{account.account_id}", "confirm", address, now))
    except AccountExists:
        existing = store.accounts.find_at(address)  # who has left it gets no mail there
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
    """Open a new session, or half of one when the account has a second factor. By the present address alone.

    Raises BadCredentials, the same in text and time whatever is wrong, and also when the password is replaced while it
    is being checked.
    """
    try:
        address = normalise_email(email)
    except InvalidInput:
        address = Address("")
    account = store.accounts.find_at(address, alike=True) if address else None
    given = password if isinstance(password, str) else ""
    matches = passwords.matches(given, account.password_hash if account else None)
    if account is None or not matches or account.disabled:
        log.warning("sign-in refused", extra={"email": mask_email(address)})
        raise BadCredentials
    settings: Settings = {}
    if account.password_hash and passwords.is_outdated(account.password_hash):
        settings["password_hash"] = passwords.hash(given)
    session_id = new_session_id()
    half = account.has_second_factor
    session = Session(session_key(session_id), HALF if half else kind, now, now, label)
    account = store.updates.accounts.add_session(account, session, now, **settings)
    log.info("password accepted" if half else "signed in", extra={"email": mask_email(address), "kind": kind})
    return SignedIn(account, session_id, half)


def note_seen(store: Store, account: Account, session: Session, now: datetime) -> None:
    """Remember when a session was last used: now and then, not with each request."""
    store.updates.accounts.touch_session(account, session, now)


def sign_out(store: Store, account: Account, session_id: str) -> None:
    """End one session at the server. Safe to repeat."""
    store.updates.accounts.remove_session(account, session_key(session_id))
    log.info("signed out", extra={"email": mask_email(account.email)})


def sign_out_one(store: Store, account: Account, key: str) -> None:
    """End one session by its key, as the list of sessions names it. Safe to repeat, and for a key that is unknown."""
    if key in account.sessions:
        store.updates.accounts.remove_session(account, key)
        log.info("signed out by the list", extra={"email": mask_email(account.email)})


def sign_out_everywhere(store: Store, account: Account, *, end_keys: bool = False) -> None:
    """Every browser and program is signed out; API keys go on unless told."""
    store.updates.accounts.end_sessions(account, end_keys=end_keys)
    log.info("signed out everywhere", extra={"email": mask_email(account.email)})


def check_password(passwords: Passwords, account: Account, password: object) -> str:
    """The password again, before something that a borrowed session must not do. Raises BadCredentials."""
    given = password if isinstance(password, str) else ""
    if not passwords.matches(given, account.password_hash):
        log.warning("password refused", extra={"email": mask_email(account.email)})
        raise BadCredentials("That is not your current password.")
    return given


def change_password(
    store: Store,
    passwords: Passwords,
    account: Account,
    current: object,
    new: object,
    session: Session,
    *,
    end_keys: bool = False,
    now: datetime,
) -> SignedIn:
    """Replace the password. Every session and token ends; this browser gets a new session. API keys go on unless told.

    Raises BadCredentials for a wrong current password and InvalidInput for a new one that will not do.
    """
    given = check_password(passwords, account, current)
    chosen = check_new_password(new, account.address)
    if chosen == given:
        raise InvalidInput("The new password is the same as the current one.", field="new_password")
    session_id = new_session_id()
    fresh = Session(session_key(session_id), BROWSER, now, now, session.label, session.mfa_at)
    hashed = passwords.hash(chosen)
    what = "The password of your account was changed." + (" Its API keys have ended." if end_keys else "")
    changed(store, account, what, now, lambda tx: tx.accounts.change_password(account, hashed, fresh, end_keys))
    log.info("password changed", extra={"email": mask_email(account.email)})
    after = replace(account, sessions={fresh.key: fresh}, session_version=account.session_version + 1)
    return SignedIn(after, session_id)


def change_settings(store: Store, account: Account, *, low_balance_threshold: int, theme: str, shortcuts: bool) -> None:
    """Raises InvalidInput."""
    if not 0 <= low_balance_threshold <= MAX_LOW_BALANCE:
        raise InvalidInput(f"Use a number from 0 to {MAX_LOW_BALANCE:,}.", field="low_balance_threshold")
    if theme not in THEMES:
        raise InvalidInput("Choose one of the themes.", field="theme")
    store.updates.accounts.change(
        account, low_balance_threshold=low_balance_threshold, theme=theme, shortcuts=shortcuts
    )


def choose_mails(store: Store, account: Account, *, unwanted: frozenset[str]) -> None:
    """Which of the optional mails go out no more: also of those that wait already."""
    store.updates.accounts.change(account, unwanted_mails=unwanted & frozenset(OPTIONAL) or None)


@verb
def unsubscribe(store: Store, links: Links, token: str) -> str:
    """Send no more mails of the kind that the link was in, and return it. Safe to repeat. Raises LinkExpired."""
    account, kind = account_of_unsubscribe(store, links, token)

    def attempt(current: Account) -> None:
        if kind not in current.unwanted_mails and current.deleted_at is None:
            with store.transaction() as tx:
                unwanted = current.unwanted_mails | {kind}
                tx.accounts.change_settings(current, still="unwanted_mails", unwanted_mails=unwanted)

    store.accounts.decide(account, attempt)
    log.info("a kind of mail is switched off by its link", extra={"email": mask_email(account.email), "kind": kind})
    return kind


def account_of_unsubscribe(store: Store, links: Links, token: str) -> tuple[Account, str]:
    """Whose mail the link was in, and its kind. Raises LinkExpired."""
    account_id, kind = links.read_unsubscribe(token)
    account = store.accounts.find_by_id(account_id)
    if account is None or kind not in OPTIONAL:
        raise LinkExpired
    return account, kind


@verb
def delete(store: Store, passwords: Passwords, account: Account, password: object, *, now: datetime) -> None:
    """Leave a tombstone for the books and erase the rest; see docs/security.md for what stays and why.

    Raises BadCredentials, and WrongState while tasks are open. The words of the tasks go after the account itself;
    `finish_erasure` does the rest: what a crash left, and the files of results.
    """
    check_password(passwords, account, password)

    def check(current: Account) -> None:
        if current.session_version != account.session_version:
            raise BadCredentials("That is not your current password.")  # it was replaced, or its session ended

    _delete(store, account, check, now)


@verb
def delete_again(store: Store, account: Account, *, now: datetime) -> None:
    """What its owner has done before, in tables that were restored to a moment before. Raises WrongState."""
    _delete(store, account, lambda current: None, now)


def _delete(store: Store, account: Account, check: Callable[[Account], None], now: datetime) -> None:
    def attempt(current: Account) -> None:
        check(current)
        if current.open_tasks > 0:
            raise WrongState(
                "Some of your tasks are open. Cancel them or wait for their results, then delete the account."
            )
        revoked = Act(
            current.email,
            "admin.revoke",
            current.email,
            now,
            "The account was deleted.",
            before={"role": "admin"},
            after={"role": "customer"},
        )
        with transaction(store, revoked if current.is_operator else None) as tx:
            tx.accounts.erase(current, now)
            tx.drafts.drop_all(current.account_id)

    _count_original_tasks(store, account.email)
    store.accounts.decide(store.accounts.get(account.email), attempt)
    _forget_addresses(store, account.email)
    log.info("account deleted", extra={"email": mask_email(account.email)})
    typed_drafts.erase(store, store.accounts.get(account.email))
    webhooks.erase(store, store.accounts.get(account.email))
    api_keys.erase(store, store.accounts.get(account.email))
    store.updates.labels.erase(account.email, now, most=ERASED_AT_ONCE)
    for task in islice(store.tasks.every_of(account.email), ERASED_AT_ONCE):
        _erase_words(store, task)


def _count_original_tasks(store: Store, email: AccountKey) -> None:
    """Reading a task of the original product adopts it, and an open one counts from then on. They are the oldest."""
    cursor = None
    while True:
        page = store.tasks.page(email, limit=100, cursor=cursor, oldest_first=True)
        for task in page.items:
            if task.unexplained == NOT_ADOPTED:
                store.tasks.find(task.task_id)
        cursor = page.next_cursor
        if cursor is None or not any(task.original or task.unexplained for task in page.items):
            return


@verb
def finish_erasure(store: Store, files: FileStore, email: AccountKey, *, deleted_at: datetime) -> int:
    """Erase what is left of the tasks of a deleted account, words and files; returns how many it looked at.

    Tasks that came after `deleted_at` are of an owner who has come back. Safe to repeat. Raises FilesUnavailable.
    """
    seen = 0
    typed_drafts.erase(store, store.accounts.get(email))
    webhooks.erase(store, store.accounts.get(email))
    api_keys.erase(store, store.accounts.get(email))
    store.updates.labels.erase(email, deleted_at)
    for task in store.tasks.every_of(email):
        if task.created_at <= deleted_at:
            _erase_words(store, task)
            files.remove_all(task.task_id)
            seen += 1
    _erase_search_keys(store, email)
    _forget_addresses(store, email)
    store.updates.erasure.mark_erased(email, deleted_at)
    return seen


def _erase_search_keys(store: Store, email: AccountKey) -> None:
    """They go with the account; a release that did not know them yet has left them."""

    def attempt(current: Account) -> None:
        if current.deleted_at is not None and current.searched_by:
            with store.transaction() as tx:
                tx.accounts.change_settings(current, still="searched_by", searched_by=())

    store.accounts.decide(store.accounts.get(email), attempt)


def _forget_addresses(store: Store, email: AccountKey) -> None:
    """Free what addresses a deleted account has had: those of in between, and what a release that knew of none left."""

    def of_the_release_before(current: Account) -> None:
        present = current.present_address
        if current.deleted_at is None or not (present or current.address_change or current.stripe_behind):
            return
        with store.transaction() as tx:
            if present:
                tx.accounts.drop_alias(current, present)
            tx.accounts.change_settings(
                current,
                still="present_address",
                present_address=None,
                address_change=None,
                stripe_behind=None,
                moved_away=True if present or current.moved_away else None,
            )

    def one(current: Account) -> bool:
        if current.deleted_at is None or not current.left_addresses:
            return False
        with store.transaction() as tx:
            tx.accounts.forget_address(current, current.left_addresses[0])
        return True

    store.accounts.decide(store.accounts.get(email), of_the_release_before)
    while store.accounts.decide(store.accounts.get(email), one):
        pass


def _erase_words(store: Store, task: Task) -> None:
    if task.description != ERASED:
        store.updates.erasure.erase_task(task.task_id)


@verb
def set_password(
    store: Store,
    passwords: Passwords,
    links: Links,
    token: str,
    password: object,
    *,
    purpose: str,
    now: datetime,
    label: str = "",
) -> SignedIn:
    """Set the password that a mailed link allows, end every other session, and sign in.

    Following the link proves the mailbox; it does not stand in for a second factor. Raises LinkExpired and
    InvalidInput; the link works once.
    """
    account, nonce = account_of_link(store, links, token, purpose)
    chosen = check_new_password(password, account.address)
    session_id = new_session_id()
    half = account.has_second_factor
    session = Session(session_key(session_id), HALF if half else BROWSER, now, now, label)
    updated = replace(account, sessions={session.key: session})
    used = (SET_PASSWORD, RESET, CONFIRM)
    hashed, proof = passwords.hash(chosen), (purpose, nonce)
    if account.deleted_at is None:
        store.updates.accounts.set_password(updated, hashed, used=used, nonce=proof, now=now)
    else:
        with store.transaction() as tx:
            tx.accounts.come_back(updated, hashed, used=used, nonce=proof, now=now)
    log.info("password set by link", extra={"email": mask_email(account.email)})
    return SignedIn(store.accounts.get(account.email), session_id, half)


def account_of_link(store: Store, links: Links, token: str, purpose: str) -> tuple[Account, str]:
    """The account that a live link belongs to, and the link's nonce. Raises LinkExpired."""
    email, nonce = links.email_of(token, purpose)
    account = check_nonce(store.accounts.find(email), purpose, nonce)
    if account.disabled:
        raise LinkExpired
    return account, nonce


def confirm_address(store: Store, links: Links, token: str, *, signed_in_as: str, now: datetime) -> Account:
    """Mark the address confirmed: whoever reads it also knows the password. Raises LinkExpired; the link works once.

    Reading the mailbox alone is not enough: a mail scanner follows links, too, and would prove the owner's mailbox for
    a stranger who signed up with the address.
    """
    account, nonce = account_of_link(store, links, token, CONFIRM)
    if account.email != signed_in_as:
        raise LinkExpired
    store.updates.accounts.confirm_address(account, (CONFIRM, nonce), now)
    log.info("address confirmed", extra={"email": mask_email(account.email)})
    return account


@verb
def ask_for_link(store: Store, email: object, *, now: datetime) -> None:
    """Mail a link to set or reset the password. Tells nobody, not by its time either, whether there is an account."""
    address = normalise_email(email)
    account, mails = store.accounts.find_or_pretence(address)
    if account is not None and not account.disabled and account.deleted_at is None:
        _mail_link(store, account, RESET if account.password_hash else SET_PASSWORD, now)
        return
    try:
        with store.transaction() as tx:
            not_since = mails.not_since(LIFETIMES[RESET], now)
            tx.accounts.pretend_link(address, mails=mails.and_one_more(now), now=now, not_since=not_since)
    except AlreadyRecorded:
        pass
    log.info("link asked for an address without an account", extra={"email": mask_email(address)})


@verb
def resend_confirmation(store: Store, account: Account, *, now: datetime) -> None:
    if not account.confirmed:
        _mail_link(store, account, CONFIRM, now)


def _mail_link(store: Store, account: Account, purpose: str, now: datetime) -> None:
    """Renew the link of this purpose and promise its mail, unless the last one has only just gone: see LinkMails."""
    mails = account.link_mails.get(purpose, LinkMails())
    not_since = mails.not_since(LIFETIMES[purpose], now)
    try:
        with store.transaction() as tx:
            tx.mails.enqueue(Mail(f"{purpose}#{account.account_id}#{to_iso(now)}", purpose, account.address, now))
            one_more = mails.and_one_more(now)
            tx.accounts.renew_link(account, purpose, new_nonce(), mails=one_more, now=now, not_since=not_since)
    except AlreadyRecorded:
        log.info("link mail held back: one was sent just now", extra={"email": mask_email(account.email)})
