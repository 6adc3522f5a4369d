"""Accounts: who they are, which e-mail addresses and passwords are acceptable, and when a session is alive."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import NewType, TypedDict

from email_validator import EmailNotValidError, validate_email

from .errors import InvalidInput
from .text import storable, trimmed

# The key of an account's row: the first address that it had. It never changes, and ledger rows, tasks and payments name
# their account by it. An Address is what somebody types or what a mail goes to: whose it is must be looked up.
AccountKey = NewType("AccountKey", str)
Address = NewType("Address", str)

MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_BYTES = 72  # bcrypt reads no further, and bcrypt 5 refuses more
PRODUCT_WORDS = ("impacteragi", "impacter", "dashboard")

IDLE_LIFETIME = {"customer": timedelta(hours=12), "admin": timedelta(minutes=30)}
ABSOLUTE_LIFETIME = {"customer": timedelta(days=30), "admin": timedelta(hours=12)}
SEEN_GRAIN = timedelta(minutes=5)  # last-seen is written at most this often
API_TOKEN_LIFETIME = timedelta(hours=12)
LINK_PAUSES = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
LINK_REST = timedelta(days=1)  # after that long the pauses begin anew
LOW_BALANCE_PAUSE = timedelta(days=1)
HALF_LIFETIME = timedelta(minutes=10)  # between the password and the second factor
CHANGE_LIFETIME = timedelta(days=1)  # of a request to change the address
MOST_CHANGES = 5  # requests of one account in a row; anew after a day of rest
MOST_LEFT = 8  # addresses that an account has left, beside its first: each stays its own

DEFAULT_LOW_BALANCE = 50
MAX_LOW_BALANCE = 1_000_000
THEMES = ("system", "light", "dark")

NOT_ADOPTED = "from the original product, and not adopted yet"  # said of an account and of a task
BROWSER, API, HALF = "browser", "api", "half"
# Each kind has room of its own: a program that signs in ends no browser's session, and half a sign-in ends neither.
MAX_SESSIONS = {BROWSER: 20, API: 20, HALF: 5}
FIXED_LIFETIME = {API: API_TOKEN_LIFETIME, HALF: HALF_LIFETIME}


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser or program. `key` is the hash of the id that the cookie or token carries."""

    key: str
    kind: str  # BROWSER, API, or HALF: the password was right, the second factor is still to come
    created_at: datetime
    seen_at: datetime
    label: str = ""
    mfa_at: datetime | None = None  # when this session proved a second factor

    def is_live(self, now: datetime, role: str) -> bool:
        absolute, idle = ABSOLUTE_LIFETIME[role], IDLE_LIFETIME[role]
        if self.kind in FIXED_LIFETIME:
            absolute = idle = FIXED_LIFETIME[self.kind]
        return now - self.created_at < absolute and now - self.seen_at < idle


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential. `key` is the hash of its id: credential ids are too long for a name in an expression."""

    key: str
    credential_id: str  # base64url, as browsers send it
    public_key: str
    sign_count: int
    name: str
    created_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LinkMails:
    """The mails with a link of one purpose that anybody can ask for: when the last one went, and its place in a row."""

    last_at: datetime | None = None
    in_a_row: int = 0

    def not_since(self, lifetime: timedelta, now: datetime) -> datetime:
        """The next goes out only if the last one did so before this moment: the pause grows with each mail in a row.

        It never outgrows the link's lifetime, so that whoever reads the mailbox always finds a link that works.
        """
        place = min(self.in_a_row, len(LINK_PAUSES)) - 1
        return now - (min(LINK_PAUSES[place], lifetime) if place >= 0 else LINK_PAUSES[0])

    def and_one_more(self, now: datetime) -> LinkMails:
        rested = self.last_at is None or now - self.last_at >= LINK_REST
        return LinkMails(now, 1 if rested else self.in_a_row + 1)


@dataclass(frozen=True, slots=True)
class AddressChange:
    """A request to change the address, until both mailboxes have agreed: `to_nonce` and `from_nonce` are of the links
    in their mails. It stands as long as the account's sessions have not all been ended since (`session_version`).
    """

    to: Address
    asked_at: datetime
    label: str  # of the session that asked
    to_nonce: str
    from_nonce: str
    session_version: int
    to_agreed_at: datetime | None = None
    from_agreed_at: datetime | None = None

    @property
    def agreed(self) -> bool:
        return self.to_agreed_at is not None and self.from_agreed_at is not None


@dataclass(frozen=True, slots=True)
class Account:
    """A row of the Users table. Credits are whole; `ledger_sequence` is that of the account's newest ledger row.

    `email` is the row's key, the first address; `address` is where the account is reached now.
    """

    email: AccountKey
    account_id: str
    created_at: datetime
    credits_balance: int = 0
    ledger_sequence: int = 0
    folded_sequence: int = 0  # the newest ledger row that finance's figures hold: see data/ledger_figures.py
    last_entry_at: datetime | None = None  # where the newest ledger row is listed
    last_happened_at: datetime | None = None  # its time, if that is another: see PostedEntry
    ahead_since: datetime | None = None  # the earliest time of a row that is listed elsewhere
    version: int = 0  # bumped by every change that the customer can see: the poll's tag
    open_tasks: int = 0
    password_hash: str | None = None
    sessions: Mapping[str, Session] = field(default_factory=dict)
    session_version: int = 0  # counts the times that every session was ended, as a change of password does
    role: str = "customer"
    confirmed_at: datetime | None = None
    disabled_at: datetime | None = None
    frozen_at: datetime | None = None  # the books differ: spending waits until a person has looked
    stripe_customer_id: str | None = None
    spend_by_day: Mapping[str, int] = field(default_factory=dict)
    submit_window: str = ""
    submits_in_window: int = 0
    link_nonces: Mapping[str, str] = field(default_factory=dict)
    link_mails: Mapping[str, LinkMails] = field(default_factory=dict)  # by purpose
    low_balance_threshold: int = DEFAULT_LOW_BALANCE
    low_since: datetime | None = None  # when the balance last fell below the threshold
    low_mailed_at: datetime | None = None
    theme: str = "system"
    shortcuts: bool = True
    unwanted_mails: frozenset[str] = frozenset()  # kinds, of those that are optional: see mails.py
    draft: str = ""
    unsent: bool = False  # a form waits to be sent again: see data/drafts.py
    recent_marks: str = ""  # hashes of the latest tasks' words: see duplicates.py
    deleted_at: datetime | None = None
    life: int = 0  # how often it was deleted: who comes back has another life of the same account
    totp: str | None = None  # the authenticator's secret, sealed
    totp_pending: str | None = None  # the same, until a first code has proven it
    totp_counter: int = 0  # of the last code that was used: no code counts twice
    recovery_codes: frozenset[str] = frozenset()  # hashes
    passkeys: Mapping[str, Passkey] = field(default_factory=dict)
    by_hand_on: str = ""  # the UTC day of `by_hand`
    by_hand: int = 0  # credits that this operator moved alone on that day: see by_hand.py
    challenge: str | None = None  # the WebAuthn challenge that is out, once
    searched_by: tuple[str, ...] = ()  # the addresses whose search keys are written: see search_keys.py
    present_address: Address | None = None  # None: it is the first one, the key
    left_addresses: tuple[Address, ...] = ()  # that it had in between; each still has its alias row
    address_change: AddressChange | None = None
    stripe_behind: bool = False  # Stripe has not been told the present address yet
    moved_away: bool = False  # of a deleted one: it had left its first address, by which nobody has it back
    webhooks: Mapping[str, str] = field(default_factory=dict)  # endpoints, and which events each wants, with spaces
    unexplained: str | None = None  # why nothing may move this balance: see app/adoption
    api_keys: frozenset[str] = frozenset()  # ids of those that are alive, or have run out: see api_keys.py

    @property
    def address(self) -> Address:
        """Where it is reached now: by it one signs in, mails go there, and pages show it."""
        return self.present_address or as_address(self.email)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All that it has or had, each once, the present one first."""
        return tuple(dict.fromkeys([self.address, *self.left_addresses[::-1], as_address(self.email)]))

    @property
    def aliases(self) -> tuple[Address, ...]:
        """Those that have an alias row: all but the key."""
        return self.addresses_but(as_address(self.email))

    def addresses_but(self, one: Address) -> tuple[Address, ...]:
        return tuple(address for address in self.addresses if address != one)

    def change_that_stands(self, now: datetime) -> AddressChange | None:
        """The request to change the address, unless it has run out or every session was ended since."""
        change = self.address_change
        if change is None or change.session_version != self.session_version or self.disabled or self.deleted_at:
            return None
        return change if now - change.asked_at < CHANGE_LIFETIME else None

    @property
    def is_folded(self) -> bool:
        """Whether finance's figures hold all of its ledger, so that its next row is added to them as it is written."""
        return self.folded_sequence == self.ledger_sequence

    @property
    def is_operator(self) -> bool:
        return self.role == "admin"

    @property
    def confirmed(self) -> bool:
        return self.confirmed_at is not None

    @property
    def disabled(self) -> bool:
        return self.disabled_at is not None

    @property
    def standing(self) -> tuple[str, ...]:
        """What of its state an operator has to know, the gravest first; empty for an account in good order."""
        states = {
            "deleted": self.deleted_at is not None,
            "frozen": self.frozen_at is not None,
            "disabled": self.disabled,
            "owing": self.credits_balance < 0,
            "not confirmed": not self.confirmed and self.deleted_at is None,
        }
        return tuple(name for name, is_so in states.items() if is_so)

    @property
    def can_spend(self) -> bool:
        return not self.disabled and self.deleted_at is None and self.frozen_at is None and self.credits_balance > 0

    @property
    def has_second_factor(self) -> bool:
        return self.totp is not None or bool(self.passkeys)

    def live_session(self, session_id: str, now: datetime, *, half: bool = False) -> Session | None:
        """The session that `session_id` opens, unless it ended, idled out, grew too old or the account is disabled.

        Half a sign-in opens nothing; only the view that asks for the second factor looks for one (`half`).
        """
        session = self.sessions.get(session_key(session_id))
        if session is None or self.disabled or not session.is_live(now, self.role):
            return None
        return session if (session.kind == HALF) is half else None

    def sessions_to_drop(self, kind: str, now: datetime) -> list[str]:
        """Keys to remove so that one more session of `kind` fits: the dead ones, then the oldest of its own kind."""
        dead = [s.key for s in self.sessions.values() if not s.is_live(now, self.role)]
        alike = [s for s in self.sessions.values() if s.key not in dead and s.kind == kind]
        excess = max(0, len(alike) + 1 - MAX_SESSIONS[kind])
        oldest = sorted(alike, key=lambda s: s.created_at)
        return dead + [s.key for s in oldest[:excess]]


