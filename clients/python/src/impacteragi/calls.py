"""What a client asks and how it reads the answer, apart from how either travels.

Each verb is a generator: it yields a `Call` and is sent its `Answer`, or yields a `Pause`; what it returns is the
verb's own answer. `Client` and `AsyncClient` only run them, so that both do the same.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from .errors import ApiError, BatchStopped, NoAnswer, NotOurs, RateLimited, Unavailable, Unusable, WaitedInVain, kind_of
from .models import Account, Cancelled, NewTask, Statement, Task, tasks_of

Json = Mapping[str, Any]
T = TypeVar("T")
log = logging.getLogger("impacteragi")

WAIT_SECONDS = 30  # asked of the server at once; it allows 60, and what stands between may allow less
FIRST_POLL, SLOWEST_POLL = 1.0, 15.0  # seconds, where the server answers without waiting
OTHERS_SECONDS = 15  # between two looks at those that no call waits for
NEWS_SECONDS = 2  # the same, once something has changed
SILENCE_SECONDS = 600.0  # without any answer, until a wait gives up
PAGE = 100
AT_ONCE = 30  # tasks that a request submits or cancels
# What a key of a batch stands for follows from these two: with others, a batch that goes on would be paid for again.
BATCH_TASKS = AT_ONCE
BATCH_LENGTH = 48_000  # characters of JSON in a request, of which the server takes 65,536
BATCH_ROWS = 85  # what one transaction of the server has room for, beside an account with ten webhook endpoints
ROWS_A_TASK = 2
SHOWN = 5  # tasks that a message names
LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    body: Json | None = None
    idempotency_key: str | None = None
    etag: str | None = None
    leads_on: bool = False  # the answer names another address
    patience: float = 0  # seconds that the server may take on top of the usual
    until: float | None = None  # of time.monotonic: no try begins after it


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def is_unchanged(self) -> bool:
        return self.status == 304


Steps = Generator[Call | Pause, Answer, T]
Progress = Callable[[Mapping[str, Task]], None]
"""Called with what is known of each task, by id, whenever one has changed."""


def read_answer(call: Call, answer: httpx.Response) -> Answer:
    """The answer, or what it says raised as an error of ours. Safe to call once an answer is read whole."""
    if (answer.status_code == 304 and call.etag is not None) or (answer.status_code == 303 and call.leads_on):
        return Answer(answer.status_code, None, answer.headers)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body: Any = None
    if kind == "json" or kind.endswith(("/json", "+json")):
        try:
            body = answer.json()
        except ValueError:
            body = None
    if answer.is_success and isinstance(body, Mapping):
        return Answer(answer.status_code, body, answer.headers)
    if answer.status_code < 400:
        what = (
            f"leads to {answer.headers['Location']}" if answer.has_redirect_location else f"sends {kind or 'nothing'}"
        )
        raise NotOurs(
            f"{call.method} {call.path}: status {answer.status_code}, which {what}, is no answer of the API. "
            "Is that the address of the server, and is nothing in between?"
        )
    raise refusal(call, answer, body if isinstance(body, Mapping) else {})


def refusal(call: Call, answer: httpx.Response, body: Json) -> ApiError:
    status = answer.status_code
    code = body["code"] if isinstance(body.get("code"), str) else ""
    said = body["error"] if isinstance(body.get("error"), str) else ""
    kind = kind_of(status, code)
    return kind(
        status,
        code,
        said or f"{call.method} {call.path} was refused with status {status}.",
        {name: value for name, value in body.items() if name not in ("error", "code")},
        retry_after=retry_after(answer),
        request_id=answer.headers.get("X-Request-Id"),
        idempotency_key=call.idempotency_key,
    )


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds; a date is not understood, and counts as nothing said."""
    text = answer.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def new_key() -> str:
    return str(uuid.uuid4())


def task_path(task: Task | str) -> str:
    return f"/api/tasks/{quote(id_of(task), safe='')}"


def id_of(task: Task | str) -> str:
    """Raises Unusable for what can be the id of no task."""
    found = task.task_id if isinstance(task, Task) else task
    if not found or found in (".", ".."):
        raise Unusable(f"{found!r} is the id of no task.")
    return found


