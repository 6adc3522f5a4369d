"""A customer's server: HTTPS on loopback, with a certificate of an authority of the tests."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "receiver.test"
PEM = serialization.Encoding.PEM


@cache
def certificates(*names: str) -> tuple[Path, Path]:
    """Two files: the authority's certificate, and key and certificate of a server of these names."""
    folder, now = Path(mkdtemp(prefix="impacteragi-receiver-")), datetime.now(UTC)

    def made(common: str, key: Any, issuer: x509.Name, signer: Any, extension: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(_named(common)).issuer_name(issuer)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        return builder.add_extension(extension, critical=True).sign(signer, hashes.SHA256())

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _named("Authority of the tests")
    above = made("Authority of the tests", root, authority, root, x509.BasicConstraints(ca=True, path_length=0))
    names_of_it = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    below = made(names[0], leaf, authority, root, names_of_it)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "authority.pem").write_bytes(above.public_bytes(PEM))
    (folder / "server.pem").write_bytes(leaf.private_bytes(PEM, *form) + below.public_bytes(PEM))
    return folder / "authority.pem", folder / "server.pem"


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


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
