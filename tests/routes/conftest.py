"""Fixtures of the tests of the views."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from flask import Flask

from app.data import Store
from tests.routes.browser import Browser
from tests.support import calls_made, make_account


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def ada(store: Store, browser: Browser) -> Browser:
    """Signed in as ada@example.com, who has 100 credits."""
    make_account(store, credits=100)
    browser.enter()
    return browser


@pytest.fixture
def in_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the rate limits stands still, or a test could run over the end of a window."""
    for module in ("app.data.rate_limits", "app.services.throttle"):
        monkeypatch.setattr(f"{module}.utcnow", lambda: datetime.fromtimestamp(1_800_000_900, UTC))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`with calls() as made`: names of the calls that leave for the store inside the block."""
    return partial(calls_made, monkeypatch)
