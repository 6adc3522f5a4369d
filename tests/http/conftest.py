"""One real server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.data.table_setup import create_tables
from tests.conftest import PREFIX
from tests.http.server import Server

pytest.register_assert_rewrite("schemathesis.pytest.plugin")  # test_api_fuzz.py imports it before it names it as one


@pytest.fixture(scope="session")
def server(dynamodb_url: str, dynamodb: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    create_tables(dynamodb, PREFIX)  # or it would not be healthy
    with Server(dynamodb_url, tmp_path_factory.mktemp("http") / "server.log") as server:
        yield server
        log = server.log()
        assert "unexpected error" not in log, log[-5000:]


@pytest.fixture(scope="session")
def library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.fail("libfaketime is missing: apt-get install faketime (scripts/test does it)")
    return str(found[0])
