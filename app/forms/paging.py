"""Paging and filters as they come in a query string."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from flask import Request

from app.domain.clock import from_iso
from app.domain.errors import InvalidInput, Malformed
from app.domain.labels import check_tag
from app.domain.tasks import STATUSES
from app.domain.text import trimmed

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
MAX_SEARCH = 200
MAX_DIGITS = 18  # of a number in an address; more of them change nothing
BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)  # nothing of ours lies outside
MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Paging:
    limit: int
    cursor: str | None


def read_paging(request: Request) -> Paging:
    """`limit` is clamped to 1..100. Raises Malformed when it is no number."""
    text = request.args.get("limit", "")
    return Paging(check_limit(text) if text else DEFAULT_LIMIT, request.args.get("cursor") or None)


def check_limit(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]+", text):
        raise Malformed("limit must be a whole number from 1 to 100.")
    return min(max(int(text[:MAX_DIGITS]), 1), MAX_LIMIT)


def read_status(request: Request) -> str:
    status = request.args.get("status", "")
    if status and status not in STATUSES:
        raise Malformed(f"status must be one of {', '.join(STATUSES)}.")
    return status


def read_search(request: Request) -> str:
    return as_search(request.args.get("q", ""))


def as_search(text: str) -> str:
    return trimmed(text)[:MAX_SEARCH]


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What a history shows, as it stands in the address. The days are UTC, both included."""

    q: str = ""
    status: str = ""
    since: date | None = None
    until: date | None = None
    oldest_first: bool = False
    tag: str = ""

    @property
    def is_set(self) -> bool:
        return bool(self.q or self.status or self.since or self.until or self.tag)

    @property
    def is_reversed(self) -> bool:
        """Whether no day can lie between the two."""
        return bool(self.since and self.until and self.since > self.until)

    @property
    def is_search(self) -> bool:
        """Whether many rows may be looked at for a page."""
        return bool(self.q or (self.tag and self.status))

    def address(self) -> dict[str, str]:
        """The parameters of the address that shows the same."""
        found = {
            "q": self.q,
            "status": self.status,
            "since": self.since.isoformat() if self.since else "",
            "until": self.until.isoformat() if self.until else "",
            "sort": "oldest" if self.oldest_first else "",
            "tag": self.tag,
        }
        return {name: value for name, value in found.items() if value}


def read_task_filter(request: Request) -> TaskFilter:
    """Raises Malformed."""
    sort = request.args.get("sort", "")
    if sort not in ("", "newest", "oldest"):
        raise Malformed("sort must be newest or oldest.")
    return TaskFilter(
        q=read_search(request),
        status=read_status(request),
        since=_read_day(request, "since"),
        until=_read_day(request, "until"),
        oldest_first=sort == "oldest",
        tag=_read_tag(request),
    )


def _read_tag(request: Request) -> str:
    text = trimmed(request.args.get("tag", ""))
    try:
        return check_tag(text) if text else ""
    except InvalidInput as error:
        raise Malformed(error.message) from error


def _read_day(request: Request, name: str) -> date | None:
    text = request.args.get(name, "")
    return as_day(text, name) if text else None


def as_day(text: str, name: str = "A day") -> date:
    """Raises Malformed."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Malformed(f"{name} must look like 2026-11-22.") from error


def as_moment(text: str) -> datetime:
    """UTC where the text does not say; what lies outside the century is its edge. Raises Malformed."""
    try:
        moment = from_iso(text)
    except ValueError:
        raise Malformed("A moment must look like 2026-11-22T15:27:52.123456Z.") from None
    return min(max(moment, BEGINNING), END).astimezone(UTC)


def read_month(request: Request) -> str:
    month = request.args.get("month", "")
    return check_month(month) if month else ""


def check_month(month: str) -> str:
    if not MONTH.fullmatch(month):
        raise Malformed("month must look like 2026-11.")
    return month
