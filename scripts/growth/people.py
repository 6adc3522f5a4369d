"""Customers before servers, as a balancer has them: requests begin when they are due, whoever is still being answered.

What a request took is counted from the moment at which it was due, so that a server that falls behind shows it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar
from urllib.parse import urlencode

from scripts.benchmarks.world import WORDS, Visitor
from scripts.local.ports import HOST

T = TypeVar("T")
ANSWER_SECONDS = 60.0
LOOK_SECONDS = 2.0  # between a balancer's looks at whether a server is ready
LOOK_TIMEOUT = 5.0  # of one


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One that is kept; it reads an answer to its end, and says whether the server goes on with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> Answer:
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        status = int(head[0].split()[1])
        length = 0 if status in (204, 304) else int(headers.get("content-length", "0"))
        return Answer(status, headers, await self._reader.readexactly(length))

    def close(self) -> None:
        self._writer.close()


class Balancer:
    """Keeps connections to some servers, and sends who comes to one that says it is ready. It tries nothing again."""

    def __init__(self, ports: list[int]) -> None:
        self.ready = dict.fromkeys(ports, True)
        self._idle: dict[int, list[Connection]] = {port: [] for port in ports}
        self._turn = 0

    async def ask(self, request: bytes) -> Answer:
        there = [port for port, ready in self.ready.items() if ready]
        if not there:
            raise ConnectionError("no server is ready")
        self._turn += 1
        port = there[self._turn % len(there)]
        connection = await self._connection(port)
        try:
            answer = await asyncio.wait_for(connection.ask(request), ANSWER_SECONDS)
        except BaseException:
            connection.close()
            raise
        if answer.headers.get("connection", "").lower() == "close" or not self.ready[port]:
            connection.close()
        else:
            self._idle[port].append(connection)
        return answer

    async def _connection(self, port: int) -> Connection:
        if self._idle[port]:
            return self._idle[port].pop()
        return Connection(*await asyncio.open_connection(HOST, port))

    async def keep_looking(self, port: int) -> None:
        """A server is out after two looks in a row that found it not ready, and in again after one that did."""
        missed = 0
        while True:
            missed = 0 if await self._is_ready(port) else missed + 1
            if missed == 0:
                self.ready[port] = True
            elif missed > 1:
                self.ready[port] = False
                self.forget(port)
            await asyncio.sleep(LOOK_SECONDS)

    async def _is_ready(self, port: int) -> bool:
        request = b"GET /readyz HTTP/1.1\r\nHost: dashboard.test\r\nConnection: close\r\n\r\n"
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                connection = Connection(*await asyncio.open_connection(HOST, port))
                try:
                    return (await connection.ask(request)).status == 200
                finally:
                    connection.close()
        except (OSError, asyncio.IncompleteReadError):
            return False

    def forget(self, port: int | None = None) -> None:
        """End the connections that nobody uses."""
        for connections in [self._idle[port]] if port else self._idle.values():
            while connections:
                connections.pop().close()


@dataclass
class Tally:
    """What became of all requests, by kind."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    served: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds
    sent_away: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # with 503, to come again
    unheard: int = 0  # refused otherwise, or not told when to come again
    failed: list[str] = field(default_factory=list)
    submitted: Counter[str] = field(default_factory=Counter)  # by account, those that were answered with a task
    late: float = 0.0  # the longest that a request had to begin after it was due, by our own fault

    def answered(self, kind: str, answer: Answer, seconds: float) -> None:
        self.took[kind].append(seconds)
        self.statuses[kind][answer.status] += 1
        if answer.status < 400:
            self.served[kind].append(seconds)
        elif answer.status == 503 and "retry-after" in answer.headers:
            self.sent_away[kind].append(seconds)
        else:
            self.unheard += 1

    @property
    def done(self) -> int:
        return sum(map(len, self.took.values()))

    @property
    def refused(self) -> int:
        return sum(times for of_kind in self.statuses.values() for status, times in of_kind.items() if status >= 400)


