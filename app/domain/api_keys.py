"""API keys: what a program is let in by, apart from anybody's session, what each may do, and what it may spend.

A key is `imp_live_`, 32 random characters and 6 of a checksum over all before them, so that whoever finds one in a file
knows it without asking us. The store has only its hash: 190 random bits need no slow one, as nobody can try them out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from .accounts import Account, AccountKey
from .clock import month_of
from .errors import InvalidInput, KeyLimitReached
from .text import shows, storable, trimmed

TASKS_READ, TASKS_WRITE, BILLING_READ, QUEUE_WORK = "tasks:read", "tasks:write", "billing:read", "queue:work"
SCOPES = (TASKS_READ, TASKS_WRITE, BILLING_READ, QUEUE_WORK)  # what a key can be given
ANY, SESSION = "any", "session"  # of a call: any key may ask it, or none

BEGINNING = "imp_live_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM, CHECK = 32, 6  # characters: 32 of 62 are 190 bits, 6 hold a CRC-32
SHAPE = re.compile(rf"{BEGINNING}[0-9A-Za-z]{{{RANDOM + CHECK}}}")
SHOWN = len(BEGINNING) + 4  # characters that a list shows; 166 bits stay unknown

MAX_KEYS = 50  # alive at a time, of one account
MAX_NAME = 60
MAX_MONTHLY = 10_000_000  # credits
MAX_DAYS = 3_650
TOLD_BEFORE = timedelta(days=7)  # that it runs out; one that lasts no longer is not told of
USED_GRAIN = timedelta(hours=1)  # the last use is written at most this often
MONTHS_KEPT = 13
ENDED_KEPT = timedelta(days=400)  # so long an ended key still names the tasks that it submitted


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A row of the ApiKeys table. It lives while its account names it (`Account.api_keys`) and it has not run out.

    `credits_a_month` is the most that it may spend in a UTC month, None for no limit. `spent` is what it was charged,
    by month; what comes back by a refund is not taken off. `version` counts the changes of `spent`.
    """

    key_id: str
    user_email: AccountKey
    account_id: str
    life: int
    secret_hash: str
    beginning: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    credits_a_month: int | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None
    ended_at: datetime | None = None
    warned_at: datetime | None = None  # its owner was told that it will run out
    forget_at: int = 0  # in seconds since 1970, once it has ended
    spent: Mapping[str, int] = field(default_factory=dict)
    version: int = 0

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def is_to_be_told_of(self, now: datetime) -> bool:
        """Whether its owner is to hear that it will run out soon: a program would stop, and perhaps nobody look."""
        if self.expires_at is None or self.warned_at is not None:
            return False
        lasts_longer = self.expires_at - self.created_at > TOLD_BEFORE
        return lasts_longer and now < self.expires_at <= now + TOLD_BEFORE

    def is_named_by(self, account: Account) -> bool:
        """Whether the account still has this key: a revocation, a reset by mail or a deletion takes it out there."""
        same_life = (self.account_id, self.life) == (account.account_id, account.life)
        return same_life and self.key_id in account.api_keys and not account.disabled and account.deleted_at is None

    def is_alive(self, account: Account, now: datetime) -> bool:
        return self.is_named_by(account) and not self.expired(now)

    def may(self, scope: str) -> bool:
        return scope == ANY or scope in self.scopes

    def spent_in(self, month: str) -> int:
        return self.spent.get(month, 0)

    def charged(self, credits: int, at: datetime) -> ApiKey:
        """The key after a spend. Raises KeyLimitReached, if that would take it over its month."""
        month = month_of(at)
        used = self.spent_in(month)
        if self.credits_a_month is not None and used + credits > self.credits_a_month:
            raise KeyLimitReached(limit=self.credits_a_month, used=used, resets_at=month_after(at))
        kept = sorted({*self.spent, month})[-MONTHS_KEPT:]
        return replace(self, spent={each: self.spent_in(each) for each in kept} | {month: used + credits})


@dataclass(frozen=True, slots=True)
class KeyWishes:
    """What its owner wants of a new key, checked. `days` until it runs out, None for never."""

    name: str
    scopes: frozenset[str]
    credits_a_month: int | None = None
    days: int | None = None


def wishes(
    name: object, scopes: Iterable[str], credits_a_month: int | None, days: int | None, *, operator: bool
) -> KeyWishes:
    """Raises InvalidInput, naming the field."""
    words = " ".join(trimmed(storable(name, "name")).split())
    if not shows(words):
        raise InvalidInput("Give the key a name, such as that of the program that will use it.", field="name")
    if len(words) > MAX_NAME:
        raise InvalidInput(f"The name has {len(words)} characters; at most {MAX_NAME} fit.", field="name")
    if looks_like_a_key(words):
        raise InvalidInput("That is a key, not a name for one.", field="name")
    wanted = frozenset(scopes)
    if not wanted or not wanted <= set(SCOPES):
        raise InvalidInput("Choose at least one of the things that a key may do.", field="scopes")
    if QUEUE_WORK in wanted and not operator:
        raise InvalidInput("Only an operator's key can work the queue.", field="scopes")
    if credits_a_month is not None and not 1 <= credits_a_month <= MAX_MONTHLY:
        raise InvalidInput(f"Use a number of credits from 1 to {MAX_MONTHLY:,}.", field="credits_a_month")
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"A key lasts 1 to {MAX_DAYS:,} days, or does not run out.", field="days")
    return KeyWishes(words, wanted, credits_a_month, days)


def new_key(account: Account, wanted: KeyWishes, now: datetime) -> tuple[ApiKey, str]:
    """The row, and the key itself: the only time that it is at hand."""
    secret = new_secret()
    return ApiKey(
        key_id=key_id_of(secret),
        user_email=account.email,
        account_id=account.account_id,
        life=account.life,
        secret_hash=hash_of(secret),
        beginning=secret[:SHOWN],
        name=wanted.name,
        scopes=wanted.scopes,
        created_at=now,
        credits_a_month=wanted.credits_a_month,
        expires_at=now + timedelta(days=wanted.days) if wanted.days else None,
    ), secret


def new_secret() -> str:
    beginning = BEGINNING + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    return beginning + checksum(beginning)


def checksum(beginning: str) -> str:
    """The CRC-32 of what stands before it, in six characters of 0-9, A-Z, a-z, the most significant first."""
    value, found = zlib.crc32(beginning.encode()), ""
    for _ in range(CHECK):
        value, place = divmod(value, len(ALPHABET))
        found = ALPHABET[place] + found
    return found


def is_whole(text: str) -> bool:
    """Whether it is a key of ours, copied whole, as far as its own characters tell."""
    return SHAPE.fullmatch(text) is not None and checksum(text[:-CHECK]) == text[-CHECK:]


def looks_like_a_key(text: str) -> bool:
    return BEGINNING in text


def key_id_of(secret: str) -> str:
    """Its name, which is no secret: where its row lies, and what tasks and ledger rows say of who submitted."""
    digest = hashlib.sha256(f"id\n{secret}".encode()).digest()
    return "key_" + base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def is_of(secret: str, key: ApiKey) -> bool:
    return hmac.compare_digest(hash_of(secret), key.secret_hash)


def month_after(moment: datetime) -> datetime:
    """When the next UTC month begins."""
    moment = moment.astimezone(UTC)
    years, month = divmod(moment.month, 12)
    return datetime(moment.year + years, month + 1, 1, tzinfo=UTC)
