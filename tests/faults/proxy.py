"""A proxy that breaks things: it stands between the app and DynamoDB or SES, and does to each call what a test says."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

THROTTLE = "ProvisionedThroughputExceededException"
CONFLICT = "TransactionConflict"
FAULTS = ("pass", "throttle", "conflict", "error", "delay", "cut", "lost", "garbage", "dribble")
DRIBBLE_SECONDS = 0.05  # between two bytes

Rule = Callable[[str, int], str]


class FaultProxy:
    """`rule(operation, number)` names a fault for each call; `delay_seconds` is how long "delay" holds an answer back.

    throttle and conflict answer as DynamoDB does, error is a bare 500, cut closes the connection before anything is
    written, lost writes it and closes the connection before the answer, and dribble sends its answer byte by byte, head
    and body, half a minute long at least; `heard_out` says how many callers had the patience.
    """

    def __init__(self, target: str):
        self.rule: Rule = lambda _operation, _number: "pass"
        self.delay_seconds = 0.0
        self.before: Callable[[str, bytes], None] = lambda _operation, _body: None  # may hold a call back
        self.calls: list[tuple[str, str]] = []
        self.closed = threading.Event()
        self.heard_out = 0
        proxy, upstream = self, urlsplit(target)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", self.path).rpartition(".")[2]
                proxy.before(operation, body)
                fault = proxy.rule(operation, len(proxy.calls))
                proxy.calls.append((operation, fault))
                if fault == "delay":
                    time.sleep(proxy.delay_seconds)
                if fault == "cut":
                    return self._cut()
                if fault in ("throttle", "conflict", "error", "garbage"):
                    return self._refuse(fault)
                connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if fault == "lost":
                    return self._cut()
                if fault == "dribble":
                    return self._dribble(answer.status, content)
                return self._answer(answer.status, content, dict(answer.getheaders()))

            def _dribble(self, status: int, content: bytes) -> None:
                head = f"HTTP/1.1 {status} Here\r\nX-Slow: {'x' * 600}\r\nContent-Length: {len(content)}\r\n\r\n"
                self.close_connection = True
                with contextlib.suppress(OSError):  # the caller has given up
                    *most, last = (bytes([byte]) for byte in head.encode() + content)
                    for byte in most:
                        self.wfile.write(byte)
                        if proxy.closed.wait(DRIBBLE_SECONDS):
                            return
                    proxy.heard_out += 1
                    self.wfile.write(last)

            do_GET = do_PUT = do_POST

            def _refuse(self, fault: str) -> None:
                if fault == "garbage":
                    return self._answer(200, b"<html>a captive portal</html>", {"Content-Type": "text/html"})
                if fault == "error":
                    return self._answer(500, b"{}", {"Content-Type": "application/x-amz-json-1.0"})
                kind = {"throttle": THROTTLE, "conflict": "TransactionConflictException"}[fault]
                name = f"com.amazonaws.dynamodb.v20120810#{kind}"
                return self._answer(400, json.dumps({"__type": name, "message": kind}).encode(), {})

            def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:  # the caller has given up
                    self.close_connection = True

            def _cut(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def every(self, fault: str, *operations: str) -> None:
        """This fault for every call (of these operations)."""
        self.rule = lambda operation, _number: fault if not operations or operation in operations else "pass"

    def first(self, count: int, fault: str, operation: str) -> None:
        """This fault for the first calls of an operation from now on."""
        left = [count]
        lock = threading.Lock()

        def rule(name: str, _number: int) -> str:
            with lock:
                if name == operation and left[0] > 0:
                    left[0] -= 1
                    return fault
            return "pass"

        self.rule = rule

    def heal(self) -> None:
        self.rule = lambda _operation, _number: "pass"

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
