"""Fixtures of the security tests: a browser, and an app that asks operators for a second factor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config import Config
from app.data import Store
from tests.routes.browser import Browser
from tests.support import FakeSender


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def strict_app(config: Config, store: Store, sender: FakeSender, stripe: Any) -> Flask:
    """As in production: an operator changes nothing without a second factor."""
    return create_app(replace(config, require_operator_2fa=True), store=store, sender=sender, stripe=stripe)
