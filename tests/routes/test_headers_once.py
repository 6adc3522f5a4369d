"""What every answer is sent with stands in it once: it is added without a look whether something has said it before."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.routes.browser import Browser
from tests.support import make_account


@pytest.mark.parametrize(
    "path", ["/", "/dashboard", "/account", "/login", "/nowhere", "/api/tasks", "/reset?token=x", "/transactions.csv"]
)
def test_no_header_is_said_twice(app, store, path):
    make_account(store)
    browser = Browser(app)
    browser.sign_in()

    said = Counter(name for name, _ in browser.get(path).headers if name != "Set-Cookie")

    assert said["X-Frame-Options"] == said["Content-Security-Policy"] == 1
    assert {name for name, times in said.items() if times > 1} == set()