class LowBalance(TypedDict, total=False):
    """What a row notes of a low balance: see services/notices.py."""

    low_since: datetime | None
    low_mailed_at: datetime | None


class Settings(LowBalance, total=False):
    """What of an account may be set by itself; None removes it. Never what the ledger explains, nor a counter.

    A field is named rather than compared with what was read: `sessions={}` ends those that were opened since, too.
    """

    password_hash: str | None
    sessions: Mapping[str, Session]
    role: str
    confirmed_at: datetime | None
    disabled_at: datetime | None
    frozen_at: datetime | None
    stripe_customer_id: str | None
    link_nonces: Mapping[str, str]
    low_balance_threshold: int
    theme: str
    shortcuts: bool
    unwanted_mails: frozenset[str] | None
    draft: str | None
    recent_marks: str
    address_change: AddressChange | None
    left_addresses: tuple[Address, ...] | None
    present_address: Address | None
    stripe_behind: bool | None
    moved_away: bool | None
    api_keys: frozenset[str] | None
    webhooks: Mapping[str, str] | None


def as_address(key: AccountKey) -> Address:
    """The first address of an account, which it may have left."""
    return Address(key)


def new_account_id() -> str:
    return "acc_" + secrets.token_urlsafe(16)


def new_session_id() -> str:
    return secrets.token_urlsafe(16)  # 128 bits


