"""Tasks: what one is, what it costs, and which state may follow which."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from .accounts import AccountKey
from .errors import InvalidInput, Malformed, WrongState
from .labels import check_reference, check_tags
from .paging import Page
from .text import one_line, shows, storable, trimmed

TASK_COST = 10
MAX_DESCRIPTION = 5_000
MAX_TITLE = 120
MAX_IDEMPOTENCY_KEY = 255
MAX_BATCH = 30  # two writes for a task, one for a label, and the account: a transaction holds 100
MAX_RESULT = 50_000
MAX_REASON = 500
MAX_LEASE_MINUTES = 240
DEFAULT_LEASE_MINUTES = 30
REDO_WINDOW = timedelta(days=14)
# By how much a program that follows changes goes back: two clocks of which each is half a minute off before anybody is
# told, and the seconds until a change that was dated as it began is committed and listed.
OVERLAP_SECONDS = 120
A_MOMENT = timedelta(microseconds=1)  # the least by which two moments differ
MIN_SAMPLES = 5  # of finished tasks, before anything is said about how long one takes

PENDING, IN_PROGRESS, COMPLETED, CANCELLED, REJECTED = "pending", "in-progress", "completed", "cancelled", "rejected"
STATUSES = (PENDING, IN_PROGRESS, COMPLETED, CANCELLED, REJECTED)
OPEN_STATUSES = frozenset({PENDING, IN_PROGRESS})
AGES = ((timedelta(hours=4), "late"), (timedelta(hours=1), "due"))  # how long a task has been open, in a word
NOT_HELD = {  # why an operator's step on a task is refused that nobody works on
    PENDING: "Nobody is working on this task: claim it first.",
    COMPLETED: "This task has been completed already.",
    CANCELLED: "The customer has cancelled this task: there is nothing left to do.",
    REJECTED: "This task has been rejected already.",
}
FOLLOWS = {
    PENDING: frozenset({IN_PROGRESS, CANCELLED, REJECTED}),
    IN_PROGRESS: frozenset({PENDING, COMPLETED, REJECTED}),  # back to pending: released, or the lease ran out
    COMPLETED: frozenset(),
    CANCELLED: frozenset(),
    REJECTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Brief:
    """What a customer gives for a task: forms make it, services take it whole. The description stays exactly as given.

    A field of it is stored, exported, erased, and compared when a request is repeated, by being one. What may be left
    out has the empty text for its default.
    """

    description: str
    reference: str = ""  # the customer's own, unique an account
    tags: tuple[str, ...] = ()


BRIEF_FIELDS = tuple(field.name for field in fields(Brief))


def title_of(description: str) -> str:
    """The beginning of a description on one line, kept beside it: what lists show and indexes carry of a long text."""
    return one_line(description)[:MAX_TITLE]


@dataclass(frozen=True, slots=True)
class TaskLine:
    """What a list shows of a task. `title` as `title_of` makes it."""

    task_id: str
    status: str
    credits_spent: int
    created_at: datetime
    title: str = ""
    lease_until: datetime | None = None
    reference: str = ""
    tags: tuple[str, ...] = ()

    def as_of(self, now: datetime) -> TaskLine:
        """As `Task.as_of`."""
        return replace(self, status=PENDING, lease_until=None) if _ran_out(self, now) else self


def _ran_out(task: TaskLine | Task, now: datetime) -> bool:
    return task.status == IN_PROGRESS and (task.lease_until is None or task.lease_until <= now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Brief):
    """A row of the Tasks table. `credits_spent` is what the customer was charged for it; a redo is free.

    A task in progress is leased: `lease_owner` works on it until `lease_until`. `version` counts the changes.
    """

    task_id: str
    user_email: AccountKey
    status: str
    credits_spent: int
    created_at: datetime
    updated_at: datetime
    version: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    reason: str | None = None  # why it was rejected: the customer reads it
    redo_of: str | None = None
    redo_note: str | None = None  # what the customer missed in the first result
    redone_by: str | None = None
    key_id: str | None = None  # of the API key that submitted it
    original: bool = False  # from the original product: no spend of ours belongs to it
    unexplained: str | None = None  # why it cannot move: see app/adoption

    @property
    def brief(self) -> Brief:
        return Brief(**{name: getattr(self, name) for name in BRIEF_FIELDS})

    @property
    def line(self) -> TaskLine:
        title = title_of(self.description)
        return TaskLine(
            self.task_id,
            self.status,
            self.credits_spent,
            self.created_at,
            title,
            self.lease_until,
            self.reference,
            self.tags,
        )

    @property
    def completed_at(self) -> datetime | None:
        return self.finished_at if self.status == COMPLETED else None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    def as_of(self, now: datetime) -> Task:
        """The task as it counts at `now`: one whose lease has run out is pending again, whatever its row says."""
        if _ran_out(self, now):
            return replace(self, status=PENDING, started_at=None, lease_owner=None, lease_until=None)
        return self

    def minutes_left(self, now: datetime) -> int:
        """Whole minutes until the lease ends; 0 in its last one, and where there is none."""
        left = self.lease_until - now if self.lease_until else timedelta()
        return max(int(left.total_seconds()) // 60, 0)

    def may_be_redone(self, now: datetime) -> bool:
        """One free redo for a completed task, within REDO_WINDOW; a redo is not redone again."""
        finished = self.finished_at if self.status == COMPLETED else None
        return bool(finished and now - finished <= REDO_WINDOW and not self.redo_of and not self.redone_by)


@dataclass(frozen=True, slots=True)
class Changes(Page[Task]):
    """A page of tasks by their last change. `seen`: the moment and the task of each change on it, also of those whose
    task has changed again meanwhile, and is not among `items`.
    """

    seen: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of a result: where it lies in the bucket, and how it is offered."""

    key: str
    name: str
    size_bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Result:
    """What an operator answered: Markdown text, files, or both."""

    text: str
    files: tuple[ResultFile, ...]
    by: str
    at: datetime


