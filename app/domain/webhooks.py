"""Webhooks out: what is told to a customer's own server, after https://www.standardwebhooks.com.

An event is made by the transaction that makes its fact, once for each endpoint that wants it (a delivery), and sent
afterwards, at least once. Its id follows from the fact, so that whoever gets it again knows it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .accounts import Account, AccountKey
from .clock import to_iso
from .credits import REFUND, PostedEntry
from .errors import BadCursor, InvalidInput, NotFound
from .paging import read_cursor, write_cursor
from .tasks import Task
from .text import storable, trimmed

STARTED, COMPLETED, REJECTED = "task.started", "task.completed", "task.rejected"
LOW, ADDED, KEY_REVOKED = "credits.low", "credits.added", "key.revoked"
TYPES = (STARTED, COMPLETED, REJECTED, LOW, ADDED, KEY_REVOKED)
TEST = "webhook.test"

MAX_ENDPOINTS = 10
MAX_NAME = 60
SHARDS = 8  # keys under which deliveries that are to be sent stand in the index, as mails do
KEPT_FOR = timedelta(days=30)  # a delivery, from its event on, whatever became of it
PATIENCE = timedelta(days=3)  # of trying one event, and of an endpoint that takes none before it is paused
OLD_SECRET_FOR = timedelta(hours=24)
FIRST_WAIT, LONGEST_WAIT = 5.0, 4 * 3600.0  # seconds between two tries
REST = 900.0  # seconds, at most, in which an endpoint that fails is asked nothing at all
MAX_TRIES_SHOWN = 10
SLOW_MS = 2_000  # of an answer: such endpoints share a part of the sender's places

BY_OWNER, BY_FAILURE, BY_GONE, BY_SECRET = "owner", "failing", "gone", "secret"
WHY_PAUSED = {
    BY_OWNER: "You have paused it.",
    BY_FAILURE: f"It has taken no event for {PATIENCE.days} days.",
    BY_GONE: "It has answered 410 (Gone).",
    BY_SECRET: "Its secret can no longer be read here: make a new one.",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account. Those of one `subject` reach an endpoint in the order of their `place`."""

    type: str
    event_id: str
    at: datetime
    data: Mapping[str, Any]
    subject: str
    place: str

    @property
    def body(self) -> str:
        return json.dumps({"type": self.type, "timestamp": to_iso(self.at), "data": self.data}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account wants its events. It lives as long as the account's row names it (`Account.webhooks`)."""

    endpoint_id: str
    account_id: str
    user_email: AccountKey
    url: str
    types: tuple[str, ...]
    created_at: datetime
    secret: str  # sealed
    name: str = ""
    old_secret: str | None = None  # sealed; signs beside the new one until `old_until`
    old_until: datetime | None = None
    paused_at: datetime | None = None
    paused_by: str = ""
    resumed_at: datetime | None = None  # what was held meanwhile is tried for as long as what is new
    parked: bool = False  # some of what waits is not due before the endpoint goes on
    failing_since: datetime | None = None  # the first failure since the last success
    failures: int = 0  # in a row
    rest_until: datetime | None = None
    slow: bool = False  # the last answer took long
    version: int = 0  # counts what its owner changed

    @property
    def paused(self) -> bool:
        return self.paused_at is not None

    def signers(self, now: datetime) -> tuple[str, ...]:
        """The sealed secrets that sign now, the newest first."""
        both = self.old_secret and self.old_until and now < self.old_until
        return (self.secret, self.old_secret) if both and self.old_secret else (self.secret,)


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: when, what was answered (`status`) or why nothing was, and after how many milliseconds."""

    at: datetime
    took_ms: int
    status: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. It waits as long as the row has `waiting`, and is due where it has a shard.

    `lane` is the endpoint with the subject, `place` where the event stands in it.
    """

    lane: str
    place: str
    endpoint_id: str
    event_id: str
    type: str
    created_at: datetime
    expires_at: int  # seconds since 1970
    body: str = ""
    due_at: datetime | None = None
    attempts: int = 0
    waiting: str = ""  # the endpoint, while it waits
    due_shard: str = ""
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    queued_at: datetime | None = None  # when somebody last asked to send it again
    dropped: str = ""  # why nobody sends it any more
    tries: tuple[Try, ...] = ()  # the newest last
    headers: Mapping[str, str] = field(default_factory=dict)  # of the newest request, without its signature
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""  # the first 64 KiB of the newest

    @property
    def delivery_id(self) -> str:
        endpoint_id, _, subject = self.lane.partition("#")
        return write_cursor([subject, self.place], ("delivery", endpoint_id))

    @property
    def waiting_since(self) -> datetime:
        return self.queued_at or self.created_at

    @property
    def state(self) -> str:
        if self.waiting:
            return "waiting" if self.due_shard else "held"
        if self.dropped:
            return "dropped"
        return "failed" if self.failed_at else "delivered"

    @property
    def last(self) -> Try | None:
        return self.tries[-1] if self.tries else None


def new_endpoint_id() -> str:
    return "we_" + secrets.token_urlsafe(12).replace("-", "A").replace("_", "B")


def new_secret() -> str:
    """As Standard Webhooks write it: 32 bytes in base64 behind `whsec_`."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, event_id: str, at: int, body: str) -> str:
    """One signature of the header `webhook-signature`:
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
    """
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{event_id}.{at}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def check_types(types: object) -> tuple[str, ...]:
    """In the order of TYPES. Raises InvalidInput."""
    given = types if isinstance(types, list | tuple) else ()
    if not given or any(one not in TYPES for one in given):
        raise InvalidInput("Choose one event at least: " + ", ".join(TYPES) + ".", field="types")
    return tuple(one for one in TYPES if one in given)


def check_name(name: object) -> str:
    words = trimmed(storable(name, "name"))
    if len(words) > MAX_NAME:
        raise InvalidInput(f"At most {MAX_NAME} characters fit.", field="name")
    return words


def lane_of(endpoint_id: str, subject: str) -> str:
    return f"{endpoint_id}#{subject}"


def place_of(endpoint_id: str, delivery_id: str) -> tuple[str, str]:
    """Lane and place by the id of a delivery. Raises NotFound."""
    try:
        subject, place = read_cursor(delivery_id, 2, ("delivery", endpoint_id))
    except BadCursor:
        raise NotFound("There is no such delivery.") from None
    if not (isinstance(subject, str) and isinstance(place, str) and subject and place):
        raise NotFound("There is no such delivery.")
    return lane_of(endpoint_id, subject), place


def due_shard(lane: str) -> str:
    return f"due#{zlib.crc32(lane.encode()) % SHARDS}"


def next_wait(attempts: int) -> float:
    """Seconds before the next try: three times as long after each, up to four hours, and never twice the same."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * 3.0 ** min(attempts - 1, 12))
    return wait * random.uniform(0.75, 1.25)  # nosec B311 # noqa: S311 - jitter, no secret


def rest(failures: int) -> float:
    """Seconds for which an endpoint that has failed is left alone, whatever else waits for it."""
    return min(REST, 2.0 ** min(failures, 12))


def of_task(kind: str, task: Task) -> Event:
    """What the API shows of the task, of its texts those alone by which its customer knows it. A task that is started
    again is another event.
    """
    event_id = _id(kind, task.task_id, str(task.version))
    data = {
        "task_id": task.task_id,
        "status": task.status,
        "reference": task.reference or None,
        "tags": list(task.tags),
        "credits_spent": task.credits_spent,
        "created_at": to_iso(task.created_at),
        "updated_at": to_iso(task.updated_at),
        "redo_of": task.redo_of,
        "key_id": task.key_id,
    }
    return Event(kind, event_id, task.updated_at, data, task.task_id, f"{task.version:010d}")


def low_credits(account: Account, now: datetime) -> Event:
    """`account` as it is after the spend that took it below its threshold."""
    data = {"credits": account.credits_balance, "low_balance_threshold": account.low_balance_threshold}
    return _alone(LOW, now, data, account.account_id, str(account.ledger_sequence))


def added_credits(entry: PostedEntry, now: datetime) -> Event | None:
    """Of a row that brings credits; not of one that gives a task's back, which its own event tells."""
    if entry.amount <= 0 or entry.type == REFUND:
        return None
    data = {
        "transaction_id": entry.transaction_id,
        "source": entry.type,
        "credits_added": entry.amount,
        "credits": entry.balance_after,
    }
    return _alone(ADDED, now, data, entry.transaction_id)


def revoked_key(key_id: str, name: str, now: datetime) -> Event:
    return _alone(KEY_REVOKED, now, {"key_id": key_id, "name": name}, key_id)


def test_event(now: datetime) -> Event:
    return _alone(TEST, now, {"message": "This is a test."}, secrets.token_urlsafe(9))


def delivery_of(event: Event, endpoint_id: str) -> Delivery:
    lane = lane_of(endpoint_id, event.subject)
    return Delivery(
        lane=lane,
        place=event.place,
        endpoint_id=endpoint_id,
        event_id=event.event_id,
        type=event.type,
        created_at=event.at,
        expires_at=int((event.at + KEPT_FOR).timestamp()),
        body=event.body,
        due_at=event.at,
        waiting=endpoint_id,
        due_shard=due_shard(lane),
    )


def _alone(kind: str, now: datetime, data: Mapping[str, Any], *cause: str) -> Event:
    """An event that is in no order with any other."""
    event_id = _id(kind, *cause)
    return Event(kind, event_id, now, data, event_id, "1")


def _id(*cause: str) -> str:
    digest = hashlib.sha256("\n".join(cause).encode()).digest()
    return "evt_" + base64.b32encode(digest[:16]).decode().rstrip("=").lower()
