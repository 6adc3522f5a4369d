"""What several calls of the JSON API are asked with: see call.py."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, field

from app.domain.tasks import MAX_IDEMPOTENCY_KEY, MAX_REASON, check_note, check_reason
from app.forms.api import IDEMPOTENCY_KEY, check_key
from app.forms.paging import DEFAULT_LIMIT, MAX_LIMIT, MAX_SEARCH, as_search, check_limit

from .call import Headers, Query, checked, readable, told
from .shape import NOT_BLANK

STORABLE = r"^[^\u0000]*$"
TaskId: TypeAlias = Annotated[str, told(minLength=1, examples=["task_fmg2xoq4bm7ky4l6d4xkzjm7py"])]
PaymentId: TypeAlias = Annotated[str, told(minLength=1, examples=["pi_3NqYk2Lkd"])]
AccountId: TypeAlias = Annotated[str, told(pattern="^[A-Za-z0-9_-]{1,64}$")]
FileNumber: TypeAlias = Annotated[int, Meta(ge=1)]
EmailInPath: TypeAlias = Annotated[str, told(format="email")]
FileId: TypeAlias = Annotated[str, told(pattern="^[0-9a-f]{16}$")]
Reason: TypeAlias = Annotated[
    str, checked(check_reason, pattern=NOT_BLANK, minLength=1, maxLength=MAX_REASON, examples=["It is no task."])
]
Note: TypeAlias = Annotated[
    str,
    checked(check_note, pattern=NOT_BLANK, minLength=1, maxLength=MAX_REASON, examples=["Page 2 is missing."]),
]
Search: TypeAlias = Annotated[
    str,
    readable(as_search, description=f"Words to look for; the first {MAX_SEARCH} characters count.", pattern=STORABLE),
]


class Keyed(Headers):
    """A call that is done once for a key."""

    idempotency_key: Annotated[
        str | None,
        readable(
            check_key,
            description="Repeat a request whose answer was lost with the same key: done once. An empty one is refused.",
            minLength=1,
            maxLength=MAX_IDEMPOTENCY_KEY,
            pattern="^[!-~]([ -~]*[!-~])?$",
        ),
    ] = field(default=None, name=IDEMPOTENCY_KEY)


class Paging(Query):
    """Of a list that comes in pages."""

    limit: Annotated[int, readable(check_limit, description=f"Rows of a page; clamped to 1 to {MAX_LIMIT}.")] = (
        DEFAULT_LIMIT
    )
    cursor: Annotated[str | None, told("The next_cursor of the page before, unchanged.", pattern=STORABLE)] = None
