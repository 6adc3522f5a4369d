"""What programs that wait cost a worker, and whoever opens a dashboard meanwhile: scripts/waiters.

One worker. In turns: dashboards one after another while so many programs wait, each for a task or for a change of any
of its account's, and while nobody waits. The programs and the store share the machine with it.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import re
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

from app.domain.clock import to_iso, utcnow
from scripts.benchmarks.world import Visitor, World
from scripts.local.ports import HOST

OF_ONE = 50  # programs of an account
SETTLING_SECONDS = 5.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Programs:
    """So many waits at once, each begun again when it is answered, until `stop`."""

    def __init__(self, port: int, asked: list[tuple[str, str]], wait: int) -> None:
        self._port, self._asked, self._wait = port, asked, wait
        self._goes_on = True
        self.answers = 0
        self.others: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask no more, and wait for the answers that are still to come."""
        self._goes_on = False
        self._thread.join()

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(path, token) for path, token in self._asked))

    async def _one(self, path: str, token: str) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        etag = ""
        while self._goes_on:
            writer.write(
                f"GET {path}wait={self._wait} HTTP/1.1\r\nHost: dashboard.test\r\nAuthorization: Bearer {token}\r\n"
                f"If-None-Match: {etag}\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if length := re.search(r"content-length: (\d+)", head, re.IGNORECASE):
                await reader.readexactly(int(length[1]))
            if head[9:12] not in ("200", "304"):
                self.others.append(head.partition("\r")[0])
                await asyncio.sleep(1)
            elif found := re.search(r"etag: (\S+)", head, re.IGNORECASE):
                self.answers += bool(etag)
                etag = found[1]
        writer.close()


def worker_of(port: int) -> int:
    """The process id of the one worker of the server on this port: a fork of it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(port) in (folder / "cmdline").read_text(errors="replace"):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return max(pid for pid, parent in parents.items() if parent in parents)


def cpu_of(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> dict[str, float]:
    """MB that it alone holds, and its threads."""
    rollup, status = (Path(f"/proc/{pid}/{name}").read_text() for name in ("smaps_rollup", "status"))
    private = sum(int(kb) for kb in re.findall(r"Private_\w+: +(\d+) kB", rollup))
    threads = re.search(r"Threads:\s+(\d+)", status)
    return {"MB": private / 1024, "threads": int(threads[1]) if threads else 0}


def dashboards(port: int, visitor: Visitor, seconds: float, pause: float) -> list[float]:
    """Milliseconds of each, one after another."""
    took, connection = [], http.client.HTTPConnection(HOST, port, timeout=60)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        begun = time.perf_counter()
        connection.request("GET", "/dashboard", headers=visitor.headers())
        answer = connection.getresponse()
        answer.read()
        took.append((time.perf_counter() - begun) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"the dashboard answered {answer.status}, {answer.headers['Location']}")
        time.sleep(pause)
    connection.close()
    return took


def path_of(number: int, options: argparse.Namespace) -> str:
    """What the program of this number asks for, up to how long it waits."""
    if options.lists:
        return f"/api/tasks?updated_since={to_iso(utcnow())}&"
    return f"/api/tasks/task_waits{number // options.of_one}_{number % options.of_one:012d}?"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"with": [], "without": [], "answers": 0, "others": [], "cpu": {}, "memory": {}}
    with World() as world:
        accounts = -(-options.programs // options.of_one)
        say(f"Making {accounts:,} customers ...")
        visitors = [
            world.account(f"waits{number}@example.com", credits=100, tasks=options.of_one) for number in range(accounts)
        ]
        looker = world.account("looks@example.com", credits=100, tasks=25)
        asked = [
            (path_of(number, options), visitors[number // options.of_one].token) for number in range(options.programs)
        ]
        port = world.start_server(world.aws.port, 1)
        worker = worker_of(port)
        dashboards(port, looker, SETTLING_SECONDS, 0)
        for turn in range(options.turns):
            for kind in ("without", "with"):
                programs = Programs(port, asked if kind == "with" else [], options.wait)
                programs.start()
                time.sleep(options.wait if kind == "with" else SETTLING_SECONDS)  # since they have settled in
                before, begun = cpu_of(worker), time.monotonic()
                time.sleep(options.seconds / 2)
                idle = (cpu_of(worker) - before) / (time.monotonic() - begun)
                found["cpu"].setdefault(kind, []).append(idle)
                found[kind] += dashboards(port, looker, options.seconds, options.pause)
                found["memory"][kind] = memory_of(worker)
                programs.stop()
                found["answers"] += programs.answers
                found["others"] += programs.others
                say(f"turn {turn + 1}, {kind}: {statistics.median(found[kind]):.1f} ms, {idle:.3f} cores")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--of-one", type=int, default=OF_ONE, help="programs of an account")
    parser.add_argument("--lists", action="store_true", help="each waits for a change of any task of its account")
    parser.add_argument("--wait", type=int, default=30, help="seconds that each asks to wait")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of dashboards, in each turn")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two dashboards")
    options = parser.parse_args()
    found = measure(options)
    what = "a change of any task" if options.lists else "a task each"
    print(
        f"{options.programs:,} programs that wait for {what}, wait={options.wait}, {options.of_one} of an account, "
        f"one worker; {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
    )
    for kind in ("without", "with"):
        took, memory = sorted(found[kind]), found["memory"][kind]
        print(
            f"{kind}: {len(took)} dashboards, mean {statistics.mean(took):.1f} ms, "
            f"median {statistics.median(took):.1f}, p95 {took[int(len(took) * 0.95)]:.1f}; "
            f"the worker without them {statistics.mean(found['cpu'][kind]):.2f} cores; "
            f"{memory['MB']:.0f} MB of its own, {memory['threads']} threads"
        )
    mean, median = (of(found["with"]) / of(found["without"]) for of in (statistics.mean, statistics.median))
    others = sorted(set(found["others"])) or "none"
    print(f"with them {mean:.2f} times the mean, {median:.2f} times the median; {found['answers']:,} waits answered")
    print(f"answers but 200 and 304: {others}")


if __name__ == "__main__":
    main()
