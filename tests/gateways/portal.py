"""A server that answers everything alike, as a captive portal or a broken proxy does in a service's place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {
    "an empty object": (200, "application/json", b"{}"),
    "an object of its own": (200, "application/json", b'{"error": "sign in to the network"}'),
    "an object with an id": (200, "application/json", b'{"id": "re_1", "object": "session", "url": "http://portal"}'),
    "a list": (200, "application/json", b"[]"),
    "nothing": (200, "application/json", b"null"),
    "an empty body": (200, "text/plain", b""),
    "a page": (200, "text/html", b"<html>sign in to the network</html>"),
    "a redirect": (302, "text/html", b""),
    "a page that is missing": (404, "text/html", b"<html>404</html>"),
}


@contextmanager
def portal(status: int, kind: str, body: bytes) -> Iterator[str]:
    """Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"portal"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