def new_task(email: AccountKey, brief: Brief | str, idempotency_key: str, now: datetime) -> Task:
    """A pending task whose id follows from the owner and the request id, so that a repeat is the same task.

    A text alone is the description of a brief without anything else. Raises InvalidInput.
    """
    given = check_brief(brief if isinstance(brief, Brief) else Brief(brief))
    return Task(
        task_id=task_id_for(email, idempotency_key),
        user_email=email,
        status=PENDING,
        credits_spent=TASK_COST,
        created_at=now,
        updated_at=now,
        **asdict(given),
    )


def task_id_for(email: AccountKey, idempotency_key: str) -> str:
    digest = hashlib.sha256(f"{email}\n{idempotency_key}".encode()).digest()
    return "task_" + base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def new_idempotency_key() -> str:
    """A fresh idempotency key for a form."""
    return secrets.token_urlsafe(16)


def check_brief(brief: Brief) -> Brief:
    """Return it as it is kept, or raise InvalidInput."""
    check_description(brief.description)
    if not (brief.reference or brief.tags):
        return brief
    return replace(brief, reference=check_reference(brief.reference), tags=check_tags(brief.tags))


def check_description(description: object) -> str:
    """Return the text exactly as given, or raise InvalidInput."""
    text = storable(description, "description")
    if not shows(text):
        raise InvalidInput("Describe the task first.", field="description")
    if len(text) > MAX_DESCRIPTION:
        raise InvalidInput(
            f"The description has {len(text):,} characters; at most {MAX_DESCRIPTION:,} fit.", field="description"
        )
    return text


def check_idempotency_key(idempotency_key: str) -> str:
    """Return an acceptable idempotency key, or raise Malformed."""
    if len(idempotency_key) > MAX_IDEMPOTENCY_KEY or not idempotency_key.isascii() or not idempotency_key.isprintable():
        raise Malformed(f"An idempotency key is at most {MAX_IDEMPOTENCY_KEY} printable ASCII characters.")
    return idempotency_key


def check_transition(task: Task, status: str) -> None:
    if status not in FOLLOWS.get(task.status, frozenset()):
        raise WrongState(f"This task is {task.status} and cannot become {status}.")


def age_word(since: datetime, now: datetime) -> str:
    """How pressing an open task is: new, due after an hour, late after four."""
    return next((word for age, word in AGES if now - since >= age), "new")


def claimed(task: Task, operator: str, now: datetime, minutes: int = DEFAULT_LEASE_MINUTES) -> Task:
    """Leased to `operator`. An operator who holds it already keeps it. Raises WrongState if it is not free."""
    until = now + timedelta(minutes=check_lease(minutes))
    free = task.as_of(now)
    if free.status == IN_PROGRESS:
        if free.lease_owner != operator:
            raise WrongState(f"{free.lease_owner} is working on this task.")
        return _changed(free, IN_PROGRESS, now, lease_until=until)
    _check_open(free)
    return _changed(free, IN_PROGRESS, now, started_at=now, lease_owner=operator, lease_until=until)


def renewed(task: Task, operator: str, now: datetime, minutes: int = DEFAULT_LEASE_MINUTES) -> Task:
    """The same lease, from now on. Raises WrongState: what has run out is claimed again, not renewed."""
    check_holder(task, operator, now)
    return _changed(task, IN_PROGRESS, now, lease_until=now + timedelta(minutes=check_lease(minutes)))


def is_half_over(task: Task, now: datetime) -> bool:
    """Whether a lease is to be renewed for somebody who goes on working: not each time that a key is pressed."""
    return task.minutes_left(now) < DEFAULT_LEASE_MINUTES / 2