def key_of(given: str | None, most: int = LONGEST_KEY) -> str:
    """The key that was given, else a new one. Raises Unusable: an empty one must not pass for none."""
    if given is None:
        return new_key()
    if not 1 <= len(given) <= most or not given.isascii() or not given.isprintable() or given != given.strip():
        raise Unusable(f"An idempotency key has 1 to {most} printable ASCII characters.")
    return given


def submit(task: NewTask, idempotency_key: str | None) -> Steps[Task]:
    key = key_of(idempotency_key)
    answer = yield Call("POST", "/api/tasks", body=task.body, idempotency_key=key)
    return Task.read(answer.body)


def batch(tasks: Sequence[NewTask | str], idempotency_key: str | None) -> Steps[list[Task]]:
    """Request after request, each under a key that follows from the batch's. Raises BatchStopped.

    A request is carried out whole or not at all. The same tasks are divided in the same way each time.
    """
    key = key_of(idempotency_key, LONGEST_KEY - len("-9999999"))
    found: list[Task] = []
    for number, part in enumerate(parts_of([NewTask.of(task) for task in tasks]), 1):
        body = {"tasks": [task.body for task in part]}
        try:
            answer = yield Call("POST", "/api/tasks/batch", body=body, idempotency_key=f"{key}-{number}")
        except (ApiError, NoAnswer, NotOurs) as error:
            raise BatchStopped(found, len(part), len(tasks), key, error) from error
        found.extend(tasks_of(answer.body))
    return found


def parts_of(tasks: Sequence[NewTask]) -> Iterator[list[NewTask]]:
    """As many as one request takes, in their order."""
    part: list[NewTask] = []
    length, labels = 0, set[str]()
    for task in tasks:
        more = len(json.dumps(task.body)) + 2
        rows = ROWS_A_TASK * (len(part) + 1) + len(labels | task.labels)
        if part and (len(part) == BATCH_TASKS or length + more > BATCH_LENGTH or rows > BATCH_ROWS):
            yield part
            part, length, labels = [], 0, set()
        part.append(task)
        length += more
        labels |= task.labels
    if part:
        yield part


def get(task: Task | str) -> Steps[Task]:
    answer = yield Call("GET", task_path(task))
    return Task.read(answer.body)


def cancel(task: Task | str) -> Steps[Task]:
    """A repeat after a lost answer finds it cancelled: the server says the same again."""
    answer = yield Call("POST", f"{task_path(task)}/cancel")
    return Task.read(answer.body)


def cancel_each(tasks: Sequence[Task | str]) -> Steps[Cancelled]:
    """Each for itself; one that was cancelled before is among the cancelled, so that a repeat is safe."""
    ids = list(dict.fromkeys(id_of(task) for task in tasks))
    found = Cancelled((), (), None)
    for begin in range(0, len(ids), AT_ONCE):
        answer = yield Call("POST", "/api/tasks/cancel", body={"task_ids": ids[begin : begin + AT_ONCE]})
        found += Cancelled.read(answer.body)
    return found


def account() -> Steps[Account]:
    answer = yield Call("GET", "/api/user")
    return Account.read(answer.body)


def list_page(params: Mapping[str, str], cursor: str | None) -> Steps[tuple[tuple[Task, ...], str | None]]:
    answer = yield Call("GET", "/api/tasks", params={**params, **({"cursor": cursor} if cursor else {})})
    following = answer.body.get("next_cursor")
    return tasks_of(answer.body), following if isinstance(following, str) and following else None


def statement(month: str) -> Steps[Statement]:
    answer = yield Call("GET", "/api/statement", params={"month": month})
    return Statement.read(answer.body)


def filters(status: str | None, q: str | None, reference: str | None = None, tag: str | None = None) -> dict[str, str]:
    given = {"status": status, "q": q, "reference": reference, "tag": tag, "limit": str(PAGE)}
    return {name: value for name, value in given.items() if value}


def wait(wanted: Sequence[Task | str], timeout: float | None, progress: Progress | None) -> Steps[dict[str, Task]]:
    """What became of each, by id, in the order asked for. Raises WaitedInVain when the time is over.

    The server holds its answer about the first that is open (`?wait=`); now and then the others are asked for, with the
    ETags of their last answers. A server that answers at once is asked again slower each time.
    """
    watch = _Watch(wanted, timeout, progress)
    while watch.open:
        try:
            yield from watch.look_on()
        except (NoAnswer, RateLimited, Unavailable) as error:
            watch.heard_nothing(error)
        if watch.open and watch.is_over:
            raise WaitedInVain(watch.told(), watch.known)
        if watch.open:
            yield watch.pace.pause(watch.until)
    return watch.known


