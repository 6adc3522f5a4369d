"""`Client`, and `AsyncClient`, which does the same."""

from __future__ import annotations

import asyncio
import builtins
import logging
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar, overload

import httpx
import stamina

from . import calls, downloads
from .calls import Answer, Call, Pause, Progress, Steps
from .credentials import find_base_url, find_key
from .errors import ApiError, NoAnswer, NotOurs
from .following import Following
from .models import Account, Cancelled, File, NewTask, Statement, Task
from .version import __version__

T = TypeVar("T")
log = logging.getLogger("impacteragi")

TRY_SECONDS = 30.0  # one try, without what the server was asked to wait
RETRY_SECONDS = 60.0  # all tries of a call together
JITTER_SECONDS = 0.5  # on top of what the server says, so that many programs do not come back at once
USER_AGENT = f"impacteragi-python/{__version__}"
AGAIN = frozenset({429, 502, 503, 504})


class _Attempts(Protocol):
    def __iter__(self) -> Iterator[stamina.Attempt]: ...

    def __aiter__(self) -> AsyncIterator[stamina.Attempt]: ...


class _Retries:
    """Whether one more try may help, and after how many seconds. One for each call."""

    def __init__(self, call: Call, seconds: float) -> None:
        self._call = call
        self._until = min(time.monotonic() + seconds, call.until if call.until is not None else float("inf"))

    def __call__(self, error: Exception) -> bool | float:
        left = self._until - time.monotonic()
        if left <= 0:
            return False
        if isinstance(error, ApiError):
            if error.status not in AGAIN or (error.retry_after or 0) > left:
                return False
        elif not isinstance(error, httpx.RequestError) or isinstance(error, httpx.UnsupportedProtocol):
            return False
        log.info("%s %s is tried again: %s", self._call.method, self._call.path, error or type(error).__name__)
        if isinstance(error, ApiError) and error.retry_after is not None:
            return error.retry_after + random.uniform(0, JITTER_SECONDS)  # noqa: S311 - no secret
        return True  # longer each time, with jitter

    def seconds(self) -> float:
        return max(0.001, self._until - time.monotonic())


