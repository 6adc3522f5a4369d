"""Webhooks of ours, received: verified by the library of Standard Webhooks, and each handed on once.

`verify` is for a program that has a web server. `listen` is a small one of its own, for behind your TLS.
"""

from __future__ import annotations

import base64
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from .errors import ImpacterError, NotConfigured

log = logging.getLogger("impacteragi")

MAX_BODY = 256 * 1024
SOCKET_SECONDS = 15.0
KEEP_SECONDS = 35 * 24 * 3600.0  # an event is sent again for three days, and by hand for thirty
WAITING = 20  # connections, until they are taken


class NotVerified(ImpacterError):
    """A request that is no event of ours: not signed with this secret, too old, or no JSON."""


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened. `event_id` is the same each time that it is sent again."""

    event_id: str
    type: str
    timestamp: datetime | None
    data: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def verify(secrets: str | Sequence[str], headers: Mapping[str, str], body: bytes) -> Event:
    """The event in a request, or NotVerified. Give both secrets while one is being replaced."""
    named = {name.lower(): value for name, value in headers.items()}
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        try:
            raw = _webhook(secret).verify(body, named)
        except (WebhookVerificationError, ValueError):  # ValueError: a signature that is none, a body that is no JSON
            continue
        if not isinstance(raw, Mapping):
            break
        data = raw.get("data")
        return Event(
            event_id=named["webhook-id"],
            type=str(raw.get("type", "")),
            timestamp=_moment(raw.get("timestamp")),
            data=data if isinstance(data, Mapping) else {},
            raw=raw,
        )
    raise NotVerified("This request is no event that was signed with the secret.")


class Seen:
    """Ids of the events that were dealt with, in a file, so that a restart hands none of them on again."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._rows.execute("CREATE TABLE IF NOT EXISTS seen (event_id TEXT PRIMARY KEY, at REAL NOT NULL)")

    def __contains__(self, event_id: str) -> bool:
        with self._lock:
            return self._rows.execute("SELECT 1 FROM seen WHERE event_id = ?", (event_id,)).fetchone() is not None

    def add(self, event_id: str) -> None:
        with self._lock:
            now = time.time()
            self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (event_id, now))
            self._rows.execute("DELETE FROM seen WHERE at < ?", (now - KEEP_SECONDS,))

    def close(self) -> None:
        self._rows.close()


class Receiver:
    """Listens at `url` until it is closed, and calls `handle` with each event once, one after the other.

    An event counts as dealt with when `handle` returns. When it raises, the sender is answered with 500 and sends the
    event again later; when this program dies in between, it is handed on once more after the restart: so `handle` is
    called at least once, and only once unless something broke. Raises OSError when the port is taken.
    """

    def __init__(
        self,
        secrets: str | Sequence[str],
        handle: Callable[[Event], object],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seen: Path | str = ":memory:",
    ) -> None:
        self._secrets = [secrets] if isinstance(secrets, str) else list(secrets)
        if not self._secrets:
            raise NotConfigured("A receiver needs the secret of its endpoint.")
        for secret in self._secrets:
            _webhook(secret)
        self._handle = handle
        self._one_at_a_time = threading.Lock()
        self._has_run = False
        self._server = _Server((host, port), _handler(self._take))
        self._seen = Seen(seen)
        self.url = f"http://{host}:{self._server.server_port}/"

    def run(self) -> None:
        """Returns after `close`, from another thread, or raises what interrupts it."""
        self._has_run = True
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """After the event that is at work. Safe to repeat."""
        if self._has_run:
            self._server.shutdown()
        self._server.server_close()
        with self._one_at_a_time:
            self._seen.close()

    def _take(self, headers: Mapping[str, str], body: bytes) -> int:
        try:
            event = verify(self._secrets, headers, body)
        except NotVerified:
            log.warning("A request was refused: it is no event signed with the secret of this endpoint.")
            return 401
        with self._one_at_a_time:
            if event.event_id in self._seen:
                return 204
            try:
                self._handle(event)
            except Exception:
                log.exception(
                    "The event %s (%s) was not dealt with and will be sent again.", event.event_id, event.type
                )
                return 500
            self._seen.add(event.event_id)
        return 204


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = WAITING


def _handler(take: Callable[[Mapping[str, str], bytes], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SOCKET_SECONDS
        server_version, sys_version = "impacteragi", ""

        def do_POST(self) -> None:
            text = self.headers.get("Content-Length", "")
            if not (text.isascii() and text.isdigit()):
                return self._answer(411)
            if len(text) > 9 or int(text) > MAX_BODY:
                return self._answer(413)
            body = self.rfile.read(int(text))
            if len(body) < int(text):  # broken off on the way
                return self._answer(400)
            return self._answer(take(dict(self.headers.items()), body))

        def _answer(self, status: int) -> None:
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    return Handler


def _webhook(secret: str) -> Webhook:
    """Raises NotConfigured for what is no secret, without showing it."""
    plain = secret.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise NotConfigured("That is no secret of a webhook endpoint: it begins with whsec_.")
    return Webhook(secret)


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
