"""Access patterns of the Outbox table: mails that a transaction promised, until they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.domain.clock import from_iso, to_iso
from app.domain.errors import AlreadyRecorded, NotFound

from .base import Base, Page
from .client import Stale
from .tables import OUTBOX, OUTBOX_INDEX, OUTBOX_USER_INDEX, RATE_LIMITS, STATUS
from .transaction import Writes

TABLE = OUTBOX.suffix
DUE = "due"
FAILED = "failed"
KEEP_SENT = timedelta(days=90)
TROUBLE = {"name": "mail"}
TOLD_WINDOW = timedelta(days=1)


class ToldMeanwhile(Stale):
    """Another notice was counted since: count again, and decide again whether this one is told."""


@dataclass(frozen=True, slots=True)
class Told:
    """How many notices an account had in the day that began with the first of them; `row` is what stood there."""

    since: datetime
    times: int = 0
    row: tuple[datetime, int] | None = None


@dataclass(frozen=True, slots=True)
class MailTrouble:
    """SES takes no mail from us: in its words why, since when, how often it said so, and when it is asked again."""

    reason: str
    since: datetime
    until: datetime
    times: int


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be rendered when it is sent. `mail_id` follows from its cause, so that a replay is not a second mail.

    `context` holds plain facts, never a link's token: links are made at sending, from the account as it is then.
    """

    mail_id: str
    kind: str
    to: str
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


class MailReads(Base):
    def list_due(self, now: datetime, *, limit: int = 25) -> list[Mail]:
        return self._page(
            TABLE,
            OUTBOX_INDEX,
            ("queue", DUE),
            key_names=("due_at", "mail_id"),
            make=_mail,
            limit=limit,
            between=("due_at", "0", to_iso(now)),
            newest_first=False,
        ).items

    def list_failed(
        self, *, limit: int, cursor: str | None = None, between: tuple[datetime, datetime] | None = None
    ) -> Page[Mail]:
        """Newest first; `between` two moments at which they failed."""
        return self._page(
            TABLE,
            OUTBOX_INDEX,
            ("queue", FAILED),
            key_names=("due_at", "mail_id"),
            make=_mail,
            limit=limit,
            cursor=cursor,
            between=("due_at", to_iso(between[0]), to_iso(between[1])) if between else None,
        )

    def list_to(self, email: str, *, limit: int, cursor: str | None = None) -> Page[Mail]:
        names = ("created_at", "mail_id")
        return self._page(
            TABLE, OUTBOX_USER_INDEX, ("to", email), key_names=names, make=_mail, limit=limit, cursor=cursor
        )

    def find(self, mail_id: str) -> Mail | None:
        row = self._get(TABLE, {"mail_id": mail_id})
        return _mail(row) if row else None

    def told_of_security(self, account_id: str, now: datetime) -> Told:
        row = self._get(RATE_LIMITS.suffix, _told_key(account_id))
        stands = (from_iso(row["since"]), row["times"]) if row else None
        over = stands is None or now - stands[0] >= TOLD_WINDOW
        return Told(now, 0, stands) if over or stands is None else Told(*stands, stands)

    def trouble(self) -> MailTrouble | None:
        """Why no mail is sent at the moment, if that is so."""
        row = self._get(STATUS.suffix, TROUBLE)
        if not row or "reason" not in row:
            return None
        return MailTrouble(row["reason"], from_iso(row["since"]), from_iso(row["until"]), row["times"])


