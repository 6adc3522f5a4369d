"""What a client asks and how it reads the answer, apart from how either travels.

Each verb is a generator: it yields a `Call` and is sent its `Answer`, or yields a `Pause`; what it returns is the
verb's own answer. `Client` and `AsyncClient` only run them, so that both do the same.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from .errors import ApiError, NoAnswer, NotOurs, RateLimited, Unavailable, WaitedInVain, kind_of
from .models import Account, Batch, NewTask, Task, tasks_of

Json = Mapping[str, Any]
T = TypeVar("T")
log = logging.getLogger("impacteragi")

WAIT_SECONDS = 30  # asked of the server at once; it allows 60, and what stands between may allow less
FIRST_POLL, SLOWEST_POLL = 1.0, 15.0  # seconds, where the server answers without waiting
LOOK_AGAIN_SECONDS = 300.0  # every open task is asked for itself now and then, whatever the list has told
SILENCE_SECONDS = 600.0  # without any answer, until a wait gives up
PAGE = 100
SHOWN = 5  # tasks that a message names


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    body: Json | None = None
    idempotency_key: str | None = None
    etag: str | None = None
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


@dataclass(frozen=True, slots=True)
class Updates:
    """Tasks that have changed, oldest change first, and where to go on once they are dealt with."""

    tasks: tuple[Task, ...]
    until: str


def read_answer(call: Call, answer: httpx.Response) -> Answer:
    """The answer, or what it says raised as an error of ours. Safe to call once an answer is read whole."""
    if answer.status_code == 304:
        return Answer(304, None, answer.headers)
    if answer.is_redirect:
        return Answer(answer.status_code, None, answer.headers)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body: Any = None
    if kind == "json" or kind.endswith(("/json", "+json")):
        try:
            body = answer.json()
        except ValueError:
            body = None
    if answer.is_success:
        if isinstance(body, Mapping) or (kind and not kind.endswith(("json", "html"))):
            return Answer(answer.status_code, body if body is not None else answer.text, answer.headers)
        raise NotOurs(
            f"{call.method} {call.path} was answered with {kind or 'no type'}, which the API never does: "
            "is that the address of the server, and is nothing in between?"
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
    found = task.task_id if isinstance(task, Task) else task
    if not found or found in (".", ".."):
        raise ValueError("a task has an id")
    return found


def submit(brief: NewTask, idempotency_key: str | None) -> Steps[Task]:
    answer = yield Call("POST", "/api/tasks", body=brief.body(), idempotency_key=idempotency_key or new_key())
    return Task.read(answer.body)


def batch(briefs: Iterable[NewTask | str], idempotency_key: str | None) -> Steps[Batch]:
    tasks = [(NewTask(brief) if isinstance(brief, str) else brief).body() for brief in briefs]
    key = idempotency_key or new_key()
    answer = yield Call("POST", "/api/tasks/batch", body={"tasks": tasks}, idempotency_key=key)
    return Batch.read(answer.body)


def get(task: Task | str) -> Steps[Task]:
    answer = yield Call("GET", task_path(task))
    return Task.read(answer.body)


def cancel(task: Task | str) -> Steps[Task]:
    """A repeat after a lost answer finds it cancelled: the server says the same again."""
    answer = yield Call("POST", f"{task_path(task)}/cancel")
    return Task.read(answer.body)


def account() -> Steps[Account]:
    answer = yield Call("GET", "/api/user")
    return Account.read(answer.body)


def list_page(params: Mapping[str, str], cursor: str | None) -> Steps[tuple[tuple[Task, ...], str | None]]:
    answer = yield Call("GET", "/api/tasks", params={**params, **({"cursor": cursor} if cursor else {})})
    following = answer.body.get("next_cursor")
    return tasks_of(answer.body), following if isinstance(following, str) and following else None


def filters(
    *,
    status: str | None,
    q: str | None,
    since: date | str | None,
    until: date | str | None,
    order: str | None,
    reference: str | None,
    tag: str | None,
) -> dict[str, str]:
    given = {
        "status": status,
        "q": q,
        "from": moment(since),
        "to": moment(until),
        "order": order,
        "reference": reference,
        "tag": tag,
        "limit": str(PAGE),
    }
    return {name: value for name, value in given.items() if value}


def moment(value: date | str | None) -> str | None:
    """As it stands in an address: a day as it is, a moment in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a moment has a time zone: datetime.now(UTC)")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def updates(since: str, until: float | None) -> Steps[Updates | None]:
    """The next tasks that changed after `since`; None when there are none by then (of time.monotonic)."""
    pace = _Pace()
    while True:
        answer = yield from _changes(since, until)
        marker = answer.body.get("updated_until")
        if not isinstance(marker, str):
            raise NotOurs("This server does not tell what has changed: it is older than this package.")
        found = tasks_of(answer.body)
        if found:
            return Updates(found, marker)
        since = marker
        if until is not None and time.monotonic() >= until:
            return None
        yield pace.pause(until)


