"""Access patterns of the Outbox table: mails that a transaction promised, until they are sent."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta

from app.domain.clock import to_iso
from app.domain.errors import AlreadyRecorded, NotFound
from app.domain.mails import Mail, MailTrouble, SecurityNotices, Told
from app.domain.paging import Page

from .base import Base
from .client import Stale
from .records import Codec
from .tables import OUTBOX, OUTBOX_INDEX, OUTBOX_TO_INDEX, RATE_LIMITS, STATUS
from .transaction import Writes

TABLE = OUTBOX.suffix
DUE = "due"
FAILED = "failed"
KEEP_SENT = timedelta(days=90)
TROUBLE = {"name": "mail"}


class ToldMeanwhile(Stale):
    """Another notice was counted since: count again, and decide again whether this one is told."""


def _queue(mail: Mail) -> str | None:
    if mail.failed:
        return FAILED
    return None if mail.sent_at else DUE


MAIL = Codec(
    Mail,
    always={"context", "attempts"},
    but={"failed"},
    beside=lambda mail: {"queue": _queue(mail)},
    otherwise=lambda row: {"failed": row.get("queue") == FAILED},
)
MAIL_TROUBLE = Codec(MailTrouble)
NOTICES = Codec(SecurityNotices)


class MailReads(Base):
    def list_due(self, now: datetime, *, limit: int = 25) -> list[Mail]:
        return self._page(
            TABLE,
            OUTBOX_INDEX,
            ("queue", DUE),
            key_names=("due_at", "mail_id"),
            make=MAIL.record,
            limit=limit,
            between=("due_at", "0", to_iso(now)),
            newest_first=False,
        ).items

    def list_waiting(self, *, limit: int, cursor: str | None = None) -> Page[Mail]:
        """All that are to be sent, due now or put off, by when they are next."""
        names = ("due_at", "mail_id")
        queue = ("queue", DUE)
        return self._page(
            TABLE,
            OUTBOX_INDEX,
            queue,
            key_names=names,
            make=MAIL.record,
            limit=limit,
            cursor=cursor,
            newest_first=False,
        )

    def list_failed(
        self, *, limit: int, cursor: str | None = None, between: tuple[datetime, datetime] | None = None
    ) -> Page[Mail]:
        """Newest first; `between` two moments at which they failed."""
        return self._page(
            TABLE,
            OUTBOX_INDEX,
            ("queue", FAILED),
            key_names=("due_at", "mail_id"),
            make=MAIL.record,
            limit=limit,
            cursor=cursor,
            between=("due_at", to_iso(between[0]), to_iso(between[1])) if between else None,
        )

    def list_to(self, email: str, *, limit: int, cursor: str | None = None) -> Page[Mail]:
        names = ("created_at", "mail_id")
        return self._page(
            TABLE, OUTBOX_TO_INDEX, ("to", email), key_names=names, make=MAIL.record, limit=limit, cursor=cursor
        )

    def find(self, mail_id: str) -> Mail | None:
        row = self._get(TABLE, {"mail_id": mail_id})
        return MAIL.record(row) if row else None

    def told_of_security(self, account_id: str, now: datetime) -> Told:
        row = self._get(RATE_LIMITS.suffix, _told_key(account_id))
        return Told.of(NOTICES.record(row) if row else None, now)

    def trouble(self) -> MailTrouble | None:
        """Why no mail is sent at the moment, if that is so."""
        row = self._get(STATUS.suffix, TROUBLE)
        return MAIL_TROUBLE.record(row) if row and "reason" in row else None


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
        """With where it went: the address may have changed since it was promised."""
        self._update(
            TABLE,
            {"mail_id": mail.mail_id},
            set={
                "sent_at": to_iso(now),
                "expires_at": int((now + KEEP_SENT).timestamp()),
                "queue": None,
                "to": mail.to,
            },
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
        self._update(STATUS.suffix, TROUBLE, set=MAIL_TROUBLE.row(trouble))

    def end_trouble(self) -> None:
        self._update(STATUS.suffix, TROUBLE, remove=[field.name for field in fields(MailTrouble)])


class MailWrites(Writes):
    def enqueue(self, mail: Mail) -> None:
        """Promise a mail beside what it tells of; what it tells of is what happens once, by a condition of its own.

        So a mail never stands in the way of money: should its id be taken, it is promised again.
        """
        waiting = replace(mail, due_at=mail.due_at or mail.created_at, attempts=0)
        self.put(TABLE, MAIL.row(waiting), condition=None, failure=Stale)

    def count_security_notice(self, account_id: str, told: Told) -> None:
        """One more than was read. Raises ToldMeanwhile when that is no longer so; the row goes by itself."""
        condition, params = "attribute_not_exists(#since)", {}
        if told.stands:
            read = NOTICES.row(told.stands)
            condition, params = "#since = :since AND #times = :times", {name: read[name] for name in ("since", "times")}
        row = NOTICES.row(told.and_one_more())
        key = _told_key(account_id)
        self.update(RATE_LIMITS.suffix, key, set=row, condition=condition, failure=ToldMeanwhile, **params)

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
