"""The same dashboard as others would build it, beside ours: what one of it costs, each served by one worker.

Flask with gunicorn, FastAPI with uvicorn, Express with version 3 of the AWS SDK: each reads the constant account and
its 20 tasks by the default client of its language from the same store, and sends a page of their rows. They know no
session, no form token and no log line; they compress nothing. So the comparison is kind to them.

Their packages are installed when they are asked for, from locks of their own, into a folder of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from app.data.tables import TASK_INDEX
from scripts.benchmarks import cpu, wire
from scripts.benchmarks.world import CREDENTIALS, Visitor, World
from scripts.local.aws import REPO
from scripts.local.ports import HOST, free_port

HERE, FOLDER = Path(__file__).parent, REPO / "var" / "peers"
OURS = "ours"
# How each is started on a port, in FOLDER: as its documentation has it for production.
PEERS = {
    "Flask, gunicorn": ("env/bin/gunicorn", "with_flask:app", "--bind", f"{HOST}:{{port}}", "--threads", "8"),
    "FastAPI, uvicorn": ("env/bin/uvicorn", "with_fastapi:app", "--host", HOST, "--port", "{port}", "--no-access-log"),
    "Express, SDK v3": ("node", "with_express.js"),
}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Served:
    """By round: milliseconds of CPU that a dashboard cost, and how many there were in a second. Bytes of the page."""

    size: int
    milliseconds: list[float] = field(default_factory=list)
    a_second: list[float] = field(default_factory=list)

    @property
    def note(self) -> str:
        least, most = min(self.milliseconds), max(self.milliseconds)
        cost, rate = statistics.median(self.milliseconds), statistics.median(self.a_second)
        return f"{cost:.1f} ms ({least:.1f}–{most:.1f}), {rate:.0f} a second, {self.size / 1024:.1f} KB"


def install() -> None:
    """The peers' packages, once for each state of their locks. Ends the process with a sentence when that fails."""
    locks = (HERE / "requirements.txt", HERE / "package-lock.json")
    stamp = hashlib.sha256(sys.version.encode() + b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    installed = FOLDER / "installed"
    FOLDER.mkdir(parents=True, exist_ok=True)
    whole = installed.exists() and installed.read_text() == stamp
    if not whole:
        shutil.rmtree(FOLDER)
        FOLDER.mkdir()
    for file in HERE.iterdir():
        if file.is_file():
            shutil.copy(file, FOLDER)
    if whole:
        return
    if not (npm := shutil.which("npm")):
        sys.exit("Express needs node and npm: install them (Debian: apt-get install nodejs npm).")
    venv.create(FOLDER / "env", with_pip=True)
    pip = ("env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
    for command in ((*pip, "-r", "requirements.txt"), (npm, "ci", "--no-progress", "--silent")):
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"The peers' packages could not be installed:\n{(done.stderr or done.stdout)[-2000:]}")
    installed.write_text(stamp)


def measure(world: World, visitor: Visitor, *, rounds: int, seconds: float) -> dict[str, Served]:
    """Ours and each peer, in turns, by as many connections, over a store that answers after 4 ms."""
    install()
    cpu.put_floor(world.store)
    store = world.start_replay(wire.STORE_LATENCY_MS)
    ports = {OURS: world.start_server(store, 1)} | {
        name: _start(world, command, store) for name, command in PEERS.items()
    }
    headers = {OURS: visitor.headers()}
    found = {}
    for name, port in ports.items():
        plain = headers.get(name, {"Host": HOST}) | {"Accept-Encoding": "identity"}
        found[name] = Served(len(wire.fetch(port, "/dashboard", plain)))
    for number in range(rounds):
        names = list(ports)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            request = wire.request_of("GET", "/dashboard", headers.get(name, {"Host": HOST}))
            pid = world.pids[ports[name]]
            asked = asyncio.run(wire.asked(ports[name], request, seconds, partial(cpu_seconds, pid)))
            found[name].milliseconds.append(1000 * asked.spent)
            found[name].a_second.append(asked.a_second)
    return found


def _start(world: World, command: tuple[str, ...], store: int) -> int:
    port = free_port()
    environment = CREDENTIALS | {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "NODE_ENV": "production",
        "PORT": str(port),
        "PEER_EMAIL": cpu.FLOOR_EMAIL,
        "PEER_ENDPOINT": f"http://{HOST}:{store}",
        "PEER_INDEX": TASK_INDEX,
        "PEER_TABLES": world.store.prefix,
    }
    world.start([part.format(port=port) for part in command], environment, port, "/dashboard", FOLDER)
    return port


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, and of all that it has started and that is alive."""
    mine = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    started = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return (int(mine[11]) + int(mine[12])) / TICKS + sum(cpu_seconds(int(child)) for child in started.split())
