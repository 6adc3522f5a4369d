"""A program written from /docs alone, and run as its author would: from an account to a statement that adds up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from bs4 import BeautifulSoup

from app.domain.clock import utcnow
from app.domain.tasks import PENDING
from app.services import queue
from scripts.local.ports import free_port
from tests.http.server import REPO, Server
from tests.http.test_webhooks import sender
from tests.receiver import NAME, certificates
from tests.support import PASSWORD, assert_books_agree, every_task, make_account, make_operators

ADA, OP = "ada@example.com", "op@example.com"
PROGRAM = REPO / "tests/http/newcomer.py"


def complete_what_waits(store) -> None:
    for row in every_task(store):
        if row["status"] == PENDING:
            queue.claim(store, OP, row["task_id"], now=utcnow())
            queue.complete(store, OP, row["task_id"], f"Done: {row['description']}", now=utcnow())


@pytest.mark.long
def test_thirty_tasks_are_told_by_webhooks_thirty_by_a_wait_and_the_statement_adds_up(
    store, dynamodb_url: str, tmp_path: Path
) -> None:
    authority, certificate = certificates(NAME)
    port = free_port()
    trial = {"WEBHOOK_TRIAL_RECEIVERS": f"{NAME}:{port}", "WEBHOOK_TRIAL_AUTHORITY": str(authority)}
    make_account(store, ADA, credits=1000)
    make_operators(store, OP)
    with Server(dynamodb_url, tmp_path / "server.log", **trial) as server:
        sending = sender(server, tmp_path / "sender.log")
        command = [sys.executable, "-I", "-S", PROGRAM, server.url, ADA, PASSWORD, str(port), certificate]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while program.poll() is None:
                complete_what_waits(store)
                time.sleep(0.2)
            printed, said = program.communicate()
            sending.terminate()
            assert sending.wait(30) == 0
        finally:
            program.kill()
            sending.kill()
            program.wait()
            sending.wait()

    assert (program.returncode, said) == (0, "")
    seen = json.loads(printed)
    rows = every_task(store)
    assert len(rows) == 60
    assert len(seen["told"]) >= 30  # some of the others as well, if their events were sent before the end
    assert set(seen["told"]) <= {row["task_id"] for row in rows}
    pages = [f"{name}, page {number}" for name in ("Letters", "Reports") for number in range(1, 31)]
    assert seen["read"] == [f"Done: {page}" for page in pages]
    assert (seen["refused"], seen["spent"], seen["balance"], seen["credits"]) == (0, -600, 400, 400)
    assert_books_agree(store)


def test_it_uses_nothing_but_what_the_page_tells(server) -> None:
    """What is on the page as it is served: addresses, and the check of a signature word for word."""
    program = PROGRAM.read_text(encoding="utf-8")
    page = BeautifulSoup(httpx.get(f"{server.url}/docs").text, "html.parser")
    told = {re.sub(r"{\w+}", "", code.text.partition(" ")[2]) for code in page.select("article code")}
    asked = {re.sub(r"[{?].*", "", path) for path in re.findall(r'call\(f?"([^"]+)"', program)}

    assert len(asked) == 7
    assert asked <= told
    (check,) = (code.text for code in page.select("pre[aria-label='Check an event in Python']"))
    assert check[check.index("def is_ours") :] in program
    words = page.get_text(" ")
    assert [word for word in set(re.findall(r'\["(\w+)"\]', program)) if word not in words] == []
    assert not re.search(r"^(from|import) (app|impacteragi|tests)\b", program, re.MULTILINE)
