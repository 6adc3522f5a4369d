"""The app as it is deployed: `app.web.serve` with two worker processes, on a port of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from scripts.local.ports import HOST, free_port, wait_for_answer
from scripts.local.settings import app_settings

REPO = Path(__file__).resolve().parents[2]
SETTINGS = {
    "JWT_SECRET": "newest-signing-key-of-the-test-suite",
    "STRIPE_SECRET_KEY": "sk_test_suite",
    "STRIPE_WEBHOOK_SECRET": "whsec_newest,whsec_older",
    "BCRYPT_ROUNDS": "4",
    "PYTHONPATH": str(REPO),
    # As in the tests themselves (pyproject.toml). A warning ends the request in a 500, or the start.
    "PYTHONWARNINGS": "error,ignore::ResourceWarning",
}


class Server:
    """`with Server(dynamodb_url, log) as server:` serves on `server.url` until the block ends."""

    def __init__(
        self,
        dynamodb_url: str,
        log: Path,
        workers: int = 2,
        target: str = "app.wsgi:app",
        drain: float = 0,
        **settings: str,
    ):
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._log = log
        self._workers = workers
        self._target = target
        self._drain = drain
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._environment = inherited | app_settings(self.url, dynamodb_url) | SETTINGS | settings

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "app.web.serve", "--host", HOST, "--port", str(self.port)),
            *("--workers", str(self._workers), "--target", self._target, "--drain", str(self._drain)),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=REPO, env=self._environment, stdout=log, stderr=log, process_group=0
            )
        if not wait_for_answer(self.port, "/healthz", 180, lambda: self._process.poll() is None):
            self.__exit__()
            raise RuntimeError(f"the server did not start:\n{self._log.read_text()[-3000:]}")

    @property
    def environment(self) -> dict[str, str]:
        """Its settings, for commands beside it."""
        return dict(self._environment)

    def terminate(self) -> None:
        self._process.terminate()

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has stopped."""
        return self._process.wait(40)

    def __exit__(self, *_: object) -> None:
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a worker that did not follow
        self._process.wait()

    def workers(self) -> list[int]:
        """Process ids of the workers that are alive."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                after_name = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after_name[1]) == self._process.pid and after_name[0] != "Z":
                found.append(int(stat.parent.name))
        return found

    def wait_for_workers(self, count: int = 1, other_than: list[int] | None = None) -> list[int]:
        """Once that many are alive, and not just those of before."""
        deadline = time.monotonic() + 30
        while len(found := self.workers()) < count or set(found) <= set(other_than or ()):
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.05)
        return found

    def log(self) -> str:
        return self._log.read_text()
