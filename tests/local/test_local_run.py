"""scripts/run from start to end: what it prints, what a kill leaves behind, and what it says when it cannot start."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from bs4 import BeautifulSoup

from scripts.local.ports import HOST
from tests.local.local_run import Run, alive

ACCOUNT = {"email": "kept@example.com", "password": "a long and quiet river 7"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    (tmp_path / "own").mkdir()
    run = Run(tmp_path / "var", TMPDIR=str(tmp_path / "own"))
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
    assert_it_shows_its_metrics(run)
    assert run.end(signal.SIGTERM) == 0
    assert run.frees_its_ports()
    assert "Stopped." in run.text()


def assert_it_shows_its_metrics(run: Run) -> None:
    """By the address and the token that it has printed last; its mail sender looks what waits."""
    printed = re.findall(r"Metrics +(\S+/metrics)  bearer token (\w+)", run.text())
    address, token = printed[-1]
    deadline = time.monotonic() + 90
    while True:
        answer = httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False)
        assert answer.status_code == 200
        if re.search(r"^dashboard_looked_seconds \d", answer.text, re.MULTILINE):
            break
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.5)
    login = 'route="/api/auth/login",method="POST",status="2xx"'
    assert f"dashboard_request_duration_seconds_count{{{login}}} 1\n" in answer.text


def fault_is_met(run: Run) -> bool:
    """Whether a call has come to the stand-in that was told to be slow once."""
    with contextlib.closing(sqlite3.connect(run.var_dir / "stripe" / "stripe.sqlite")) as kept:
        (fault,) = kept.execute("SELECT value FROM settings WHERE name = 'fault'").fetchone()
    return json.loads(fault) is None


@pytest.mark.threat(98)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_all_of_it_and_the_request_in_flight_gets_its_answer(
    run: Run, tmp_path: Path, number: signal.Signals
) -> None:
    run.start().until_ready()
    assert run.process is not None
    pids = processes_under(run.process.pid)
    stripe = f"http://{HOST}:{run.ports['LOCAL_STRIPE_PORT']}/_control/faults"
    with httpx.Client(base_url=run.url, timeout=60, trust_env=False) as client:
        form = BeautifulSoup(client.get("/").text, "html5lib").select("form#buy input")
        body = {str(field["name"]): str(field["value"]) for field in form}
        assert httpx.post(stripe, json={"seconds": 2, "count": 1}, trust_env=False).status_code == 200
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.post, "/buy", data=body, headers={"Origin": run.url})
            while not fault_is_met(run):
                assert not answer.done(), answer.result().text
                time.sleep(0.01)
            assert run.end(number) == 0
            assert answer.result().status_code == 303

    assert [pid for pid in pids if alive(pid)] == []
    assert run.frees_its_ports()
    assert "Stopped." in run.text()
    logs = "".join(path.read_text() for path in (run.var_dir / "log").iterdir())
    assert not re.search("killing|killed|Traceback", run.text() + logs, re.IGNORECASE)
    assert list((tmp_path / "own").iterdir()) == []


@pytest.mark.parametrize("name", ["PORT", "LOCAL_MAILBOX_PORT"])
def test_a_taken_port_is_one_clear_sentence(run: Run, name: str) -> None:
    with socket.create_server((HOST, run.ports[name])):
        run.start()
        assert run.process is not None
        assert run.process.wait(timeout=60) == 1
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
        assert run.process.wait(timeout=60) == 1
    (line,) = run.text().splitlines()
    assert "is in use by another scripts/run (process 4711)" in line


def processes_under(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_an_idle_run_sleeps(run: Run) -> None:
    """A purchase, then nothing: whoever wakes itself would burn a core from then on."""
    run.start().until_ready()
    assert run.process is not None
    stripe = f"http://{HOST}:{run.ports['LOCAL_STRIPE_PORT']}/_control"
    body = {"email": "ada@example.com", "amount": 1000}
    request = urllib.request.Request(
        f"{stripe}/payment_link", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status < 300
    with urllib.request.urlopen(f"{stripe}/idle?seconds=60", timeout=90) as answer:
        assert json.load(answer)["idle"]
    pids = processes_under(run.process.pid)
    assert len(pids) >= 7

    def used_in_five_seconds() -> float:
        before = cpu_seconds(pids)
        time.sleep(5)
        return cpu_seconds(pids) - before

    # About 0.03 once the receipt has gone out; a process that spins uses seconds, in every such while. A loaded machine
    # takes longer to come to rest.
    assert any(used_in_five_seconds() < 0.15 for _ in range(24))
    assert run.end(signal.SIGTERM) == 0
