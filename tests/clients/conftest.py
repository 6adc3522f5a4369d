"""One real server for all tests of the Python client, and a customer who has a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.data import Store
from app.data.table_setup import create_tables
from app.domain.clock import utcnow
from app.gateways.files import FileStore
from app.services import queue
from impacteragi import AsyncClient, Client
from tests.conftest import PREFIX
from tests.faults.proxy import FaultProxy
from tests.http.server import Server
from tests.support import make_account, make_key, make_operators

OPERATOR = "op@example.com"


@dataclass
class Customer:
    """ada@example.com, who has 100 credits, and what is done to her tasks."""

    store: Store
    files: FileStore
    server: Server
    key: str = field(repr=False)

    def client(self, url: str = "", **more: Any) -> Client:
        return Client(self.key, url or self.server.url, **more)

    def async_client(self, url: str = "", **more: Any) -> AsyncClient:
        return AsyncClient(self.key, url or self.server.url, **more)

    @property
    def environment(self) -> dict[str, str]:
        """For a program that is started."""
        return self.server.environment | {
            "IMPACTERAGI_API_KEY": self.key,
            "IMPACTERAGI_BASE_URL": self.server.url,
            "PYTHONPATH": "clients/python/src",
            "PYTHONWARNINGS": "error,ignore::ResourceWarning",
        }

    def complete(self, task_id: str, result: str = "Done.", files: Sequence[tuple[str, bytes]] = ()) -> None:
        make_operators(self.store)
        queue.claim(self.store, OPERATOR, task_id, now=utcnow())
        kept = [self.files.put(task_id, name, content) for name, content in files]
        queue.complete(self.store, OPERATOR, task_id, result, files=kept, now=utcnow())


@pytest.fixture(scope="session")
def server(dynamodb_url: str, dynamodb: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    create_tables(dynamodb, PREFIX)
    log = tmp_path_factory.mktemp("clients") / "server.log"
    with Server(dynamodb_url, log, workers=1) as server:
        yield server
        assert "unexpected error" not in server.log(), server.log()[-5000:]


@pytest.fixture(scope="session")
def files(config: Any) -> FileStore:
    files = FileStore(config.files_bucket, config.aws_region, config.s3_endpoint_url)
    files.create_bucket()
    return files


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for chance, and a poll is soon."""
    monkeypatch.setattr("impacteragi.client.JITTER_SECONDS", 0.05)
    monkeypatch.setattr("impacteragi.calls.FIRST_POLL", 0.2)


@pytest.fixture
def customer(store: Store, files: FileStore, server: Server) -> Customer:
    make_account(store, credits=100)
    return Customer(store, files, server, make_key(store, scopes=["tasks:read", "tasks:write", "billing:read"]))


@pytest.fixture
def between(server: Server) -> Iterator[FaultProxy]:
    """Stands between a client and the server, and loses what a test says."""
    proxy = FaultProxy(server.url)
    yield proxy
    proxy.close()
