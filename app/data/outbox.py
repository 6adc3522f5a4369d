"""Access patterns of the Outbox table: mails that a transaction promised, until they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from app.domain.clock import to_iso
from app.domain.errors import AlreadyRecorded, BadCursor, NotFound
from app.domain.mails import DUE_SHARDS, Mail, MailTrouble, SecurityNotices, Told, due_shard
from app.domain.paging import LAST, Page, read_cursor, write_cursor

from .base import Base, fits_a_key, in_parts
from .client import Stale
from .codec import Item, decode_item
from .records import Codec
from .tables import OUTBOX, OUTBOX_DUE_INDEX, OUTBOX_INDEX, OUTBOX_TO_INDEX, RATE_LIMITS, STATUS
from .threads import SHARDS, side_by_side
from .transaction import Writes

TABLE = OUTBOX.suffix
DUE = "due"
FAILED = "failed"
WAITING_LIST = ("mails", "waiting")  # what a cursor of `list_waiting` is bound to
# Where mails that are to be sent are found. The last is where the release before puts, and looks for, all of them.
SOURCES = (
    *((OUTBOX_DUE_INDEX, "due_shard", f"due#{number}") for number in range(DUE_SHARDS)),
    (OUTBOX_INDEX, "queue", DUE),
)
# The release before ends a mail without a word of its shard: the row says that it is over by what it lacks or holds.
IS_DUE = (
    "(#queue = :due OR (attribute_exists(#due_shard) AND attribute_not_exists(#queue)"
    " AND attribute_not_exists(#expires_at)))"
)
KEEP_SENT = timedelta(days=90)
Place = tuple[str, str]  # when it is due, and its id
TROUBLE = {"name": "mail"}


class ToldMeanwhile(Stale):
    """Another notice was counted since: count again, and decide again whether this one is told."""


@dataclass(slots=True)
class OneKey:
    """Whether mails that are to be sent stand under one key, too, where the release before looks: OUTBOX_ONE_KEY."""

    kept: bool = True


one_key = OneKey()


@dataclass(frozen=True, slots=True)
class DueMails:
    """Of one source, oldest first; `left` are ids of mails in it that the release before has sent or ended."""

    mails: list[Mail] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def _waits(mail_id: str) -> dict[str, str | None]:
    """What says that a mail is to be sent."""
    return {"queue": DUE if one_key.kept else None, "due_shard": due_shard(mail_id)}


def _ended(queue: str | None = None) -> dict[str, str | None]:
    return {"queue": queue, "due_shard": None}


def _stands(mail: Mail) -> dict[str, str | None]:
    if mail.failed or mail.sent_at:
        return _ended(FAILED if mail.failed else None)
    return _waits(mail.mail_id)


def is_due(row: dict[str, Any]) -> bool:
    """IS_DUE of a row that was read."""
    return row.get("queue") == DUE or ("due_shard" in row and not {"queue", "expires_at"} & row.keys())


MAIL = Codec(
    Mail,
    always={"context", "attempts"},
    but={"failed"},
    beside=_stands,
    otherwise=lambda row: {"failed": row.get("queue") == FAILED},
)
MAIL_TROUBLE = Codec(MailTrouble)
NOTICES = Codec(SecurityNotices)


class MailReads(Base):
    def list_due(self, now: datetime, *, limit: int = 25) -> list[Mail]:
        """Of all sources, oldest first."""
        found = {mail.mail_id: mail for due in self.list_due_apart(now, limit=limit) for mail in due.mails}
        return sorted(found.values(), key=lambda mail: (mail.due_at or now, mail.mail_id))[:limit]

    def list_due_apart(self, now: datetime, *, limit: int = 25) -> list[DueMails]:
        """Of each source, as many; one that stands under the one key, too, is in two of them.

        The index says which, the rows what they are at this moment: it is behind them by a while.
        """
        return side_by_side(SHARDS, [partial(self._due_of, source, to_iso(now), limit) for source in SOURCES])

    def _due_of(self, source: tuple[str, str, str], until: str, limit: int) -> DueMails:
        found = DueMails()
        for ids in self._ids(source, "0", until, limit):
            for row in self._rows([mail_id for _, mail_id in ids]):
                if is_due(row):
                    found.mails.append(MAIL.record(row))
                elif "due_shard" in row:
                    found.left.append(row["mail_id"])
            if len(found.mails) >= limit:
                break
        until_then = [mail for mail in found.mails if mail.due_at and to_iso(mail.due_at) <= until]
        return replace(found, mails=until_then[:limit])

    def list_waiting(self, *, limit: int, cursor: str | None = None) -> Page[Mail]:
        """All that are to be sent, due now or put off, by when they are next."""
        place = _place_of(cursor)
        found = side_by_side(SHARDS, [partial(self._beyond, source, place, limit + 1) for source in SOURCES])
        places = sorted({each for of_source in found for each in of_source})
        shown = places[:limit]
        mails = [MAIL.record(row) for row in self._rows([mail_id for _, mail_id in shown]) if is_due(row)]
        mails.sort(key=lambda mail: (to_iso(mail.due_at) if mail.due_at else "", mail.mail_id))
        return Page(mails, write_cursor(list(shown[-1]), WAITING_LIST) if len(places) > limit else None)

    def _beyond(self, source: tuple[str, str, str], place: Place, limit: int) -> list[Place]:
        """The first places of a source beyond `place`: those of the same moment are in no order that is promised."""
        found: list[Place] = []
        for places in self._ids(source, place[0], LAST, limit):
            found += [each for each in places if each > place]
            if len(found) >= limit:
                break
        return found

    def _ids(self, source: tuple[str, str, str], low: str, high: str, limit: int) -> Iterator[list[Place]]:
        """Places within a source, some at a time, to its end."""
        index, name, value = source
        start: Item | None = None
        while True:
            query = self._query(TABLE, index, (name, value), limit, start, ("due_at", low, high), newest_first=False)
            answer = self._query_from(query, theirs=False)
            yield [(row["due_at"], row["mail_id"]) for row in map(decode_item, answer["Items"])]
            start = answer.get("LastEvaluatedKey")
            if start is None:
                return

    def _rows(self, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
        """As they are now, those that are there; 100 in one call."""
        for some in in_parts(ids):
            yield from filter(None, self._get_many([(TABLE, {"mail_id": mail_id}) for mail_id in some]))

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
            narrowed=tuple(map(to_iso, between or ())),
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
                set={"due_at": to_iso(until), "due_shard": due_shard(mail.mail_id)},
                add={"attempts": 1},
                condition=f"#due_at = :seen AND {IS_DUE}",
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
                "to": mail.to,
                **_ended(),
            },
            remove=["last_error"],
        )

    def mark_unsent(self, mail: Mail, error: str, due_at: datetime, *, give_up: bool, uncounted: bool = False) -> None:
        """Due again at `due_at`; given up, that is the moment at which it failed. `uncounted`: it was no try of it."""
        stands = _ended(FAILED) if give_up else _waits(mail.mail_id)
        self._update(
            TABLE,
            {"mail_id": mail.mail_id},
            set={"last_error": error, "due_at": to_iso(due_at)}
            | stands
            | ({"attempts": mail.attempts} if uncounted else {}),
        )

    def drop(self, mail: Mail, why: str, now: datetime) -> None:
        """Nobody needs it any more: it leaves the queue unsent, and says why."""
        expires_at = int((now + KEEP_SENT).timestamp())
        ended = {"last_error": why, "expires_at": expires_at, **_ended()}
        self._update(TABLE, {"mail_id": mail.mail_id}, set=ended)

    def leave_shard(self, mail_id: str) -> None:
        """Take a mail out of its shard that the release before has sent or ended; one that is due stays."""
        with suppress(Stale):
            condition = f"attribute_exists(#due_shard) AND NOT {IS_DUE}"
            self._update(TABLE, {"mail_id": mail_id}, remove=["due_shard"], condition=condition, due=DUE)

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
            set={"due_at": to_iso(now), "attempts": 0, "queued_at": to_iso(now), **_waits(mail_id)},
            remove=["expires_at", "sent_at", "last_error"],
            condition="#queue = :failed" if if_failed else "attribute_exists(mail_id)",
            failure=AlreadyRecorded if if_failed else NotFound("There is no such mail."),
            **({"failed": FAILED} if if_failed else {}),
        )


def _place_of(cursor: str | None) -> Place:
    """Raises BadCursor."""
    if not cursor:
        return "0", ""
    due_at, mail_id = read_cursor(cursor, 2, WAITING_LIST)
    if not (fits_a_key(due_at) and fits_a_key(mail_id)):
        raise BadCursor
    return due_at, mail_id


def _told_key(account_id: str) -> dict[str, str]:
    return {"key": f"security-notices#{account_id}"}