class People:
    """Customers with an open dashboard each. `mix`: kinds of requests with their weights."""

    def __init__(self, visitors: list[Visitor], balancer: Balancer) -> None:
        self._visitors, self._balancer = visitors, balancer
        self._tags = {visitor.account.email: str(visitor.account.version) for visitor in visitors}
        self._numbers, self._run = count(), secrets.token_hex(4)  # a key that was used before would be a repeat
        self.tally = Tally()

    async def ask(self, kind: str, visitor: Visitor, due: float) -> None:
        tally, begun = self.tally, time.perf_counter()
        tally.late = max(tally.late, begun - due)
        try:
            answer = await self._balancer.ask(self._request(kind, visitor))
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            tally.failed.append(f"{kind}: {type(error).__name__} {error}")
            return
        tally.answered(kind, answer, time.perf_counter() - due)
        if kind == "submit" and answer.status == 200:
            tally.submitted[visitor.account.email] += 1
            self._tags[visitor.account.email] = ""  # the page asks anew
        if kind == "poll" and answer.status == 200:
            self._tags[visitor.account.email] = _tag(answer.body) or self._tags[visitor.account.email]

    async def at_a_rate(
        self, wanted: Iterable[tuple[float, str, Visitor]], until: Callable[[], bool] = lambda: False
    ) -> Tally:
        """Begin each request when it is due, to the end of what is wanted or until told; then wait for all answers."""
        self.tally, begun, asked = Tally(), time.perf_counter(), set()
        for due, kind, visitor in wanted:
            if (wait := begun + due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if until():
                break
            asked.add(asyncio.create_task(self.ask(kind, visitor, begun + due)))
        await asyncio.gather(*asked)
        return self.tally

    async def as_fast_as_answered(self, mix: dict[str, int], at_once: int, seconds: float) -> Tally:
        """So many customers who ask again once they are answered: what the server can do."""
        self.tally, ends = Tally(), time.perf_counter() + seconds

        async def one() -> None:
            while (now := time.perf_counter()) < ends:
                await self.ask(*self._any(mix), now)

        await asyncio.gather(*(one() for _ in range(at_once)))
        return self.tally

    def at_random(self, mix: dict[str, int], rate: float, seconds: float) -> Iterator[tuple[float, str, Visitor]]:
        """So many a second, at moments of chance, as strangers to one another ask."""
        due = 0.0
        while (due := due + random.expovariate(rate)) < seconds:
            yield due, *self._any(mix)

    def _any(self, mix: dict[str, int]) -> tuple[str, Visitor]:
        (kind,) = random.choices(list(mix), list(mix.values()))  # noqa: S311 - a load, no secret
        return kind, random.choice(self._visitors)  # noqa: S311 - a load, no secret

    def _request(self, kind: str, visitor: Visitor) -> bytes:
        if kind == "dashboard":
            return _bytes("GET", "/dashboard", visitor.headers())
        if kind == "poll":
            headers = visitor.headers(HX_Request="true", HX_PTag=self._tags[visitor.account.email])
            return _bytes("GET", "/dashboard/live", headers)
        number = next(self._numbers)
        form = {
            "csrf_token": visitor.csrf,
            "request_id": f"{self._run}-{number}",
            "description": f"{self._run}-{number}. {WORDS}",
        }
        headers = visitor.headers(HX_Request="true", X_CSRFToken=visitor.csrf)
        return _bytes("POST", "/tasks", headers, urlencode(form).encode())


def _bytes(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    headers = {name: value for name, value in headers.items() if name != "Accept-Encoding"}  # nobody here unpacks
    if body:
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _tag(body: bytes) -> str:
    """By which the page's next poll says what it has."""
    _, found, after = body.partition(b'data-hx-ptag="')
    return after.partition(b'"')[0].decode() if found else ""


async def while_looking(balancer: Balancer, work: Awaitable[T]) -> T:
    """Do `work` while the balancer looks at its servers."""
    looking = [asyncio.create_task(balancer.keep_looking(port)) for port in balancer.ready]
    try:
        return await work
    finally:
        for each in looking:
            each.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


def percentile(took: list[float], share: float) -> float:
    """In milliseconds; the nearest rank."""
    ordered = sorted(took)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0
