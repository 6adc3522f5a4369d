"""Tasks: what one is, what it costs, and which state may follow which."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from .errors import InvalidInput, Malformed, WrongState
from .text import storable

TASK_COST = 10
MAX_DESCRIPTION = 5_000
MAX_REQUEST_ID = 255

PENDING, IN_PROGRESS, COMPLETED, CANCELLED, REJECTED = "pending", "in-progress", "completed", "cancelled", "rejected"
STATUSES = (PENDING, IN_PROGRESS, COMPLETED, CANCELLED, REJECTED)
OPEN_STATUSES = frozenset({PENDING, IN_PROGRESS})
FOLLOWS = {
    PENDING: frozenset({IN_PROGRESS, CANCELLED, REJECTED}),
    IN_PROGRESS: frozenset({PENDING, COMPLETED, REJECTED}),  # back to pending: released, or the lease ran out
    COMPLETED: frozenset(),
    CANCELLED: frozenset(),
    REJECTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Task:
    """A row of the Tasks table. `credits_spent` is what the customer was charged for it."""

    task_id: str
    user_email: str
    description: str
    status: str
    credits_spent: int
    created_at: datetime
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES


def new_task(email: str, description: object, request_id: str, now: datetime) -> Task:
    """A pending task whose id follows from the owner and the request id, so that a repeat is the same task."""
    return Task(
        task_id=task_id_for(email, request_id),
        user_email=email,
        description=check_description(description),
        status=PENDING,
        credits_spent=TASK_COST,
        created_at=now,
        updated_at=now,
    )


def task_id_for(email: str, request_id: str) -> str:
    digest = hashlib.sha256(f"{email}\n{request_id}".encode()).digest()
    return "task_" + base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def new_request_id() -> str:
    """A fresh idempotency key for a form."""
    return secrets.token_urlsafe(16)


def check_description(description: object) -> str:
    """Return the text exactly as given, or raise InvalidInput."""
    text = storable(description, "description")
    if not text.strip():
        raise InvalidInput("Describe the task first.", field="description")
    if len(text) > MAX_DESCRIPTION:
        raise InvalidInput(
            f"The description has {len(text):,} characters; at most {MAX_DESCRIPTION:,} fit.", field="description"
        )
    return text


def check_request_id(request_id: str) -> str:
    """Return an acceptable idempotency key, or raise Malformed."""
    if len(request_id) > MAX_REQUEST_ID or not request_id.isascii() or not request_id.isprintable():
        raise Malformed(f"An idempotency key is at most {MAX_REQUEST_ID} printable ASCII characters.")
    return request_id


def check_transition(task: Task, status: str) -> None:
    if status not in FOLLOWS[task.status]:
        raise WrongState(f"This task is {task.status} and cannot become {status}.")