def wait(wanted: Sequence[Task | str], timeout: float | None, progress: Progress | None) -> Steps[dict[str, Task]]:
    """What became of each, by id, in the order asked for. Raises WaitedInVain when the time is over.

    One task is asked for with `?wait=`. Of several the list of changes is, which holds one call open instead of one for
    each; a server that has neither is asked again and again, slower each time, with the ETag of its last answer.
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


class _Pace:
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
        self.pace = _Pace()
        self._found: dict[str, Task] = {}
        self._etags: dict[str, str] = {}
        self._progress = progress
        self._since: str | None = None
        self._tells_changes = True
        self._looked = self._heard = self.begun
        self._silence = ""

    @property
    def known(self) -> dict[str, Task]:
        return {task_id: self._found[task_id] for task_id in self.ids if task_id in self._found}

    @property
    def open(self) -> list[str]:
        return [task_id for task_id in self.ids if task_id not in self._found or self._found[task_id].is_open]

    @property
    def is_over(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def seconds(self) -> int:
        """How long to let the server wait."""
        if self.until is None:
            return WAIT_SECONDS
        return max(0, min(WAIT_SECONDS, int(self.until - time.monotonic())))

    def look_on(self) -> Steps[None]:
        """One step of the wait: whichever call tells most."""
        unknown = [task_id for task_id in self.ids if task_id not in self._found]
        late = time.monotonic() - self._looked > LOOK_AGAIN_SECONDS
        if unknown:
            yield from self._look_at(unknown)
        elif len(self.open) == 1:
            yield from self._look(self.open[0], waiting=True)
        elif late or not self._tells_changes:
            self._looked = time.monotonic()
            yield from self._look_at(self.open)
        else:
            self._tells_changes = yield from self._look_at_changes()
        self._heard, self._silence = time.monotonic(), ""

    def heard_nothing(self, error: NoAnswer | RateLimited | Unavailable) -> None:
        """A server that is away for some minutes ends no wait. Raises `error` when it is for longer."""
        if time.monotonic() - self._heard > SILENCE_SECONDS and not self.is_over:
            raise error
        self._silence = f" The server has not answered lately: {error}"
        log.warning("Still waiting, though the server does not answer: %s", error)

    def _look_at(self, task_ids: Sequence[str]) -> Steps[None]:
        for task_id in task_ids:
            yield from self._look(task_id)

    def _look(self, task_id: str, *, waiting: bool = False) -> Steps[None]:
        seconds = self.seconds() if waiting else 0
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
            self.pace.calm()
            if self._progress:
                self._progress(self.known)

    def _look_at_changes(self) -> Steps[bool]:
        """False when the server knows no such list."""
        if self._since is None:
            moments = [task.updated_at for task in self._found.values() if task.updated_at]
            self._since = moment(min(moments)) if moments else "1970-01-01T00:00:00Z"
        answer = yield from _changes(self._since or "", self.until)
        marker = answer.body.get("updated_until")
        if not isinstance(marker, str):
            return False
        self._since = marker
        changed = {task.task_id: task for task in tasks_of(answer.body)}
        for task_id in self.open:
            told, known = changed.get(task_id), self._found.get(task_id)
            if told and (known is None or told.updated_at != known.updated_at or told.status != known.status):
                yield from self._look(task_id)
        return True

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


def _changes(since: str, until: float | None) -> Steps[Answer]:
    seconds = WAIT_SECONDS if until is None else max(0, min(WAIT_SECONDS, int(until - time.monotonic())))
    params = {"updated_since": since, "limit": str(PAGE), **({"wait": str(seconds)} if seconds else {})}
    answer = yield Call("GET", "/api/tasks", params=params, patience=seconds, until=until)
    return answer
