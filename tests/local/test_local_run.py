"""scripts/run from start to end: what it prints, what a kill leaves behind, and what it says when it cannot start."""

import fcntl
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.ports import HOST
from tests.local.local_run import Run

ACCOUNT = {"email": "kept@example.com", "password": "a long and quiet river 7"}


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
