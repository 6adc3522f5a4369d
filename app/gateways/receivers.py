"""One POST to a customer's server: to an address of the internet that was looked up once, and within a time."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Timer
from typing import Any

import certifi
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError

from app.domain.receivers import Target, is_public

SECONDS = 10.0  # for all of it: look-up, connection, handshake, request, answer
LOOK_UP_SECONDS = 4.0
MOST_BYTES = 64 * 1024  # of an answer
MOST_HEADERS = 8 * 1024  # of an answer's headers, as they are kept
NOT_PUBLIC = "The host has no address on the public internet."
TOO_SLOW = f"No whole answer within {SECONDS:g} seconds."
LOOPBACK = "127.0.0.1"

Resolve = Callable[[str, int], list[str]]


class NoWay(Exception):
    """Nothing is sent there; the message says why, in words that tell nothing of our own network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` 0 and `error` where nothing did. `body` is cut, and as it came: never unpacked."""

    took_ms: int
    status: int = 0
    error: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Trial:
    """Of development and tests: receivers on this machine, by name and port, and who signs their certificates."""

    receivers: frozenset[str] = frozenset()
    authority: str | None = None  # a file


def look_up(host: str, port: int) -> list[str]:
    """Every address of a host, as the system's resolver says. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Receivers:
    """Safe to share by threads. No proxy of the environment is asked, and no redirect followed."""

    def __init__(self, trial: Trial | None = None, resolve: Resolve = look_up) -> None:
        self._trial = trial or Trial()
        self._resolve = resolve
        self._names = ThreadPoolExecutor(
            16, thread_name_prefix="names"
        )  # a resolver may take longer than anybody waits
        self._lock = Lock()
        self._tls: ssl.SSLContext | None = None

    def find(self, target: Target) -> str:
        """The one address to connect to. A host with any address that is not public is refused whole. Raises NoWay."""
        if target.authority in self._trial.receivers:
            return LOOPBACK
        try:
            found = self._names.submit(self._resolve, target.host, target.port).result(LOOK_UP_SECONDS)
        except TooSlow:
            raise NoWay("The name of the host could not be looked up in time.") from None
        except (OSError, UnicodeError):
            raise NoWay(NOT_PUBLIC) from None
        if not found or not all(is_public(address) for address in found):
            raise NoWay(NOT_PUBLIC)
        return next((address for address in found if ":" not in address), found[0])

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send once; whatever goes wrong is in the answer. A repeat is another request."""
        begun = time.monotonic()

        def over(status: int = 0, error: str = "", headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
            return Answer(round((time.monotonic() - begun) * 1000), status, error, headers or {}, body)

        try:
            address = self.find(target)
        except NoWay as error:
            return over(error=str(error))
        left = max(0.1, SECONDS - (time.monotonic() - begun))
        connection = _Pinned(target, address, left, self._context())
        watch = Timer(left, connection.cut)  # time-outs of a socket are of one read: who dribbles never meets them
        watch.daemon = True
        watch.start()
        try:
            connection.connect()
            connection.request(
                "POST",
                target.path,
                body=body,
                headers={"Host": target.authority, "Accept-Encoding": "identity", **headers},
                preload_content=False,
                decode_content=False,
            )
            answer = connection.getresponse()
            body_of_it = b""
            with suppress(HTTPError, OSError, ValueError):  # its status has come, and is what counts
                body_of_it = answer.read(MOST_BYTES, decode_content=False)
            if connection.was_cut:
                return over(error=TOO_SLOW)
            return over(answer.status, headers=_kept(answer.headers), body=body_of_it)
        except Exception as error:  # whatever a stranger's server makes the library say is theirs, and no fault of ours
            return over(error=_words(error, connection.was_cut))
        finally:
            watch.cancel()
            connection.end()

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=certifi.where())
                self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
                if self._trial.authority:
                    self._tls.load_verify_locations(self._trial.authority)
            return self._tls


class _Pinned(HTTPSConnection):
    """Connects to the address that was looked up, whatever the name says by then; name and certificate are checked."""

    def __init__(self, target: Target, address: str, seconds: float, context: ssl.SSLContext) -> None:
        super().__init__(
            target.host,
            target.port,
            timeout=seconds,
            ssl_context=context,
            server_hostname=target.host,
        )
        self._pin = (address, target.port)
        self._seconds = seconds
        self._end: socket.socket | None = None  # of the same connection, whatever TLS makes of the first
        self.was_cut = False

    def _new_conn(self) -> socket.socket:
        made = socket.create_connection(self._pin, self._seconds)
        self._end = made.dup()
        if self.was_cut:
            self.cut()
        return made

    def cut(self) -> None:
        """By another thread: whatever is read or written at this moment ends."""
        self.was_cut = True
        if self._end is not None:
            with suppress(OSError):
                self._end.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Not by `close`: http.client calls that before it reads an answer of unknown length."""
        self.close()
        if self._end is not None:
            self._end.close()


def _kept(headers: Any) -> dict[str, str]:
    """As many as are kept; what a cookie holds is no business of a log."""
    found: dict[str, str] = {}
    room = MOST_HEADERS
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        if not name:  # the store has no name for it
            continue
        found[name] = "…" if name.lower() == "set-cookie" else value.encode("latin-1", "replace").decode("latin-1")
    return found


def _words(error: Exception, was_cut: bool) -> str:
    if was_cut or isinstance(error, TimeoutError):
        return TOO_SLOW
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate is not right: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "No TLS connection could be made."
        if isinstance(cause, ConnectionRefusedError):
            return "The connection was refused."
        cause = cause.__cause__ or cause.__context__
    return f"The connection failed ({type(error).__name__})."
