"""Measurements against the app as it is served: bytes of a first load, requests a second, and the race for credits."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from scripts.benchmarks.world import BROWSERS_ENCODINGS, Visitor, World
from scripts.local.ports import HOST

CONNECTIONS = 24
STORE_LATENCY_MS = 4.0


def parts_of(page: str) -> set[str]:
    """Addresses of the static files that a browser asks for until the page is idle, from the page's text.

    More rather than less: an icon for a phone's home screen and the manifest count. Where the page follows something
    `follow.js` counts; htmx comes at the first news, touch, key, or pointer over a form, link or button (`app.js`).
    """
    parts = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    if 'data-hx-trigger="every' in page:
        parts.update(re.findall(r'data-follow="([^"]+)"', page))
    return {part.replace("&amp;", "&") for part in parts}


def first_load(port: int, visitor: Visitor) -> dict[str, int]:
    """Bytes of the dashboard and all it loads, headers included, for each way of compression that browsers offer."""
    return {offer: _load(port, visitor, offer) for offer in ("gzip, deflate", BROWSERS_ENCODINGS)}


def _load(port: int, visitor: Visitor, encodings: str) -> int:
    page = fetch(port, "/dashboard", visitor.headers(Accept_Encoding="identity"))
    paths = ("/dashboard", *sorted(parts_of(page.decode("utf-8", "replace"))))
    return sum(len(fetch(port, path, visitor.headers(Accept_Encoding=encodings))) for path in paths)


def fetch(port: int, path: str, headers: dict[str, str]) -> bytes:
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(request_of("GET", path, {**headers, "Connection": "close"}))
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    if b" 200 " not in received[:16]:
        raise RuntimeError(f"{path}: {received[:200]!r}")
    return received


def request_of(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Client(asyncio.Protocol):
    """A connection that asks for the same page again and again."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = bytearray()
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = buffer.lower().find(b"content-length:", 0, head) + 15
        if len(buffer) < head + 4 + int(buffer[start : buffer.find(b"\r", start)]):
            return
        if not buffer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(bytes(buffer[:200]))
        buffer.clear()
        self.answers += 1
        self._transport.write(self._request)


@dataclass(frozen=True)
class Asked:
    """How many answers came in a second, and what was `spent` on each."""

    a_second: float
    spent: float


async def asked(port: int, request: bytes, seconds: float, spent: Callable[[], float] = lambda: 0.0) -> Asked:
    """Ask again and again by CONNECTIONS, for that long; `spent` says what was spent so far, in any unit."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(request), HOST, port) for _ in range(CONNECTIONS)]
    clients = [client for _, client in made]
    await asyncio.sleep(0.5)
    before, start, so_far = sum(client.answers for client in clients), time.perf_counter(), spent()
    await asyncio.sleep(seconds)
    answers, took = sum(client.answers for client in clients) - before, time.perf_counter() - start
    found = Asked(answers / took, (spent() - so_far) / max(1, answers))
    for transport, _ in made:
        transport.abort()
    return found


def throughput(world: World, visitor: Visitor, *, rounds: int, seconds: float) -> tuple[float, float]:
    """Dashboards a second with one worker and with two, in turns, over a store that answers after 4 ms."""
    store = world.start_replay(STORE_LATENCY_MS)
    ports = [world.start_server(store, workers) for workers in (1, 2)]
    request = request_of("GET", "/dashboard", visitor.headers())
    rates: list[list[float]] = [[], []]
    for _ in range(rounds):
        for port, found in zip(ports, rates, strict=True):
            found.append(asyncio.run(asked(port, request, seconds)).a_second)
    return statistics.median(rates[0]), statistics.median(rates[1])


@dataclass
class Race:
    rounds: int
    exact: int
    statuses: Counter[int]


def race(world: World, port: int, rounds: int, submits: int = 50) -> Race:
    """100 credits and 50 submits at the same moment, to two workers over the isolated local AWS."""
    result = Race(rounds, 0, Counter())
    for number in range(rounds):
        visitor = world.account(f"race{number}@example.com", credits=100)
        statuses = asyncio.run(_submit_at_once(port, visitor, submits))
        balance = world.store.accounts.get(visitor.account.email).credits_balance
        tasks = world.store.tasks.page(visitor.account.email, limit=100).items
        result.exact += statuses.count(201) == 10 and balance == 0 and len(tasks) == 10
        result.statuses.update(statuses)
    return result


async def _submit_at_once(port: int, visitor: Visitor, submits: int) -> list[int]:
    streams = [await asyncio.open_connection(HOST, port) for _ in range(submits)]

    async def submit(number: int) -> int:
        reader, writer = streams[number]
        headers = {
            "Host": "dashboard.test",
            "Authorization": f"Bearer {visitor.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"race-{number}",
            "Connection": "close",
        }
        writer.write(request_of("POST", "/api/tasks", headers, json.dumps({"description": f"Task {number}"}).encode()))
        status = int((await reader.readline()).split()[1])
        await reader.read()
        writer.close()
        return status

    return await asyncio.gather(*(submit(number) for number in range(submits)))