class Pace:
    """No faster than a poll where the server answers at once, and no pause where it has waited itself."""

    def __init__(self) -> None:
        self.calm()

    def calm(self) -> None:
        """Something has changed: more may follow soon."""
        self._interval, self._begun = FIRST_POLL, time.monotonic()

    def pause(self, until: float | None) -> Pause:
        now = time.monotonic()
        left = max(0.0, self._interval - (now - self._begun))
        self._interval = min(self._interval * 1.5, SLOWEST_POLL)
        if until is not None:
            left = min(left, max(0.0, until - now))
        self._begun = now + left
        return Pause(left)


class _Watch:
    """What is known of the tasks that are waited for."""

    def __init__(self, wanted: Sequence[Task | str], timeout: float | None, progress: Progress | None) -> None:
        self.ids = list(dict.fromkeys(id_of(task) for task in wanted))
        self.begun = time.monotonic()
        self.until = None if timeout is None else self.begun + timeout
        self.pace = Pace()
        self._found: dict[str, Task] = {}
        self._etags: dict[str, str] = {}
        self._progress = progress
        self._looked = self._heard = self.begun
        self._silence = ""
        self._news = False  # what one of them says, others may say, too

    @property
    def known(self) -> dict[str, Task]:
        return {task_id: self._found[task_id] for task_id in self.ids if task_id in self._found}

    @property
    def open(self) -> list[str]:
        return [task_id for task_id in self.ids if task_id not in self._found or self._found[task_id].is_open]

    @property
    def is_over(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def look_on(self) -> Steps[None]:
        """One step of the wait: a look at those that are due, and then the server holds its answer about the first."""
        due = [task_id for task_id in self.ids if task_id not in self._found]
        if not due and time.monotonic() - self._looked >= (NEWS_SECONDS if self._news else OTHERS_SECONDS):
            due = self.open[1:]
        if due:
            self._looked = time.monotonic()
            for task_id in due:
                yield from self._look(task_id)
        self._news = False
        left = self.open
        if left and not self.is_over:
            yield from self._look(left[0], waiting=OTHERS_SECONDS if left[1:] else WAIT_SECONDS)
        self._heard, self._silence = time.monotonic(), ""

    def heard_nothing(self, error: NoAnswer | RateLimited | Unavailable) -> None:
        """A server that is away for some minutes ends no wait. Raises `error` when it is for longer."""
        if time.monotonic() - self._heard > SILENCE_SECONDS and not self.is_over:
            raise error
        self._silence = f" The server has not answered lately: {error}"
        log.warning("Still waiting, though the server does not answer: %s", error)

    def _look(self, task_id: str, *, waiting: int = 0) -> Steps[None]:
        left = waiting if self.until is None else int(self.until - time.monotonic())
        seconds = max(0, min(waiting, left))
        params = {"wait": str(seconds)} if seconds else {}
        # Without an ETag the server waits until the task is closed; with one, until anything about it has changed.
        etag = None if seconds else self._etags.get(task_id)
        answer = yield Call("GET", task_path(task_id), params=params, etag=etag, patience=seconds, until=self.until)
        if answer.is_unchanged:
            return
        task = Task.read(answer.body)
        if etag := answer.headers.get("ETag"):
            self._etags[task_id] = etag
        before = self._found.get(task_id)
        self._found[task_id] = task
        if before is None or before.status != task.status:
            self._news = True
            self.pace.calm()
            if self._progress:
                self._progress(self.known)

    def told(self) -> str:
        """What to say when the time is over."""
        seconds = round(time.monotonic() - self.begun)
        known = self.known
        left = [
            f"{task_id} ({known[task_id].status if task_id in known else 'not heard of yet'})" for task_id in self.open
        ]
        more = f" and {len(left) - SHOWN:,} more" if len(left) > SHOWN else ""
        closed = f"{len(self.ids) - len(left):,} of {len(self.ids):,} tasks are closed"
        return (
            f"After {seconds:,} s {closed}; still open: {', '.join(left[:SHOWN])}{more}. "
            f"Nothing was cancelled: waiting again is safe.{self._silence}"
        )
