"""scripts/run from start to end: what it prints, what a kill leaves behind, and what it says when it cannot start."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.ports import HOST, free_port, wait_until_free
from scripts.local.settings import PORTS, REPO

READY_SECONDS = 60.0
ACCOUNT = {"email": "kept@example.com", "password": "a long and quiet river 7"}


class Run:
    """One run of the supervisor on free ports, with its state in a folder of the test."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir
        self.ports = {name: free_port() for name in PORTS}
        self.output = var_dir.parent / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Run":
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment |= {name: str(port) for name, port in self.ports.items()}
        environment |= {"VAR_DIR": str(self.var_dir), "BCRYPT_ROUNDS": "4"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.local.supervisor"],
                cwd=REPO,
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

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def frees_its_ports(self) -> bool:
        return all(wait_until_free(port, 3.0) for port in self.ports.values())

    def post(self, path: str, body: dict[str, str]) -> int:
        request = urllib.request.Request(
            f"http://{HOST}:{self.ports['PORT']}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "var")
    yield run
    if run.process is not None and run.process.poll() is None:
        run.end(signal.SIGKILL)


def test_a_kill_of_everything_leaves_no_orphan_and_loses_no_account(run: Run) -> None:
    run.start().until_ready()
    assert f"http://{HOST}:{run.ports['PORT']}" in run.text()
    assert f"http://{HOST}:{run.ports['LOCAL_AWS_PORT']}  region us-east-1" in run.text()
    assert run.post("/api/auth/signup", ACCOUNT) == 201
    run.end(signal.SIGKILL)
    assert run.frees_its_ports(), "an orphan holds a port"

    run.start().until_ready()
    assert run.post("/api/auth/login", ACCOUNT) == 200
    assert run.end(signal.SIGTERM) == 0
    assert run.frees_its_ports()
    assert "Stopped." in run.text()


@pytest.mark.parametrize("name", ["PORT", "LOCAL_MAILBOX_PORT"])
def test_a_taken_port_is_one_clear_sentence(run: Run, name: str) -> None:
    with socket.create_server((HOST, run.ports[name])):
        run.start()
        assert run.process is not None
        assert run.process.wait(timeout=20) == 1
    (line,) = run.text().splitlines()
    assert line.startswith(f"Port {run.ports[name]} is taken by another program")
    assert f"set {name} to a free port" in line


def test_a_var_dir_in_use_is_one_clear_sentence(run: Run) -> None:
    run.var_dir.mkdir()
    with (run.var_dir / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        run.start()
        assert run.process is not None
        assert run.process.wait(timeout=20) == 1
    (line,) = run.text().splitlines()
    assert "is in use by another scripts/run (process 4711)" in line
