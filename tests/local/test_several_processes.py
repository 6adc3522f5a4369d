"""The suite in several processes: who runs what, and what is said meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import scope_of
from scripts.local.ports import free_port
from scripts.local.settings import REPO

WHO = """
import os
from pathlib import Path

def test_{name}():
    Path("{name}").write_text(os.environ["PYTEST_XDIST_WORKER"])
    assert "{name}" != "broken"
"""


AWAY = """
import contextlib
import socket
import threading

def swallowed(ask):
    def run():
        with contextlib.suppress(Exception):
            ask()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

def test_connect():
    swallowed(lambda: socket.create_connection(("192.0.2.1", 80), 1))

def test_connect_ex():
    swallowed(lambda: socket.socket().connect_ex(("192.0.2.1", 80)))

def test_send():
    swallowed(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 80)))

def test_name():
    swallowed(lambda: socket.getaddrinfo("dashboard.example", 80))

def test_here():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
"""


DEAF = """
import signal

def test_ignores():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def test_blocks():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])

def test_neither():
    pass
"""
STOPPED = """
import signal
import subprocess
import sys

def test_stopped():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        command = subprocess.Popen([sys.executable, "-c", "print('here', flush=True); input()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert command.stdout.readline() == b"here\\n"
        command.send_signal(number)
        assert command.wait(60) == -number
"""


@pytest.fixture
def suite(tmp_path):
    """A small suite with our conftest.py: `run(*arguments)` gives what it says."""
    shutil.copy(REPO / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(*arguments: str, before: tuple[str, ...] = ()) -> str:
        command = [*before, sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", *arguments]
        return subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=300).stdout

    return run


def write(folder: Path, file: str, *names: str) -> None:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("".join(WHO.format(name=name) for name in names))


def test_what_bears_no_company_is_in_one_process_and_a_failure_is_named_at_once(suite, tmp_path):
    write(tmp_path, "tests/http/test_a.py", "killed")
    write(tmp_path, "tests/faults/test_workers.py", "loaded")
    for letter in "bcd":
        write(tmp_path, f"tests/routes/test_{letter}.py", f"{letter}1", f"{letter}2")
    write(tmp_path, "tests/routes/test_e.py", "broken")

    said = suite("-n", "2", "--dist", "loadscope", "--no-loadscope-reorder")

    ran_in = {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix == "" and path.is_file()}
    assert len(ran_in) == 9, said
    assert set(ran_in.values()) == {"gw0", "gw1"}
    assert ran_in["killed"] == ran_in["loaded"]
    assert all(ran_in[f"{letter}1"] == ran_in[f"{letter}2"] for letter in "bcd")
    assert "tests/routes/test_e.py::test_broken (call)" in said.partition("= FAILURES =")[0]


@pytest.mark.parametrize(
    ("test", "scope"),
    [
        ("tests/http/test_head.py::test_x[/a::b]", "one at a time"),
        ("tests/routes/test_auth.py::test_x[/a::b]", "tests/routes/test_auth.py"),
    ],
)
def test_scope_of_a_test(test, scope):
    assert scope_of(test) == scope


def test_two_processes_at_once_are_given_different_ports_that_no_connection_takes():
    ask = [sys.executable, "-c", "from scripts.local.ports import free_port; print(*(free_port() for _ in range(9)))"]
    others = [subprocess.Popen(ask, cwd=REPO, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    given = [int(port) for process in others for port in process.communicate()[0].split()]
    given += [free_port() for _ in range(9)]

    assert len(set(given)) == 27
    assert max(given) < 32_768  # where Linux begins with those of outgoing connections


def test_a_test_fails_that_leads_away_from_this_machine_whatever_becomes_of_the_refusal(suite, tmp_path):
    (tmp_path / "test_away.py").write_text(AWAY)

    said = suite("test_away.py")

    for how in ("connect", "connect_ex", "send", "name"):
        assert f"test_away.py::test_{how} (teardown)" in said, said
    assert "5 passed, 4 errors" in said


@pytest.mark.parametrize("processes", ["0", "1"])
def test_what_a_test_starts_can_be_interrupted_though_the_suite_runs_in_the_background(processes, suite, tmp_path):
    (tmp_path / "test_stops.py").write_text(STOPPED)
    said = suite("-n", processes, before=("bash", "-c", "trap '' INT HUP QUIT; exec \"$@\"", "bash"))
    assert "1 passed" in said, said


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_test_that_leaves_a_signal_unheeded_fails_and_spoils_no_other(processes, suite, tmp_path):
    (tmp_path / "test_a.py").write_text(DEAF + STOPPED)
    said = suite("-n", processes)
    for name, left in (("ignores", "SIGINT, SIGTERM"), ("blocks", "SIGHUP")):
        assert f"test_a.py::test_{name} (teardown)" in said, said
        assert f"It left {left} ignored or blocked." in said, said
    assert "4 passed, 2 errors" in said, said


@pytest.mark.parametrize("keeps", [False, True])
def test_nothing_expires_by_the_real_time_in_the_store_of_the_tests(keeps, tmp_path):
    """Their days are long past: rows would go in the middle of a test, once a minute. A run that keeps them does."""
    look = f"""
import sys
import threading
from scripts.local import aws_server

async def serve(*_):
    import scripts.local.snapshot
    assert (aws_server.REMOVES_EXPIRED in [thread.name for thread in threading.enumerate()]) is {keeps}

aws_server.serve = serve
sys.argv[1:] = ["--port", "1"] + ["--data", {str(tmp_path)!r}] * {keeps}
aws_server.main()
"""
    subprocess.run([sys.executable, "-c", look], cwd=REPO, check=True, timeout=300)