class MailUpdates(Base):
    def lease(self, mail: Mail, until: datetime) -> bool:
        """Take a due mail for this sender until `until`; False if another sender has it."""
        try:
            self._update(
                TABLE,
                {"mail_id": mail.mail_id},
                set={"due_at": to_iso(until)},
                add={"attempts": 1},
                condition="#due_at = :seen AND #queue = :due",
                seen=to_iso(mail.due_at) if mail.due_at else "",
                due=DUE,
            )
        except Stale:
            return False
        return True

    def mark_sent(self, mail: Mail, now: datetime) -> None:
        self._update(
            TABLE,
            {"mail_id": mail.mail_id},
            set={"sent_at": to_iso(now), "expires_at": int((now + KEEP_SENT).timestamp()), "queue": None},
            remove=["last_error"],
        )

    def mark_unsent(self, mail: Mail, error: str, due_at: datetime, *, give_up: bool, uncounted: bool = False) -> None:
        """Due again at `due_at`; given up, that is the moment at which it failed. `uncounted`: it was no try of it."""
        queue = FAILED if give_up else DUE
        self._update(
            TABLE,
            {"mail_id": mail.mail_id},
            set={"last_error": error, "due_at": to_iso(due_at), "queue": queue}
            | ({"attempts": mail.attempts} if uncounted else {}),
        )

    def drop(self, mail: Mail, why: str, now: datetime) -> None:
        """Nobody needs it any more: it leaves the queue unsent, and says why."""
        expires_at = int((now + KEEP_SENT).timestamp())
        self._update(TABLE, {"mail_id": mail.mail_id}, set={"last_error": why, "expires_at": expires_at, "queue": None})

    def note_trouble(self, trouble: MailTrouble) -> None:
        times = {"since": to_iso(trouble.since), "until": to_iso(trouble.until)}
        self._put(STATUS.suffix, TROUBLE | times | {"reason": trouble.reason, "times": trouble.times})

    def end_trouble(self) -> None:
        self._put(STATUS.suffix, TROUBLE)


class MailWrites(Writes):
    def enqueue(self, mail: Mail) -> None:
        """Promise a mail beside what it tells of; what it tells of is what happens once, by a condition of its own.

        So a mail never stands in the way of money: should its id be taken, it is promised again.
        """
        self.put(
            TABLE,
            {
                "mail_id": mail.mail_id,
                "kind": mail.kind,
                "to": mail.to,
                "context": dict(mail.context),
                "created_at": to_iso(mail.created_at),
                "due_at": to_iso(mail.due_at or mail.created_at),
                "queue": DUE,
                "attempts": 0,
            },
            condition=None,
            failure=Stale,
        )

    def count_security_notice(self, account_id: str, told: Told) -> None:
        """One more than was read. Raises ToldMeanwhile when that is no longer so; the row goes by itself."""
        condition, params = "attribute_not_exists(#since)", {}
        if told.row:
            condition, params = (
                "#since = :since AND #times = :times",
                {"since": to_iso(told.row[0]), "times": told.row[1]},
            )
        expires_at = int((told.since + 2 * TOLD_WINDOW).timestamp())
        row = _told_key(account_id) | {"since": to_iso(told.since), "times": told.times + 1, "expires_at": expires_at}
        self.put(RATE_LIMITS.suffix, row, condition=condition, failure=ToldMeanwhile, **params)

    def requeue(self, mail_id: str, now: datetime, *, if_failed: bool = False) -> None:
        """Send again: a failed mail, or one that was sent and asked for once more. Raises NotFound.

        Nothing of its first life stays: `expires_at` would take it away while it waits. With `if_failed` raises
        AlreadyRecorded if it is not among the failed ones any more.
        """
        self.update(
            TABLE,
            {"mail_id": mail_id},
            set={"due_at": to_iso(now), "queue": DUE, "attempts": 0, "queued_at": to_iso(now)},
            remove=["expires_at", "sent_at", "last_error"],
            condition="#queue = :failed" if if_failed else "attribute_exists(mail_id)",
            failure=AlreadyRecorded if if_failed else NotFound("There is no such mail."),
            **({"failed": FAILED} if if_failed else {}),
        )


def _told_key(account_id: str) -> dict[str, str]:
    return {"key": f"security-notices#{account_id}"}


def _mail(row: dict[str, Any]) -> Mail:
    return Mail(
        mail_id=row["mail_id"],
        kind=row["kind"],
        to=row["to"],
        created_at=from_iso(row["created_at"]),
        context=row.get("context", {}),
        due_at=from_iso(row["due_at"]),
        attempts=row.get("attempts", 0),
        sent_at=from_iso(row["sent_at"]) if row.get("sent_at") else None,
        last_error=row.get("last_error"),
        failed=row.get("queue") == FAILED,
        queued_at=from_iso(row["queued_at"]) if row.get("queued_at") else None,
    )
