"""One contract on two emulators: moto for what one thread does, ministack (or DYNAMODB_ENDPOINT_URL) for the same."""

from __future__ import annotations

import pytest

from app.data import Store


@pytest.fixture(params=["moto", "isolated"])
def any_store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue({"moto": "moto_store", "isolated": "store"}[request.param])
    return found
