"""A server as it is deployed, that can be asked to stop and started anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Self

from scripts.benchmarks.world import World
from scripts.local.aws import CHILD, REPO
from scripts.local.ports import HOST, free_port, wait_for_answer

START_SECONDS = 180.0
# As scripts/run has them: the local store shares the machine with all that asks it.
SETTINGS = {"STORE_TIMEOUT_SECONDS": "10", "STORE_PATIENCE_SECONDS": "20"}


class Served:
    """`with Served(world, workers=1, drain=5) as server:` serves on `server.port` until the block ends."""

    def __init__(self, world: World, *, workers: int, drain: float = 0.0) -> None:
        self.port = free_port()
        self._environment = os.environ | world.environment(world.aws.port, self.port) | SETTINGS
        self._arguments = ["--workers", str(workers), "--drain", str(drain)]

    def __enter__(self) -> Self:
        self.begin()
        self.until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.stop()
        self.wait()

    def begin(self) -> None:
        """From a thread that outlives it: it is told to stop when that ends."""
        command = [*CHILD, str(os.getpid()), sys.executable, "-m", "app.web.serve", "--host", HOST]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), *self._arguments],
            cwd=REPO,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def until_ready(self) -> None:
        """Raises RuntimeError where it does not start."""
        if not wait_for_answer(self.port, "/readyz", START_SECONDS, lambda: self._process.poll() is None):
            raise RuntimeError("the server did not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self._process.wait(120)