def released(task: Task, operator: str, now: datetime) -> Task:
    """Back in the queue, at its old place. Raises WrongState."""
    check_holder(task, operator, now)
    check_transition(task, PENDING)
    return _changed(task, PENDING, now, started_at=None, lease_owner=None, lease_until=None)


def completed(task: Task, operator: str, now: datetime) -> Task:
    """Done by who holds the lease. Raises WrongState, also when the lease has run out: nobody works on a task twice."""
    check_holder(task, operator, now)
    check_transition(task, COMPLETED)
    return _changed(task, COMPLETED, now, finished_at=now, lease_until=None)


def rejected(task: Task, operator: str, reason: object, now: datetime) -> Task:
    """Refused with a reason that the customer reads: while free, or by who holds it.

    Raises WrongState, InvalidInput.
    """
    words = check_reason(reason)
    free = task.as_of(now)
    if free.status == IN_PROGRESS:
        check_holder(task, operator, now)
    _check_open(free)
    return _changed(free, REJECTED, now, finished_at=now, lease_owner=None, lease_until=None, reason=words)


def cancelled(task: Task, now: datetime) -> Task:
    """Called off by the customer while nobody works on it. Raises WrongState."""
    free = task.as_of(now)
    if free.status == IN_PROGRESS:
        raise WrongState("Work on this task has begun, so it can no longer be cancelled.")
    check_transition(free, CANCELLED)
    return _changed(free, CANCELLED, now, finished_at=now)


def redo(task: Task, note: object, now: datetime) -> tuple[Task, Task]:
    """The original with its redo, and the redo: pending and free. Raises WrongState, InvalidInput."""
    words = check_note(note)
    if not task.may_be_redone(now):
        raise WrongState(f"A completed task can be redone once, within {REDO_WINDOW.days} days.")
    again = Task(
        task_id=redo_id_for(task),
        user_email=task.user_email,
        status=PENDING,
        credits_spent=0,
        created_at=now,
        updated_at=now,
        redo_of=task.task_id,
        redo_note=words,
        **asdict(replace(task.brief, reference="")),  # which names the first
    )
    return _changed(task, COMPLETED, now, redone_by=again.task_id), again


def redo_id_for(task: Task) -> str:
    # No request id holds a newline, so no submit can take this id.
    return task_id_for(task.user_email, f"redo\n{task.task_id}")


def check_result(text: object) -> str:
    """Return the result as given, or raise InvalidInput."""
    result = storable(text, "result")
    if len(result) > MAX_RESULT:
        raise InvalidInput(f"The result has {len(result):,} characters; at most {MAX_RESULT:,} fit.", field="result")
    return result


def check_reason(reason: object) -> str:
    words = trimmed(storable(reason, "reason"))
    if not shows(words):
        raise InvalidInput("Give a reason.", field="reason")
    if len(words) > MAX_REASON:
        raise InvalidInput(f"The reason has {len(words):,} characters; at most {MAX_REASON} fit.", field="reason")
    return words


def check_note(note: object) -> str:
    words = trimmed(storable(note, "note"))
    if not shows(words):
        raise InvalidInput("Say what was missing or wrong.", field="note")
    if len(words) > MAX_REASON:
        raise InvalidInput(f"At most {MAX_REASON} characters fit.", field="note")
    return words


def check_lease(minutes: int) -> int:
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= MAX_LEASE_MINUTES:
        raise InvalidInput(f"A lease lasts 1 to {MAX_LEASE_MINUTES} minutes.", field="minutes")
    return minutes


def median_minutes(samples: Sequence[int]) -> int | None:
    """The middle of measured turnarounds (seconds), in whole minutes rounded up; None while there are too few."""
    if len(samples) < MIN_SAMPLES:
        return None
    ordered = sorted(samples)
    middle = len(ordered) // 2
    seconds = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return max(1, -(-int(seconds) // 60))


def _check_open(task: Task) -> None:
    if not task.is_open:
        raise _not_held(task)


def _not_held(task: Task) -> WrongState:
    return WrongState(NOT_HELD.get(task.status, f"This task is {task.status}."))


def check_holder(task: Task, operator: str, now: datetime) -> Task:
    """The task, if its lease is this operator's and lives. Raises WrongState."""
    if task.status != IN_PROGRESS:
        raise _not_held(task)
    if task.lease_owner != operator:
        raise WrongState(f"{task.lease_owner} is working on this task, not you.")
    if task.lease_until is None or task.lease_until <= now:
        raise WrongState("Your lease has run out. Claim the task again, if it is still free.")
    return task


def _changed(task: Task, status: str, now: datetime, **changes: Any) -> Task:
    if task.unexplained is not None:
        raise WrongState(f"This task cannot move: {task.unexplained}.")
    later = max(now, task.updated_at + A_MOMENT)  # of two clocks one is behind, and no change may hide behind another
    return replace(task, status=status, updated_at=later, version=task.version + 1, **changes)
