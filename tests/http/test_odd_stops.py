"""A stop is a stop, also where its parts meet in a rare order: status 0, and nobody has to be killed."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from scripts.local.ports import HOST, free_port, wait_for_answer
from tests.http.server import REPO


@pytest.fixture
def stopped(tmp_path, request):
    """The status and the log of a server that has answered and was then asked to stop."""
    port, log = free_port(), tmp_path / "server.log"
    command = [sys.executable, "-m", "tests.http.odd_stops", request.param, str(port)]
    with log.open("wb") as file:
        server = subprocess.Popen(command, cwd=REPO, stdout=file, stderr=file)
    try:
        assert wait_for_answer(port, "/", 180, lambda: server.poll() is None), log.read_text()
        with socket.create_connection((HOST, port), timeout=60) as kept_open:  # the worker waits for its end
            kept_open.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert kept_open.recv(100).startswith(b"HTTP/1.1 200")
            server.terminate()
            status = server.wait(60)
    finally:
        server.kill()
    return status, log.read_text()


@pytest.mark.threat(98)
@pytest.mark.parametrize("stopped", ["late"], indirect=True)
def test_workers_that_are_gone_before_they_are_told_have_not_crashed(stopped):
    status, log = stopped

    assert "Unexpected exit" not in log
    assert status == 0


@pytest.mark.threat(98)
@pytest.mark.parametrize("stopped", ["unnoted"], indirect=True)
def test_a_worker_whose_end_is_noted_late_is_not_said_to_be_killed(stopped):
    status, log = stopped

    assert "Killing" not in log
    assert status == 0


@pytest.mark.threat(98)
@pytest.mark.parametrize("stopped", ["held"], indirect=True)
def test_a_worker_that_is_stuck_ends_by_itself_and_says_where(stopped):
    status, log = stopped

    assert "Killing" not in log
    assert "Timeout (0:00:" in log
    assert "in hold" in log  # every thread's place, for whoever looks why
    assert status == 0
