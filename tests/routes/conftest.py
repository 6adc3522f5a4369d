"""Fixtures of the tests of the views."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tests.routes.browser import Browser


@pytest.fixture
def browser(app) -> Browser:
    return Browser(app)


@pytest.fixture
def in_one_window(monkeypatch):
    """The clock of the rate limits stands still, or a test could run over the end of a window."""

    class Clock:
        @staticmethod
        def time() -> float:
            return 1_800_000_900.0

    for module in ("app.data.rate_limits", "app.throttle"):
        monkeypatch.setattr(f"{module}.time", Clock)


@pytest.fixture
def calls(store):
    """Names of the calls that reach the store inside a block; with `consistent`, whether each read asks for that."""

    @contextmanager
    def count(*, consistent: bool = False):
        made: list = []

        def note(model, params, **_):
            body = params.get("body", b"")
            strong = b'"ConsistentRead": true' in (body if isinstance(body, bytes) else str(body).encode())
            made.append((model.name, strong) if consistent else model.name)

        store.client.meta.events.register("before-call.dynamodb", note)
        try:
            yield made
        finally:
            store.client.meta.events.unregister("before-call.dynamodb", note)

    return count
