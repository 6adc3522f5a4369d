"""What the API answers, typed. A field, a status or a type that is not known here survives: see `raw` of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .errors import Unusable

PENDING, IN_PROGRESS = "pending", "in-progress"
COMPLETED, CANCELLED, REJECTED = "completed", "cancelled", "rejected"
CLOSED = frozenset({COMPLETED, CANCELLED, REJECTED})

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """A file of a result; `number` counts from 1."""

    number: int
    name: str
    size_bytes: int
    content_type: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> File:
        return cls(
            number=_whole(raw, "number") or 0,
            name=_text(raw, "name") or "file",
            size_bytes=_whole(raw, "size_bytes") or 0,
            content_type=_text(raw, "content_type") or "application/octet-stream",
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that is to be submitted: with `reference`, your own name for it, and up to ten `tags`. Raises Unusable."""

    description: str
    reference: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.tags, str):
            raise Unusable("Tags are a list of texts.")

    @classmethod
    def of(cls, given: NewTask | str) -> NewTask:
        return given if isinstance(given, NewTask) else cls(given)

    @property
    def body(self) -> dict[str, Any]:
        """As the API takes it."""
        said: dict[str, Any] = {"description": self.description}
        said |= {"reference": self.reference} if self.reference is not None else {}
        return said | ({"tags": [*self.tags]} if self.tags else {})

    @property
    def labels(self) -> set[str]:
        """What the server writes beside the task: a row for its reference, one for each tag of a request."""
        own = {f"ref {self.reference}"} if self.reference else set()
        return own | {f"tag {tag.strip().casefold()}" for tag in self.tags}


@dataclass(frozen=True, slots=True)
class Task:
    """A task. Lists leave `result`, `files` and `reason` out: `get` and `wait` have them.

    `status` is one of the words above, or one that came after this package was made: such a task counts as open.
    `credits_remaining` is the balance after a submit or a cancel, None elsewhere.
    """

    task_id: str
    status: str
    description: str
    reference: str | None
    tags: tuple[str, ...]
    credits_spent: int
    created_at: datetime | None
    updated_at: datetime | None
    completed_at: datetime | None
    key_id: str | None
    result: str | None
    files: tuple[File, ...]
    reason: str | None
    redo_of: str | None
    redone_by: str | None
    credits_remaining: int | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Task:
        return cls(
            task_id=_text(raw, "task_id") or "",
            status=_text(raw, "status") or "",
            description=_text(raw, "description") or "",
            reference=_text(raw, "reference"),
            tags=_texts(raw, "tags"),
            credits_spent=_whole(raw, "credits_spent") or 0,
            created_at=_moment(raw, "created_at"),
            updated_at=_moment(raw, "updated_at"),
            completed_at=_moment(raw, "completed_at"),
            key_id=_text(raw, "key_id"),
            result=_text(raw, "result"),
            files=tuple(File.read(file) for file in _objects(raw, "files")),
            reason=_text(raw, "reason"),
            redo_of=_text(raw, "redo_of"),
            redone_by=_text(raw, "redone_by"),
            credits_remaining=_whole(raw, "credits_remaining"),
            raw=raw,
        )

    @property
    def is_open(self) -> bool:
        return self.status not in CLOSED


@dataclass(frozen=True, slots=True)
class Account:
    """Whose key it is, and what is left: `credits` can be below zero after a payment was refunded."""

    email: str
    credits: int
    open_tasks: int
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Account:
        return cls(
            email=_text(raw, "email") or "",
            credits=_whole(raw, "credits") or 0,
            open_tasks=_whole(raw, "open_tasks") or 0,
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Transaction:
    """A row of the ledger; `amount` is signed credits. Rows of the original product have no balance and no sequence.

    `words` are those of its task, as far as a statement holds them. `money_cents` is signed, in the smallest unit of
    `currency`; both are None where no money moved.
    """

    transaction_id: str
    type: str
    amount: int
    timestamp: datetime | None
    description: str
    balance_after: int | None
    sequence: int | None
    task_id: str | None
    key_id: str | None
    words: str | None
    money_cents: int | None
    currency: str | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Transaction:
        return cls(
            transaction_id=_text(raw, "transaction_id") or "",
            type=_text(raw, "type") or "",
            amount=_whole(raw, "amount") or 0,
            timestamp=_moment(raw, "timestamp"),
            description=_text(raw, "description") or "",
            balance_after=_whole(raw, "balance_after"),
            sequence=_whole(raw, "sequence"),
            task_id=_text(raw, "task_id"),
            key_id=_text(raw, "key_id"),
            words=_text(raw, "words"),
            money_cents=_whole(raw, "money_cents"),
            currency=_text(raw, "currency"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """The ledger of one UTC month, in credits: `opening` + `credits_in` - `credits_out` is `closing`.

    `for row in statement` reads its rows, the oldest first.
    """

    month: str
    opening: int
    credits_in: int
    credits_out: int
    closing: int
    rows: tuple[Transaction, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Statement:
        return cls(
            month=_text(raw, "month") or "",
            opening=_whole(raw, "opening") or 0,
            credits_in=_whole(raw, "credits_in") or 0,
            credits_out=_whole(raw, "credits_out") or 0,
            closing=_whole(raw, "closing") or 0,
            rows=tuple(Transaction.read(row) for row in _objects(raw, "transactions")),
            raw=raw,
        )

    def __iter__(self) -> Iterator[Transaction]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class NotCancelled:
    """A task that stays as it is; `code` and `message` are those that its own cancel would have been refused with."""

    task_id: str
    code: str
    message: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> NotCancelled:
        return cls(
            task_id=_text(raw, "task_id") or "",
            code=_text(raw, "code") or "",
            message=_text(raw, "error") or "It was not cancelled.",
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of several tasks that were to be cancelled. `credits_remaining` is None where none was asked for."""

    tasks: tuple[Task, ...]
    refused: tuple[NotCancelled, ...]
    credits_remaining: int | None

    @classmethod
    def read(cls, raw: Json) -> Cancelled:
        return cls(
            tasks=tuple(Task.read(task) for task in _objects(raw, "cancelled")),
            refused=tuple(NotCancelled.read(one) for one in _objects(raw, "refused")),
            credits_remaining=_whole(raw, "credits_remaining"),
        )

    def __add__(self, later: Cancelled) -> Cancelled:
        return Cancelled(self.tasks + later.tasks, self.refused + later.refused, later.credits_remaining)


def tasks_of(raw: Json) -> tuple[Task, ...]:
    return tuple(Task.read(task) for task in _objects(raw, "tasks"))


def _objects(raw: Json, name: str) -> list[Json]:
    return [one for one in raw.get(name) or () if isinstance(one, Mapping)]


def _texts(raw: Json, name: str) -> tuple[str, ...]:
    value = raw.get(name)
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _text(raw: Json, name: str) -> str | None:
    value = raw.get(name)
    return value if isinstance(value, str) else None


def _whole(raw: Json, name: str) -> int | None:
    value = raw.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(raw: Json, name: str) -> datetime | None:
    """An aware moment; None for what is none."""
    value = raw.get(name)
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
