"""A server with a certificate that a test chooses: it must be refused before it is told anything."""

from __future__ import annotations

import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KINDS = ("unknown authority", "another host", "expired")
DAY = timedelta(days=1)


class Authority:
    """`bundle` is the file that whoever trusts it is given."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of the tests")])
        self.bundle = folder / "authority.pem"
        made = self._certificate(self._name, self._key.public_key(), 2 * DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
        )
        signed = made.sign(self._key, hashes.SHA256())
        self.bundle.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def file(self, *hosts: str, lives: timedelta = DAY) -> Path:
        """The certificate and the key of a server that is called so."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        made = self._certificate(name, key.public_key(), lives)
        called = x509.SubjectAlternativeName([_called(host) for host in hosts])
        made = made.add_extension(called, critical=False)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        signed = made.sign(self._key, hashes.SHA256())
        file = self._folder / "server.pem"
        file.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file

    def context(self, host: str = "127.0.0.1", lives: timedelta = DAY) -> ssl.SSLContext:
        """What a server needs to call itself `host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file(host, lives=lives))
        return context

    def _certificate(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, lives: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(own, critical=False)
        return made.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + lives)


def _called(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class HttpsServer:
    """Answers every call with `answer`, with `dribbles` byte by byte, and keeps the path of each that it was sent.

    It may state another `date` than now.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        answer: object,
        headers: dict[str, str] | None = None,
        *,
        status: int = 200,
        date: str | None = None,
        dribbles: bool = False,
    ):
        self.closed = threading.Event()
        self.seen: list[str] = []
        server, content = self, json.dumps(answer).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(timestamp) if date is None else date

            def do_POST(self) -> None:
                server.seen.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if not dribbles:
                    self.wfile.write(content)
                for byte in content if dribbles else b"":
                    self.wfile.write(bytes([byte]))
                    if server.closed.wait(0.1):
                        return

            do_GET = do_PUT = do_POST

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[ssl.SSLSocket, Any]:
                connection, address = super().get_request()
                connection.settimeout(10)
                return context.wrap_socket(connection, server_side=True), address

            def handle_error(self, *_: object) -> None: ...

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


def wrong(kind: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of one of KINDS, and the bundle of an authority that the caller trusts."""
    known, other = folder / "known", folder / "other"
    known.mkdir()
    other.mkdir()
    trusted = Authority(known)
    context = {
        "unknown authority": lambda: Authority(other).context(),
        "another host": lambda: trusted.context("db.example.com"),
        "expired": lambda: trusted.context(lives=-timedelta(hours=1)),
    }[kind]()
    return context, trusted.bundle
