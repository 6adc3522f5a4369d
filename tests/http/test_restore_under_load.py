"""The way back, as an operator goes it: exported while customers submit and pay, killed, gone on with, served from."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from app.data.table_copies import TableCopies
from app.domain.clock import utcnow
from app.gateways.depots import Folder
from app.gateways.files import FileStore
from app.services.backup import own_export
from tests.http.server import REPO, Server
from tests.support import PASSWORD, make_account, session_event, signed

ADA, GRACE = "ada@example.com", "grace@example.com"
PREFIXES = ("Busy_", "Quiet_")
PATIENCE = 120.0


@pytest.fixture
def fresh(setting_up):
    remove(setting_up)
    yield
    remove(setting_up)


def remove(client) -> None:
    for name in client.list_tables()["TableNames"]:
        if name.startswith(PREFIXES):
            client.delete_table(TableName=name)


class Load(threading.Thread):
    """One after the other: a task of Ada's, a purchase of a guest's."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE)
        self._over = threading.Event()
        self.rounds = 0
        self.failed: list[str] = []

    def run(self) -> None:
        token = self._client.post("/api/auth/login", json={"email": ADA, "password": PASSWORD}).json()["token"]
        asks = {"Authorization": f"Bearer {token}"}
        while not self._over.is_set():
            key = {"Idempotency-Key": f"load-{self.rounds}"}
            task = self._client.post("/api/tasks", json={"description": "Comptez – 数える"}, headers=asks | key)
            body = json.dumps(session_event(f"guest-{self.rounds}@example.com")).encode()
            paid = self._client.post("/api/stripe/webhook", content=body, headers={"Stripe-Signature": signed(body)})
            self.failed += [answer.text for answer in (task, paid) if answer.status_code >= 300]
            self.rounds += 1

    def go_on(self) -> None:
        """Until it has come further."""
        before, deadline = self.rounds, time.monotonic() + PATIENCE
        while self.rounds < before + 2:
            assert self.is_alive(), "it broke off"
            assert time.monotonic() < deadline, "in vain"
            time.sleep(0.02)

    def stop(self) -> None:
        self._over.set()
        self.join()


def flask(server: Server, folder: Path, *words: str, killed_at: str = "") -> tuple[int, str]:
    """A command as it is typed, and what it said; killed as soon as it says something that begins so."""
    command = [sys.executable, "-m", "flask", "--app", "app.wsgi", *words]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=server.environment | {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    said = []
    assert process.stdout
    for line in process.stdout:
        said.append(line)
        if killed_at and line.startswith(killed_at):
            process.kill()
    return process.wait(), "".join(said)


@pytest.mark.threat(116)
def test_what_was_exported_under_load_is_restored_compared_and_served(
    dynamodb_url, store, setting_up, fresh, tmp_path
) -> None:
    FileStore("impacteragi-results", "us-east-1", dynamodb_url).create_bucket()
    make_account(store, ADA, credits=1_000_000)
    make_account(store, GRACE, credits=77)
    depot = str(tmp_path / "depot")
    with Server(dynamodb_url, tmp_path / "server.log") as server:
        load = Load(server.url)
        load.start()
        try:
            load.go_on()
            status, said = flask(server, tmp_path, "backup", "export", "--to", depot, "--name", "busy")
            load.go_on()
        finally:
            load.stop()
        assert (load.failed, status) == ([], 0), said
        assert "Changed while they were read, so not of one moment: Users, Transactions, Tasks" in said

        status, said = flask(server, tmp_path, "restore", "run", "--prefix", "Busy_", "--from", depot)
        assert "busy is not of one moment: Users, Transactions, Tasks" in said
        assert "whether it is the same as in the backup" in said
        # What it tore is named by account, row or task; or the scan was lucky, and the books agree.
        assert ("Do not serve from these tables." in said) == (status == 1), said
        assert ("The tables, the files and the books agree." in said) == (status == 0), said
        assert "Traceback" not in said

        copies = TableCopies(setting_up, store.prefix)
        assert own_export.export(copies, Folder(tmp_path / "depot"), clock=utcnow, name="quiet").torn == ()
        words = ("restore", "run", "--prefix", "Quiet_", "--from", depot, "--name", "quiet")
        status, said = flask(server, tmp_path, *words, killed_at="… Users: whether it is the same")
        assert status == -9, said
        status, said = flask(server, tmp_path, *words)
        assert (status, "The tables, the files and the books agree." in said) == (0, True), said
        assert "TABLE_PREFIX=Quiet_ scripts/run" in said

    with (
        Server(dynamodb_url, tmp_path / "restored.log", TABLE_PREFIX="Quiet_") as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE, follow_redirects=True) as customer,
    ):
        body = {"email": GRACE, "password": PASSWORD}
        token = customer.post("/api/auth/login", json=body).json()["token"]
        seen = customer.get("/api/user", headers={"Authorization": f"Bearer {token}"}).json()
        assert seen["credits"] == 77
        body = {"email": ADA, "password": PASSWORD}
        token = customer.post("/api/auth/login", json=body).json()["token"]
        asks = {"Authorization": f"Bearer {token}"}
        assert customer.get("/api/user", headers=asks).json()["credits"] == 1_000_000 - 10 * load.rounds
        again = customer.post("/api/tasks", json={"description": "On we go"}, headers=asks | {"Idempotency-Key": "new"})
        assert again.status_code == 201
    assert store.accounts.get(ADA).credits_balance == 1_000_000 - 10 * load.rounds, "the old tables are as they were"
