"""A server that notes each request byte by byte, and answers what a test tells it to: what stands behind the Worker."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from typing import Self


def answered(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


OK = answered("200 OK", b"ok", "X-Request-Id: 0", "Content-Type: text/plain")


@dataclass
class Heard:
    """One request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Origin:
    answer: bytes = OK
    waits_for: threading.Event | None = None  # before it answers
    heard: list[Heard] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reading:
            line = reading.readline().decode("latin-1").rstrip("\r\n")
            headers = []
            while (header := reading.readline().decode("latin-1").rstrip("\r\n")) != "":
                name, _, value = header.partition(":")
                headers.append((name, value.strip()))
            said = {name.lower(): value for name, value in headers}
            if "chunked" in said.get("transfer-encoding", ""):
                body = b""
                while size := int(reading.readline() or b"0", 16):
                    body += reading.read(size)
                    reading.readline()
            else:
                body = reading.read(int(said.get("content-length", "0")))
            if line:
                self.heard.append(Heard(line, headers, body))
            if self.waits_for:
                self.waits_for.wait(60)
            try:
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            except OSError:
                return
