"""A customer's server: HTTPS on loopback, with a certificate of an authority of the tests."""

from __future__ import annotations

import atexit
import shutil
import socketserver
import ssl
import threading
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.faults.https import Authority

NAME = "receiver.test"


@cache
def certificates(*names: str) -> tuple[Path, Path]:
    """Two files: the authority's certificate, and key and certificate of a server of these names."""
    folder = Path(mkdtemp(prefix="impacteragi-receiver-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority = Authority(folder)
    return authority.bundle, authority.file(*names)


class Receiver:
    """Keeps what it was sent as (headers, body). `answer(handler, number)` takes the place of a plain 200."""

    def __init__(self, *names: str, answer: Callable[[Any, int], None] | None = None) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer = answer or (lambda handler, number: say(handler, 200))
        self.authority, files = certificates(*(names or (NAME,)))
        receiver, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    number = len(receiver.got)
                receiver.answer(self, number)

            def log_message(self, *args: object) -> None:
                pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *args: object) -> None:
                """A client that has gone."""

        self._server = Server(("127.0.0.1", 0), Handler, bind_and_activate=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def authority_name(self) -> str:
        return f"{NAME}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.authority_name}/hooks"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
