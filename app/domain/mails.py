"""Mails that were promised, what is told of an account's security, and whether mail is sent at all."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .accounts import Account, Address, AddressChange
from .clock import to_iso

CLOCKS_APART = timedelta(seconds=5)  # those of two senders
TOLD_WINDOW = timedelta(days=1)
# Of a change of the address: they go to the mailbox that they were written for, wherever the account is by then.
OF_THE_CHANGE = ("address_new", "address_present")
TO_THE_LETTER = (*OF_THE_CHANGE, "address_changed")
# What a customer may do without. Any other kind tells of the security of the account, of money that moved without its
# owner, or holds the link that was asked for.
OPTIONAL = ("task_completed", "task_rejected", "low_balance", "receipt")
# Keys under which mails that are to be sent stand in the index: DynamoDB writes 1,000 units a second to one key, which
# is about 250 mails. The number may grow; with a smaller one nobody would look where mails stand.
DUE_SHARDS = 8


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be rendered when it is sent. `mail_id` follows from its cause, so that a replay is not a second mail.

    `context` holds plain facts, never a link's token: links are made at sending, from the account as it is then.
    """

    mail_id: str
    kind: str
    to: Address
    created_at: datetime
    context: Mapping[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    last_error: str | None = None
    failed: bool = False
    queued_at: datetime | None = None  # when somebody last asked to send it again

    @property
    def waiting_since(self) -> datetime:
        return self.queued_at or self.created_at


@dataclass(frozen=True, slots=True)
class MailTrouble:
    """SES takes no mail from us: in its words why, since when, how often it said so, and when it is asked again."""

    reason: str
    since: datetime
    until: datetime
    times: int


@dataclass(frozen=True, slots=True)
class SendingQuota:
    """What SES lets us send, as it said when it was last asked, less what all senders have taken of it since."""

    asked_at: datetime | None = None
    rate: int = 0  # mails a second; 0: SES has not told
    most: int = 0  # mails in 24 hours
    left: int = 0  # of those
    second: datetime | None = None  # in which `used` mails were taken
    used: int = 0

    def holds(self, second: datetime) -> bool:
        """Whether what was used counts for this second: one that is far ahead is that of a wrong clock."""
        return self.second is not None and timedelta(0) <= self.second - second <= CLOCKS_APART

    def room(self, second: datetime) -> int:
        """How many mails of this second nobody has taken, where SES has told a rate."""
        return self.rate - (self.used if self.holds(second) else 0)


@dataclass(frozen=True, slots=True)
class SecurityNotices:
    """How many notices an account had in the day that began with the first of them. The row goes by itself."""

    since: datetime
    times: int
    expires_at: int  # seconds since 1970, as the store's time to live wants them


@dataclass(frozen=True, slots=True)
class Told:
    """The same as it counts now; `stands` is what was read, of a day that may be over."""

    since: datetime
    times: int = 0
    stands: SecurityNotices | None = None

    @classmethod
    def of(cls, stands: SecurityNotices | None, now: datetime) -> Told:
        if stands is None or now - stands.since >= TOLD_WINDOW:
            return cls(now, 0, stands)
        return cls(stands.since, stands.times, stands)

    def and_one_more(self) -> SecurityNotices:
        return SecurityNotices(self.since, self.times + 1, int((self.since + 2 * TOLD_WINDOW).timestamp()))


def due_shard(mail_id: str) -> str:
    return f"due#{zlib.crc32(mail_id.encode()) % DUE_SHARDS}"


def context_of(account: Account, change: AddressChange) -> dict[str, str]:
    """What mails of a request to change the address hold, and by which it is told whether it stands still."""
    return {
        "account_id": account.account_id,
        "new": change.to,
        "present": account.address,
        "asked_at": to_iso(change.asked_at),
        "label": change.label,
    }