def session_key(session_id: str) -> str:
    """What the store keeps of a session id: a thief of the table cannot sign in with it."""
    return hashlib.sha256(session_id.encode(errors="replace")).hexdigest()[:32]


def normalise_email(raw: object) -> Address:
    """Trim (of what nobody sees, too), compose (NFC) and lower-case an address; `+tags` stay. Raises InvalidInput."""
    text = unicodedata.normalize("NFC", trimmed(storable(raw, "email")))
    try:
        # SES delivers to no local part beyond ASCII; `.test` is kept for trials (RFC 2606).
        found = validate_email(
            text, check_deliverability=False, allow_smtputf8=False, strict=True, test_environment=True
        )
        return Address(found.normalized.lower())
    except EmailNotValidError as error:
        raise InvalidInput("Enter an e-mail address like name@example.com.", field="email") from error


def check_new_password(password: object, email: str = "") -> str:
    """Return the password exactly as given, or raise InvalidInput with the reason."""
    text = storable(password, "password")
    if len(text) < MIN_PASSWORD_CHARACTERS:
        raise InvalidInput("Use at least 8 characters; 15 or more are better.", field="password")
    if len(text.encode()) > MAX_PASSWORD_BYTES:
        raise InvalidInput("Use at most 72 bytes (emoji and accents count for more than one).", field="password")
    folded = text.casefold()
    if folded in common_passwords() or len(set(text)) < 3:
        raise InvalidInput("This password is one of the most common ones. Choose another.", field="password")
    context = {*PRODUCT_WORDS, email, email.partition("@")[0]} - {""}
    if folded in context or folded.strip("0123456789!?.-_ ") in context:
        raise InvalidInput("This password is too easy to guess from its context. Choose another.", field="password")
    return text


@cache
def common_passwords() -> frozenset[str]:
    """About 30,000 common passwords, the list that zxcvbn ships."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # 1 MB of source: loaded at the first sign-up, not at start

    return frozenset(FREQUENCY_LISTS["passwords"])


def mask_email(email: str) -> str:
    """`j***@example.com`, for logs."""
    name, _, host = email.partition("@")
    return f"{name[:1]}***@{host}"
