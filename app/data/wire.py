"""Kept-alive connections to one host: a request in one write, and an answer that says how long it is in one read.

http.client connects, and reads whatever is framed in another way. What neither can read is an error, never an answer.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

MAX_HEAD = 65_536  # bytes; http.client takes no longer line
AT_ONCE = 65_536
LONG_SECONDS = 0.05  # one answer that comes late says no more than that about those that are usual
NOT_SENT = (OSError, HTTPException, ValueError)  # what `Wire.post` raises
Said = tuple[int, dict[str, str], bytes]  # status, headers by their names in small letters, body


class Wire:
    """Shared by threads: each takes a connection out, and puts it back when it may be used again.

    `bundle` is the file of the authorities that vouch for the host of an https address; None: those of the system.
    """

    def __init__(
        self, url: str, *, connect_seconds: float, answer_seconds: float, most: int, bundle: str | None
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._connect_seconds, self._answer_seconds, self._most = connect_seconds, answer_seconds, most
        self._idle: deque[socket.socket] = deque()
        self.usual_wait: float | None = None  # seconds for the first of an answer, of late; None before any
        self._secure, self._bundle = parts.scheme == "https", bundle

    def post(self, head: bytes, body: bytes) -> Said:
        """Send it, and read the whole answer within its time. Raises NOT_SENT, and then nobody knows what was done."""
        sock = self._idle_one() or self._connect()
        try:
            sock.sendall(head + body)
            status, headers, data, lasts = self._read(sock)
        except BaseException:
            sock.close()
            raise
        if lasts and len(self._idle) < self._most:
            self._idle.append(sock)
        else:
            sock.close()
        return status, headers, data

    def _idle_one(self) -> socket.socket | None:
        """The one that was used last, unless its other end has closed it, or says what nobody has asked."""
        while self._idle:
            try:
                sock = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            if not poll.poll(0):
                return sock
            sock.close()
        return None

    def _connect(self) -> socket.socket:
        host, port, seconds = self._host, self._port, self._connect_seconds
        connection = (
            HTTPSConnection(host, port, timeout=seconds, context=self._context)
            if self._secure
            else HTTPConnection(host, port, timeout=seconds)
        )
        connection.connect()
        sock: socket.socket = connection.sock
        sock.settimeout(self._answer_seconds)
        return sock

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Made at the first connection: a bundle that cannot be read fails a call, and botocore says so."""
        return ssl.create_default_context(cafile=self._bundle)

    def _read(self, sock: socket.socket) -> tuple[int, dict[str, str], bytes, bool]:
        """The answer, and whether the connection may be used again."""
        begun = monotonic()
        ends = begun + self._answer_seconds
        data = sock.recv(AT_ONCE)
        wait = min(monotonic() - begun, LONG_SECONDS)
        usual = wait if self.usual_wait is None else self.usual_wait
        self.usual_wait = usual + (wait - usual) / 8
        while (end := data.find(b"\r\n\r\n")) < 0 and 0 < len(data) < MAX_HEAD:
            more = self._more(sock, ends)
            if not more:
                raise HTTPException("the answer ends before its body")
            data += more
        head = _plain_head(data[:end]) if end > 0 else None
        if head is None:
            return self._read_otherwise(sock, data, ends)
        status, headers, length = head
        parts, missing = [data[end + 4 :]], length - (len(data) - end - 4)
        while missing > 0:
            more = self._more(sock, ends)
            if not more:
                raise HTTPException("the answer ends before its end")
            parts.append(more)
            missing -= len(more)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return status, headers, body[:length], missing == 0 and headers.get("connection", "").lower() != "close"

    def _more(self, sock: socket.socket, ends: float) -> bytes:
        """What comes next, no later than at the end of the whole answer's time."""
        left = ends - monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not come to its end in time")
        sock.settimeout(left)
        try:
            return sock.recv(AT_ONCE)
        finally:
            sock.settimeout(self._answer_seconds)

    def _read_otherwise(self, sock: socket.socket, data: bytes, ends: float) -> tuple[int, dict[str, str], bytes, bool]:
        """By http.client: in chunks, up to the end of the connection, after another answer that says "wait"."""

        file: object = _Rest(data, lambda: self._more(sock, ends))
        answer = HTTPResponse(file, method="POST")  # type: ignore[arg-type]
        answer.begin()
        body = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body, False


class _Rest(io.RawIOBase):
    """What has come, and then what comes: all that http.client asks a socket for."""

    def __init__(self, begun: bytes, more: Callable[[], bytes]) -> None:
        self._begun, self._more = begun, more

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        some = self._begun or self._more()
        count = min(len(some), len(buffer))
        buffer[:count], self._begun = some[:count], some[count:]
        return count


def _plain_head(text: bytes) -> tuple[int, dict[str, str], int] | None:
    """Status, headers and length of an answer as DynamoDB sends it; None for any other."""
    first, *lines = text.decode("latin-1").split("\r\n")
    if first[:9] != "HTTP/1.1 " or not "200" <= first[9:12] <= "599" or first[12:13] not in (" ", ""):
        return None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or name in headers or name != name.strip():
            return None
        headers[name] = value.strip()
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit() and len(length) < 10):
        return None
    return int(first[9:12]), headers, int(length)
