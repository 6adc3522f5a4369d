"""Fixtures of the security tests: a browser, and an app that asks operators for a second factor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import create_app
from tests.routes.browser import Browser


@pytest.fixture
def browser(app) -> Browser:
    return Browser(app)


@pytest.fixture
def strict_app(config, store, sender, stripe):
    """As in production: an operator changes nothing without a second factor."""
    return create_app(replace(config, require_operator_2fa=True), store=store, sender=sender, stripe=stripe)
