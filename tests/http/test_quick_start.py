"""The quick start of /docs, as it stands there: run in a shell and by Python against the server."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest
from bs4 import BeautifulSoup

from app.domain.api_keys import TASKS_READ, TASKS_WRITE
from tests.support import every_task, make_account, make_key


@pytest.fixture
def example(server, store):
    """A text of the page, with the address of this server and a key in the places where they belong."""
    make_account(store, credits=100)
    secret = make_key(store, scopes=[TASKS_READ, TASKS_WRITE])
    page = BeautifulSoup(httpx.get(f"{server.url}/docs").text, "html.parser")

    def text(label: str) -> str:
        code = page.select_one(f"pre[aria-label='{label}']").text
        address = code[code.index("http") : code.index("/api")]
        return code.replace(address, server.url).replace("imp_live_…", secret)

    return text


def test_the_quick_start_for_a_shell_runs_as_it_stands(example, store):
    ran = subprocess.run(["bash", "-euc", example("Quick start for a shell")], capture_output=True, text=True)

    submitted, listed = (json.loads(text) for text in ran.stdout.strip().splitlines())
    assert (ran.returncode, submitted["credits_remaining"]) == (0, 90), ran.stderr
    assert [task["task_id"] for task in listed["tasks"]] == [submitted["task_id"]]
    assert len(every_task(store)) == 1


def test_the_quick_start_in_python_runs_as_it_stands(example, store):
    ran = subprocess.run([sys.executable, "-I", "-c", example("Quick start in Python")], capture_output=True, text=True)

    (task,) = every_task(store)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"{task['task_id']} costs 10 credits; 90 are left\npending\n"
