"""A client that a generator makes out of our document: small, and whole whatever it is answered with.

openapi-python-client reads it as any customer's programmer would; what it makes talks to the server.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.support import make_account, make_key

MOST_FILES = 99
ELSEWHERE = "http://127.0.0.1:9/elsewhere"  # no address of ours: what is answered there is in no description
REFUSED = {"error": "No.", "code": "a_word_of_next_year"}


@pytest.fixture(scope="module")
def folder(server, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("generated")
    (made / "document.json").write_text(httpx.get(f"{server.url}/api/openapi.json?for=customers").text)
    (made / "settings.yaml").write_text("post_hooks: []\n")  # it would format what nobody reads
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    where = ["--path", made / "document.json", "--output-path", made / "ours", "--config", made / "settings.yaml"]
    done = subprocess.run([*command, *where], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def part(folder, monkeypatch):
    """A module of the client: `part("api.tasks.submit_task")`."""
    monkeypatch.syspath_prepend(str(folder))

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"ours.{name}")

    yield load
    for name in [name for name in sys.modules if name.partition(".")[0] == "ours"]:
        del sys.modules[name]


def answering(part, status: int, body: Any) -> Any:
    """The client, before a server that answers with something else."""
    made = part("client").AuthenticatedClient(ELSEWHERE, "x")
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    return made.set_httpx_client(httpx.Client(transport=transport, base_url=ELSEWHERE))


def test_it_is_small(folder):
    assert 20 < len(list((folder / "ours").rglob("*.py"))) <= MOST_FILES


def test_it_submits_reads_and_lists(part, server, store):
    make_account(store, credits=100)
    client = part("client").AuthenticatedClient(server.url, make_key(store))
    brief = part("models").SubmitTask(description="Summarise the report")

    made = part("api.tasks.submit_task").sync(client=client, body=brief, idempotency_key="k-1")
    again = part("api.tasks.submit_task").sync(client=client, body=brief, idempotency_key="k-1")
    listed = part("api.tasks.list_tasks").sync(client=client)
    read = part("api.tasks.get_task").sync(made.task_id, client=client)

    assert made.task_id == again.task_id == listed.tasks[0].task_id == read.task_id
    assert (made.credits_remaining, read.status, read.result) == (90, "pending", None)


def test_a_refusal_is_one_kind_of_thing(part, server, store):
    make_account(store, credits=0)
    client = part("client").AuthenticatedClient(server.url, make_key(store))

    poor = part("api.tasks.submit_task").sync(client=client, body=part("models").SubmitTask(description="One"))
    wrong = part("api.tasks.submit_task").sync(client=client, body=part("models").SubmitTask(description=""))
    missing = part("api.tasks.get_task").sync("task_none", client=client)

    assert {type(each).__name__ for each in (poor, wrong, missing)} == {"Refusal"}
    assert [each.code for each in (poor, wrong, missing)] == ["insufficient_credits", "invalid", "not_found"]
    assert (poor.required, wrong.errors[0].field) == (10, "description")


@pytest.mark.parametrize("status", [409, 500, 503])
def test_a_fault_of_ours_and_a_word_of_next_year_raise_nothing(part, status):
    brief = part("models").SubmitTask(description="One")

    answer = part("api.tasks.submit_task").sync_detailed(client=answering(part, status, REFUSED), body=brief)

    assert (answer.status_code, answer.parsed.code) == (status, "a_word_of_next_year")


def test_a_status_that_nobody_described_raises_nothing(part):
    answer = part("api.tasks.get_task").sync_detailed("task_1", client=answering(part, 418, REFUSED))

    assert (answer.status_code, answer.parsed, json.loads(answer.content)) == (418, None, REFUSED)


def test_a_task_in_a_state_of_next_year_is_read(part, server, store):
    account = make_account(store, credits=100)
    secret = make_key(store)
    body = {"description": "One"}
    signed = {"Authorization": f"Bearer {secret}"}
    task = httpx.post(f"{server.url}/api/tasks", json=body, headers=signed).json()
    now = httpx.get(f"{server.url}/api/tasks/{task['task_id']}", headers=signed).json()
    later = now | {"status": "on-the-moon", "mood": "fine"}

    read = part("api.tasks.get_task").sync(task["task_id"], client=answering(part, 200, later))

    assert (account.credits_balance, read.status, read["mood"]) == (100, "on-the-moon", "fine")
