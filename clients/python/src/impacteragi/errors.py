"""What can go wrong, each kind a class of its own. `str(error)` is a plain sentence, for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models import Task


class ImpacterError(Exception):
    """Everything that this package raises by itself."""


class NotConfigured(ImpacterError):
    """There is no key, no address, or one that must not be used as it is."""


class Unusable(ImpacterError, ValueError):
    """What was given can be no id, no idempotency key or no tags. Nothing was sent."""


class NoAnswer(ImpacterError):
    """The server could not be reached, or its answer was lost, and so were those of the tries after it.

    A write is there whole or not at all: send it again with `idempotency_key`, which never charges twice.
    """

    def __init__(self, message: str, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class NotOurs(ImpacterError):
    """Something has answered which is not the API: a proxy, a sign-in page of a network."""


class WaitedInVain(ImpacterError, TimeoutError):
    """The time is over. `tasks` is what is known of each, by id; nothing was cancelled, and waiting again is safe."""

    def __init__(self, message: str, tasks: Mapping[str, Task]) -> None:
        super().__init__(message)
        self.tasks = tasks


class BatchStopped(ImpacterError):
    """A batch has stopped at `cause`: `tasks` are submitted and paid, those of later requests are not.

    Those of the request that `cause` is about are not either, or all of them are, where its answer was lost. The same
    batch again with `idempotency_key` goes on from there, and charges nothing twice.
    """

    def __init__(
        self, tasks: Sequence[Task], stopped_at: int, wanted: int, idempotency_key: str, cause: ImpacterError
    ) -> None:
        first, last = len(tasks) + 1, len(tasks) + stopped_at
        where = f"task {first:,}" if first == last else f"tasks {first:,} to {last:,}"
        if isinstance(cause, InvalidInput) and (number := cause.number_of("tasks")) is not None:
            where = f"task {first + number:,}"
        super().__init__(
            f"{len(tasks):,} of {wanted:,} tasks are submitted; it stopped at {where}: {cause} "
            f"Send the same batch again with the idempotency key {idempotency_key}: "
            "it goes on from there, and charges nothing twice."
        )
        self.tasks, self.idempotency_key, self.cause = tuple(tasks), idempotency_key, cause


class FileThere(ImpacterError, FileExistsError):
    """A file of that name is there already, and nothing was downloaded over it."""


class Incomplete(ImpacterError):
    """A file did not arrive whole. Nothing of it was kept."""


class ApiError(ImpacterError):
    """The server has refused. `code` is for programs; a code that this package does not know is an ApiError too."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.details = dict(details or {})  # every further field of the answer
        self.retry_after = retry_after  # seconds
        self.request_id = request_id  # to name when support is asked
        self.idempotency_key = idempotency_key  # of the write that was refused

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.status}, {self.code!r}, {self.message!r})"


class BadRequest(ApiError):
    """400: not understood; a mistake of the program's."""


class Unauthorized(ApiError):
    """401: the key is none, was revoked or has expired."""


class InsufficientCredits(ApiError):
    """402: nothing was charged. `required` and `available` are credits."""

    @property
    def required(self) -> int:
        return _whole(self.details.get("required"))

    @property
    def available(self) -> int:
        return _whole(self.details.get("available"))


class KeyLimitReached(ApiError):
    """402: this key has spent what it may in a month. Nothing was charged; `resets_at` is when the next one begins."""

    @property
    def limit(self) -> int:
        return _whole(self.details.get("limit"))

    @property
    def used(self) -> int:
        return _whole(self.details.get("used"))

    @property
    def resets_at(self) -> str:
        return str(self.details.get("resets_at") or "")


class Forbidden(ApiError):
    """403: not open to this account or this key."""


class MissingScope(Forbidden):
    """403: the key was made without `scope`."""

    @property
    def scope(self) -> str:
        return str(self.details.get("scope") or "")


class NotFound(ApiError):
    """404: not there, or not of this account."""


class Conflict(ApiError):
    """409: in the way of what is there."""


class IdempotencyKeyReused(Conflict):
    """409: this idempotency key was used with other contents. Nothing was charged."""


class ReferenceUsed(Conflict):
    """409: the reference is that of another task, `task_id`. Nothing was charged."""

    @property
    def task_id(self) -> str:
        return str(self.details.get("task_id") or "")


class WrongState(Conflict):
    """409: the task has moved on, and that cannot be done any more."""


class InvalidInput(ApiError):
    """422: understood, and not acceptable. `field` names what to mend, where it is one."""

    @property
    def field(self) -> str:
        return str(self.details.get("field") or "")

    def number_of(self, name: str) -> int | None:
        """Which one of a list that was sent under `name` is meant, from 0; None where it is none of them."""
        found = re.match(rf"{re.escape(name)}\.(\d+)(\.|$)", self.field)
        return int(found[1]) if found else None


class RateLimited(ApiError):
    """429: `retry_after` seconds are too long to wait by itself."""


class ServerFailed(ApiError):
    """500 and above: a fault on the side of the server."""


class Unavailable(ServerFailed):
    """502, 503, 504: tried again as long as it may, and still no luck."""


BY_CODE: dict[str, type[ApiError]] = {
    "insufficient_credits": InsufficientCredits,
    "key_limit_reached": KeyLimitReached,
    "missing_scope": MissingScope,
    "idempotency_key_reused": IdempotencyKeyReused,
    "reference_used": ReferenceUsed,
    "wrong_state": WrongState,
}
BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: InvalidInput,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def kind_of(status: int, code: str) -> type[ApiError]:
    """The class for a refusal: by its code, else by its status, else the plainest."""
    return BY_CODE.get(code) or BY_STATUS.get(status) or (ServerFailed if status >= 500 else ApiError)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
