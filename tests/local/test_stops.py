"""A process that was asked to stop twice has stopped, and not crashed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from scripts.local.settings import REPO

WATCHES = """
from app.cli.watching import until_stopped
with until_stopped() as stop:
    print("here", flush=True)
    stop.wait()
"""


@pytest.mark.threat(98)
def test_a_command_that_watches_ends_well_however_often_it_is_asked_to() -> None:
    process = subprocess.Popen([sys.executable, "-c", WATCHES], cwd=REPO, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"here\n"
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            for number in (signal.SIGTERM, signal.SIGINT):
                process.send_signal(number)
            time.sleep(0.0005)
        assert process.wait(1) == 0
    finally:
        process.kill()
        process.communicate()
