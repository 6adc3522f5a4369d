"""scripts/run as a person starts it, for tests: on free ports, with its state in a folder of the test."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from scripts.local.ports import HOST, free_port, wait_until_free
from scripts.local.settings import PORTS, REPO

READY_SECONDS = 300.0  # on a machine that does much else


class Run:
    """One run of the supervisor on free ports, with its state in a folder of the test."""

    def __init__(self, var_dir: Path, *arguments: str, repo: Path = REPO, **shell: str) -> None:
        """`shell` is what the person's own shell has set, `arguments` follow the command, `repo` is the checkout."""
        self._command = [sys.executable, "-m", "scripts.local.supervisor", *arguments]
        self._repo = repo
        self.var_dir = var_dir
        self._shell = shell
        self.ports = {name: free_port() for name in PORTS}
        self.url = f"http://{HOST}:{self.ports['PORT']}"
        self.output = var_dir.parent / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Run":
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment |= {name: str(port) for name, port in self.ports.items()}
        environment |= {"VAR_DIR": str(self.var_dir), "BCRYPT_ROUNDS": "4", "DEMO_MONTH": "0"} | self._shell
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._repo,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def text(self) -> str:
        return self.output.read_text()

    def until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_SECONDS
        while "The dashboard is ready." not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.1)

    @staticmethod
    def pause() -> None:
        """Between two looks at something that a process of the run does by itself."""
        time.sleep(0.5)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def frees_its_ports(self) -> bool:
        return all(wait_until_free(port, 3.0) for port in self.ports.values())

    def post(self, path: str, body: dict[str, str]) -> int:
        request = urllib.request.Request(
            f"http://{HOST}:{self.ports['PORT']}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
