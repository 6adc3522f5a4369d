"""The Worker before the real app, as it is deployed, and before a server that does as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.data.table_setup import create_tables
from tests.conftest import PREFIX
from tests.edge import front
from tests.edge.front import SECRET, Front
from tests.edge.origin import OK, Origin
from tests.http.server import Server


@pytest.fixture(scope="session")
def installed() -> None:
    try:
        front.install()
    except front.CannotInstall as reason:
        pytest.fail(str(reason), pytrace=False)


@pytest.fixture(scope="session")
def server(dynamodb_url: str, dynamodb: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    create_tables(dynamodb, PREFIX)
    log = tmp_path_factory.mktemp("edge") / "server.log"
    with Server(dynamodb_url, log, EDGE_SECRETS=f"{SECRET},an-older-one-of-the-edge", SIGNUPS_PER_HOUR="3") as server:
        yield server
        told = server.log()
        assert "unexpected error" not in told, told[-5000:]


@pytest.fixture(scope="session")
def before_app(installed: None, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with Front(server.port, tmp_path_factory.mktemp("edge") / "worker.log") as worker:
        yield worker


@pytest.fixture(scope="session")
def _origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="session")
def before_origin(installed: None, _origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    log = tmp_path_factory.mktemp("edge") / "worker-before-origin.log"
    with Front(_origin.port, log) as worker:
        yield worker


@pytest.fixture
def origin(_origin: Origin) -> Origin:
    """It has heard nothing yet, and says yes to all."""
    _origin.heard.clear()
    _origin.answer, _origin.waits_for = OK, None
    return _origin