class _Base:
    def __init__(self, api_key: str | None, base_url: str | None, retry_seconds: float) -> None:
        self._base_url = find_base_url(base_url)
        self._auth = find_key(api_key)
        self._retry_seconds = retry_seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    def _attempts(self, call: Call) -> _Attempts:
        hook = _Retries(call, self._retry_seconds)
        return stamina.retry_context(
            on=hook, attempts=None, timeout=hook.seconds(), wait_max=10, wait_jitter=JITTER_SECONDS
        )

    def _request(self, http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
        headers = {"Accept": "application/json"}
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        if call.etag is not None:
            headers["If-None-Match"] = call.etag
        seconds = TRY_SECONDS + call.patience
        if call.until is not None:
            seconds = min(seconds, max(1.0, call.until - time.monotonic() + 5))
        timeout = httpx.Timeout(seconds, connect=min(seconds, 10.0))
        params = httpx.QueryParams(dict(call.params)) if call.params else None
        return http.build_request(
            call.method, call.path, params=params, json=call.body, headers=headers, timeout=timeout
        )


def _lost(call: Call, error: Exception) -> NoAnswer:
    what = str(error) or type(error).__name__
    message = f"{call.method} {call.path} got no answer: {what}."
    if call.idempotency_key is not None:
        message += (
            f" It was carried out whole or not at all: send it again with the idempotency key {call.idempotency_key},"
            " which never charges twice."
        )
    return NoAnswer(message, call.idempotency_key)


class Client(_Base):
    """One customer's tasks and credits, over the JSON API. Safe to share between threads.

    `api_key` and `base_url` are found in the environment where they are not given (README). Raises NotConfigured.
    Every verb raises ApiError for what the server refuses, and NoAnswer when nothing comes back for `retry_seconds`.
    Lost answers, 429 and 503 are tried again by themselves; a write keeps one idempotency key for all its tries.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        http: httpx.Client | None = None,
    ) -> None:
        super().__init__(api_key, base_url, retry_seconds)
        self._http = http or httpx.Client(follow_redirects=False)
        self._http.base_url = httpx.URL(self._base_url)
        self._http.headers["User-Agent"] = USER_AGENT

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
        self,
        description: str,
        *,
        reference: str | None = None,
        tags: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Task:
        """A new task, paid at once. The same `idempotency_key` again is the first task, charged once.

        So is the same `reference`, your own name for it, with the same description and `tags` (at most 10); with others
        it raises ReferenceUsed.
        """
        return self._run(calls.submit(NewTask(description, reference, tags), idempotency_key))

    def batch(self, tasks: Iterable[NewTask | str], *, idempotency_key: str | None = None) -> builtins.list[Task]:
        """Many tasks, by their descriptions or as NewTask, up to 30 in a request, which is done whole or not at all.

        Raises BatchStopped, which knows those before: the same batch again with its `idempotency_key` goes on from
        there, and charges nothing twice.
        """
        return self._run(calls.batch([*tasks], idempotency_key))

    def get(self, task: Task | str) -> Task:
        """A task with its result."""
        return self._run(calls.get(task))

    @overload
    def cancel(self, task: Task | str) -> Task: ...  # type: ignore[overload-overlap] # as in wait

    @overload
    def cancel(self, task: Iterable[Task | str]) -> Cancelled: ...

    def cancel(self, task: Task | str | Iterable[Task | str]) -> Task | Cancelled:
        """Calls a task off that nobody works on yet; its credits are back. Raises WrongState after that.

        Of several, each is called off for itself, and those that are not are told in `refused`. Safe to repeat.
        """
        if isinstance(task, (Task, str)):
            return self._run(calls.cancel(task))
        return self._run(calls.cancel_each([*task]))

    def balance(self) -> Account:
        return self._run(calls.account())

    def statement(self, month: str) -> Statement:
        """What a month, such as 2026-11 (UTC), has moved: `for row in statement` reads it, the oldest row first.

        The key needs the scope billing:read.
        """
        return self._run(calls.statement(month))

    @overload
    def wait(  # type: ignore[overload-overlap] # a text is an iterable of texts, and the first that fits is taken
        self, task: Task | str, timeout: float | None = None, *, progress: Progress | None = None
    ) -> Task: ...

    @overload
    def wait(
        self, task: Iterable[Task | str], timeout: float | None = None, *, progress: Progress | None = None
    ) -> builtins.list[Task]: ...

    def wait(
        self,
        task: Task | str | Iterable[Task | str],
        timeout: float | None = None,
        *,
        progress: Progress | None = None,
    ) -> Task | builtins.list[Task]:
        """Returns once the task, or each of several, is completed, rejected or cancelled, with results.

        `timeout` is in seconds, None without end. Raises WaitedInVain, which knows how each task stands.
        """
        one = isinstance(task, (Task, str))
        wanted = [task] if isinstance(task, (Task, str)) else [*task]
        found = [*self._run(calls.wait(wanted, timeout, progress)).values()]
        return found[0] if one else found

    def list(
        self,
        *,
        status: str | None = None,
        q: str | None = None,
        reference: str | None = None,
        tag: str | None = None,
    ) -> Iterator[Task]:
        """Tasks that fit, newest first, read page by page as they are asked for."""
        params = calls.filters(status, q, reference, tag)
        cursor: str | None = None
        while True:
            tasks, cursor = self._run(calls.list_page(params, cursor))
            yield from tasks
            if cursor is None:
                return

    def updates(self, since: datetime | None = None) -> Iterator[Task]:
        """Each task once whenever it has changed, as lists have it, from `since` on, or from now: without end.

        The server holds its answer until there is news. To go on after a restart, hand in the newest `updated_at` that
        was dealt with, less OVERLAP: what changed within it comes again.
        """
        following = Following(since)
        while True:
            yield from self._run(following.look())

    def download(self, task: Task | str, folder: Path | str = ".", *, overwrite: bool = False) -> builtins.list[Path]:
        """The files of a result, into `folder`: each is there whole or not at all.

        Raises FileThere before anything is downloaded if one of the names is taken, unless `overwrite`.
        """
        found = self.get(task)
        places = downloads.places(found.files, Path(folder), overwrite=overwrite)
        with httpx.Client(follow_redirects=False, timeout=TRY_SECONDS) as plain:  # the key is not for the file store
            for file, place in places:
                self._download(plain, found, file, place, overwrite)
        return [place for _, place in places]

    def _download(self, plain: httpx.Client, task: Task, file: File, place: Path, overwrite: bool) -> None:
        call = downloads.call(task, file)
        try:
            for attempt in self._attempts(call):
                with attempt:
                    link = downloads.link(self._base_url, self._run(downloads.ask(call)))
                    with plain.stream("GET", link) as answer, downloads.Part(place, file, overwrite) as part:
                        downloads.check(call, answer)
                        for chunk in answer.iter_raw():
                            part.write(chunk)
        except httpx.RequestError as error:
            raise _lost(call, downloads.unnamed(error)) from None

    def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    answer = self._ask(step)
                except (ApiError, NoAnswer, NotOurs) as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    def _ask(self, call: Call) -> Answer:
        try:
            for attempt in self._attempts(call):
                with attempt:
                    answer = self._http.send(self._request(self._http, call), auth=self._auth)
                    return calls.read_answer(call, answer)
        except httpx.RequestError as error:
            raise _lost(call, error) from None  # its frames hold the request as it was sent, with the key
        raise AssertionError("unreachable")


class AsyncClient(_Base):
    """As `Client`, for asyncio: each verb is awaited, and `list` and `updates` are asynchronous iterators.

    What a verb asks and does next is written once (calls.py). Its signature stands here again, so that an editor and a
    type checker know what is awaited.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(api_key, base_url, retry_seconds)
        self._http = http or httpx.AsyncClient(follow_redirects=False)
        self._http.base_url = httpx.URL(self._base_url)
        self._http.headers["User-Agent"] = USER_AGENT

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(
        self,
        description: str,
        *,
        reference: str | None = None,
        tags: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Task:
        return await self._run(calls.submit(NewTask(description, reference, tags), idempotency_key))

    async def batch(self, tasks: Iterable[NewTask | str], *, idempotency_key: str | None = None) -> builtins.list[Task]:
        return await self._run(calls.batch([*tasks], idempotency_key))

    async def get(self, task: Task | str) -> Task:
        return await self._run(calls.get(task))

    @overload
    async def cancel(self, task: Task | str) -> Task: ...  # type: ignore[overload-overlap]

    @overload
    async def cancel(self, task: Iterable[Task | str]) -> Cancelled: ...

    async def cancel(self, task: Task | str | Iterable[Task | str]) -> Task | Cancelled:
        if isinstance(task, (Task, str)):
            return await self._run(calls.cancel(task))
        return await self._run(calls.cancel_each([*task]))

    async def balance(self) -> Account:
        return await self._run(calls.account())

    async def statement(self, month: str) -> Statement:
        return await self._run(calls.statement(month))

    @overload
    async def wait(  # type: ignore[overload-overlap]
        self, task: Task | str, timeout: float | None = None, *, progress: Progress | None = None
    ) -> Task: ...

    @overload
    async def wait(
        self, task: Iterable[Task | str], timeout: float | None = None, *, progress: Progress | None = None
    ) -> builtins.list[Task]: ...

    async def wait(
        self,
        task: Task | str | Iterable[Task | str],
        timeout: float | None = None,
        *,
        progress: Progress | None = None,
    ) -> Task | builtins.list[Task]:
        one = isinstance(task, (Task, str))
        wanted = [task] if isinstance(task, (Task, str)) else [*task]
        found = [*(await self._run(calls.wait(wanted, timeout, progress))).values()]
        return found[0] if one else found

    async def list(
        self,
        *,
        status: str | None = None,
        q: str | None = None,
        reference: str | None = None,
        tag: str | None = None,
    ) -> AsyncIterator[Task]:
        params = calls.filters(status, q, reference, tag)
        cursor: str | None = None
        while True:
            tasks, cursor = await self._run(calls.list_page(params, cursor))
            for task in tasks:
                yield task
            if cursor is None:
                return

    async def updates(self, since: datetime | None = None) -> AsyncIterator[Task]:
        following = Following(since)
        while True:
            for task in await self._run(following.look()):
                yield task

    async def download(
        self, task: Task | str, folder: Path | str = ".", *, overwrite: bool = False
    ) -> builtins.list[Path]:
        found = await self.get(task)
        places = downloads.places(found.files, Path(folder), overwrite=overwrite)
        async with httpx.AsyncClient(follow_redirects=False, timeout=TRY_SECONDS) as plain:
            for file, place in places:
                await self._download(plain, found, file, place, overwrite)
        return [place for _, place in places]

    async def _download(self, plain: httpx.AsyncClient, task: Task, file: File, place: Path, overwrite: bool) -> None:
        call = downloads.call(task, file)
        try:
            async for attempt in self._attempts(call):
                with attempt:
                    link = downloads.link(self._base_url, await self._run(downloads.ask(call)))
                    async with plain.stream("GET", link) as answer:
                        downloads.check(call, answer)
                        with downloads.Part(place, file, overwrite) as part:
                            async for chunk in answer.aiter_raw():
                                part.write(chunk)
        except httpx.RequestError as error:
            raise _lost(call, downloads.unnamed(error)) from None

    async def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    answer = await self._ask(step)
                except (ApiError, NoAnswer, NotOurs) as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _ask(self, call: Call) -> Answer:
        try:
            async for attempt in self._attempts(call):
                with attempt:
                    answer = await self._http.send(self._request(self._http, call), auth=self._auth)
                    return calls.read_answer(call, answer)
        except httpx.RequestError as error:
            raise _lost(call, error) from None  # its frames hold the request as it was sent, with the key
        raise AssertionError("unreachable")
