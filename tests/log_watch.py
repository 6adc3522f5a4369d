"""Reads every line that the app logs during a test, as it leaves the formatter, and finds what must not be in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from app.web import logs
from tests.support import PASSWORD

SECRETS = {
    "a password": re.compile(re.escape(PASSWORD)),
    "a password hash": re.compile(r"\$2[aby]\$\d\d\$"),
    "a token": re.compile(r"eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a bearer header": re.compile(r"(?i)bearer [\w-]{8,}"),
    "a cookie": re.compile(r"(?i)(__Host-)?session=[\w.-]{8,}"),
    "a mailed link": re.compile(r"/(reset|set-password|confirm)/[\w.-]{8,}"),
    "a signing key": re.compile(r"signing-key-of-the-test-suite|whsec_|sk_(test|live)_\w"),
    "a webhook body": re.compile(r"customer_details|checkout\.session\.completed.{0,40}\{"),
    "a whole e-mail address": re.compile(r"[\w.+-]*\w@example\.com"),
    "a credential of the store": re.compile(r"X-Amz-Signature|AWS4-HMAC"),
}


OF_EACH_LINE = ("at", "level", "event", "logger")  # what a filter or a query of the log goes by
CLIENTS = {"httpx", "httpcore"}  # with which a test asks; their lines are the test's own


@dataclass
class LogWatch:
    lines: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)  # what a line says of itself, and something else stood there

    def problems(self) -> list[str]:
        told = [f"{what}: {line[:400]}" for line in self.lines for what, mark in SECRETS.items() if mark.search(line)]
        return self.hidden + told


@pytest.fixture(autouse=True)
def log_watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogWatch]:
    """Every test of the app is one of its log, too. `@pytest.mark.unwatched` is for a test that logs on purpose."""
    watch = LogWatch()
    plain = logs.JsonFormatter.format

    def watched(self: logs.JsonFormatter, record: logging.LogRecord) -> str:
        line = plain(self, record)
        if record.name not in CLIENTS:
            watch.lines.append(line)
            watch.hidden += [f"{name} of {record.getMessage()!r}" for name in OF_EACH_LINE if name in vars(record)]
        return line

    monkeypatch.setattr(logs.JsonFormatter, "format", watched)
    yield watch
    if not request.node.get_closest_marker("unwatched"):
        assert watch.problems() == []
