"""One list of all that happened to a customer: payments, tasks, ledger rows, mails, operators' acts and sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.data import Store
from app.data.timeline import SOURCES, Line, Place
from app.domain.accounts import Account
from app.domain.clock import to_iso
from app.domain.errors import Malformed
from app.domain.paging import Page

SIGN_IN = "sign-in"
KINDS = (*(source.kind for source in SOURCES), SIGN_IN)
LEDGER, SIGN_INS = KINDS.index("ledger"), KINDS.index(SIGN_IN)
PAGE = 25
LOOKED_AT = 2 * PAGE  # of those that are told by another line there is at most one beside each that is shown
MOMENTS = {"act": "at", "ledger": "timestamp"}
# Rows of the ledger whose cause is a line of its own: the task, the payment, the operator's act, the adoption.
TOLD_BY_THEIR_CAUSE = ("spend#", "purchase#", "adjust#", "opening#")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline. `thing` is the row that it tells of."""

    kind: str
    thing: Any

    @property
    def at(self) -> datetime:
        moment: datetime = getattr(self.thing, MOMENTS.get(self.kind, "created_at"))
        return moment


def page(store: Store, account: Account, *, kind: str = "", cursor: str | None = None) -> Page[Event]:
    """Newest first, of one kind or of all. A page may be short and still have a next one.

    One query for each kind, however long the account is. Among all kinds a task and its spend, a payment and its
    purchase, an act and its adjustment are one line; of one kind every row is shown. Sign-ins are those whose session
    is still known: the ones that have ended are in the logs alone. Raises Malformed and BadCursor.
    """
    if kind and kind not in KINDS:
        raise Malformed(f"kind must be one of {', '.join(KINDS)}.")
    of = ("timeline", account.account_id, kind)
    place = Place.read(cursor, of) if cursor else None
    ranks = [KINDS.index(kind)] if kind else list(range(len(KINDS)))
    lines = store.timeline.lines(
        account.email,
        account.addresses,
        [r for r in ranks if r != SIGN_INS],
        place,
        LOOKED_AT,
        mails_since=account.created_at,
    )
    if SIGN_INS in ranks:
        lines += _sign_ins(account, place)
    lines.sort(key=lambda line: (line.at, -line.rank, line.line_id), reverse=True)  # at one moment as they are ranked
    looked_at = lines[: LOOKED_AT - 1]  # a kind that has more rows has at least one more line than that
    shown = [at for at, line in enumerate(looked_at) if kind or not _is_told_by_its_cause(line)][:PAGE]
    end = shown[-1] + 1 if len(shown) == PAGE else len(looked_at)
    events = [Event(KINDS[lines[at].rank], lines[at].thing) for at in shown]
    return Page(events, lines[end - 1].cursor(of) if end < len(lines) else None)


def _is_told_by_its_cause(line: Line) -> bool:
    return line.rank == LEDGER and line.line_id.startswith(TOLD_BY_THEIR_CAUSE)


def _sign_ins(account: Account, place: Place | None) -> list[Line]:
    lines = [Line(to_iso(session.created_at), SIGN_INS, key, session) for key, session in account.sessions.items()]
    lines.sort(key=lambda line: (line.at, line.line_id), reverse=True)
    if place is None:
        return lines
    if place.rank == SIGN_INS:
        return [line for line in lines if (line.at, line.line_id) < (place.at, place.line_id)]
    return [line for line in lines if line.at <= place.until(SIGN_INS)]
