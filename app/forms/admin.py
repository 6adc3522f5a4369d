"""Forms of the operators' pages, and the filters in their addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from flask import Request
from flask_wtf import FlaskForm
from wtforms import MultipleFileField, StringField, TextAreaField
from wtforms.validators import InputRequired

from app.domain.desk import HOURS, VIEWS, WAITING, QueueFilter
from app.domain.errors import Malformed
from app.domain.tasks import DEFAULT_LEASE_MINUTES, MAX_LEASE_MINUTES, check_reason, check_result
from app.domain.text import plain_address, trimmed

from .base import IdempotencyKey, WholeNumber, rule, unix_newlines
from .paging import MAX_SEARCH

MAX_BULK = 50
MAX_TASK_ID = 1_024  # bytes; the original product gave ids of its own


class ReasonForm(FlaskForm):
    reason = StringField("Reason", validators=[rule(check_reason)])


class ResultForm(FlaskForm):
    result = TextAreaField("Result", filters=[unix_newlines], validators=[rule(check_result)])
    files = MultipleFileField("Files")


class AdjustForm(FlaskForm):
    amount = WholeNumber(
        "Credits",
        such_as="100 or -100",
        validators=[InputRequired("Give a whole number of credits, such as 100 or -100.")],
    )
    reason = StringField("Reason", validators=[rule(check_reason)])
    request_id = IdempotencyKey()


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the audit log shows: up to and including a day, an operator, a kind of act, or all of one subject."""

    until: date
    actor: str
    action: str
    subject: str


def read_audit_filter(request: Request, today: date) -> AuditFilter:
    """Raises Malformed."""
    text = request.args.get("until", "")
    try:
        until = date.fromisoformat(text) if text else today
    except ValueError as error:
        raise Malformed("until must look like 2026-11-22.") from error
    return AuditFilter(
        until=min(until, today),
        actor=plain_address(request.args.get("actor", ""))[:254],
        action=request.args.get("action", "")[:40],
        subject=_subject(request.args.get("subject", ""))[:254],
    )


def _subject(text: str) -> str:
    """An id as it was pasted; an address as accounts are kept by."""
    return plain_address(text) if "@" in text else trimmed(text)


def read_span(values: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Two moments of UTC, `since` and `until`; the last day where they are left out. Raises Malformed."""
    try:
        since, until = (datetime.fromisoformat(values.get(name) or "9999-01-01") for name in ("since", "until"))
    except ValueError as error:
        raise Malformed("A moment looks like 2026-11-22T15:30.") from error
    until = min(until.replace(tzinfo=UTC), now)
    return (since.replace(tzinfo=UTC) if values.get("since") else until - timedelta(days=1)), until


def read_minutes(text: str | None) -> int:
    """A lease's length from a form; the domain checks that it is reasonable. Raises Malformed."""
    if not text:
        return DEFAULT_LEASE_MINUTES
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise Malformed(f"minutes must be a whole number from 1 to {MAX_LEASE_MINUTES}.")
    return int(text)


def read_queue_filter(values: Mapping[str, str]) -> QueueFilter:
    """Raises Malformed."""
    view, hours = values.get("view") or WAITING, values.get("hours") or "0"
    if view not in VIEWS:
        raise Malformed(f"view must be one of {', '.join(VIEWS)}.")
    if hours not in ("0", *map(str, HOURS)):
        raise Malformed(f"hours must be one of {', '.join(map(str, HOURS))}.")
    words, customer = (trimmed(values.get(name, ""))[:MAX_SEARCH] for name in ("q", "customer"))
    return QueueFilter(view=view, q=words, customer=customer, hours=int(hours))


def read_task_ids(values: list[str]) -> list[str]:
    """The tasks that were ticked, each once. Raises Malformed for more than a page holds."""
    chosen = list(dict.fromkeys(value for value in values if 0 < len(value.encode(errors="replace")) <= MAX_TASK_ID))
    if len(chosen) > MAX_BULK:
        raise Malformed(f"At most {MAX_BULK} tasks at once.")
    return chosen
