"""The app over a store that a test can break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config import Config
from app.data import Store
from app.data.client import make_client
from app.web.visitors import adopter
from tests.faults.proxy import FaultProxy
from tests.support import FakeSender


@pytest.fixture
def shaky_app(config: Config, store: Store, proxy: FaultProxy, sender: FakeSender, stripe: Any) -> Flask:
    """`store` itself stays whole: the tests look through it at what really happened."""
    config = replace(config, store_timeout_seconds=2, store_patience_seconds=4)  # as in production
    shaky = Store(make_client(config, endpoint_url=proxy.url), store.prefix, adopter())
    return create_app(config, store=shaky, sender=sender, stripe=stripe)
