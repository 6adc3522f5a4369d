"""A store that has answered before: passes a new request on to the local AWS once, then repeats the answer at once.

It keeps the emulator's own work out of the measurements: what is left is what the client costs. Writes are
acknowledged and forgotten, so that the same submit can be measured again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import ssl
import sys
import zlib
from asyncio import Future
from email.utils import formatdate

from scripts.local.ports import HOST

HEALTH = b"GET "
DATE = b"<the date>"  # of when it is sent: whoever reads it tells the time by it
Key = tuple[bytes, bytes]


class Answers:
    """What the local AWS said to each request, asked once."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._known: dict[Key, Future[bytes]] = {}

    def to(self, head: bytes, body: bytes) -> Future[bytes]:
        target = _header(head, b"x-amz-target")
        if target.endswith(b".TransactWriteItems"):
            body = b""  # each has a token of its own; the answer is always the same
        key = (target, body)
        if key not in self._known:
            self._known[key] = asyncio.ensure_future(self._find(target, body))
        return self._known[key]

    async def _find(self, target: bytes, body: bytes) -> bytes:
        if target.endswith(b".TransactWriteItems"):
            return _response(b"{}")
        return _response(await asyncio.to_thread(self._ask, target, body))

    def _ask(self, target: bytes, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(HOST, self._upstream, timeout=60)
        credential = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/dynamodb/aws4_request"
        headers = {
            "X-Amz-Target": target.decode(),
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"{credential}, SignedHeaders=host, Signature=0",
        }
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        if answer.status != 200:
            sys.exit(f"The local AWS answered {answer.status} to {target!r}: {found!r}")
        return found


class Connection(asyncio.Protocol):
    """One kept-alive connection of the client; an answer waits for `latency`, as it would on its way."""

    def __init__(self, answers: Answers, latency: float) -> None:
        self._answers, self._latency = answers, latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(HEALTH):
            self._received = b""
            self._transport.write(_response(b"{}"))
            return
        length = int(_header(head, b"content-length") or 0)
        if len(rest) < length:
            return
        self._received = rest[length:]
        self._answers.to(head, rest[:length]).add_done_callback(self._answer)

    def _answer(self, answer: Future[bytes]) -> None:
        asked = answer.result().replace(DATE, formatdate(usegmt=True).encode(), 1)
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, asked)
        else:
            self._transport.write(asked)


def _header(head: bytes, name: bytes) -> bytes:
    start = head.lower().find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    return head[start + len(name) + 3 :].split(b"\r\n", 1)[0].strip()


def _response(body: bytes) -> bytes:
    """With the headers that DynamoDB sends."""
    return b"\r\n".join(
        (
            b"HTTP/1.1 200 OK",
            b"Server: Server",
            b"Date: " + DATE,
            b"Content-Type: application/x-amz-json-1.0",
            b"Content-Length: %d" % len(body),
            b"Connection: keep-alive",
            b"x-amzn-RequestId: 9EF5DB4284E74649AE001EC79469A6CE9EF5DB4284E74649AE00",
            b"x-amz-crc32: %d" % zlib.crc32(body),
            b"",
            body,
        )
    )


async def serve(port: int, upstream: int, latency: float, tls_port: int | None, certificate: str | None) -> None:
    """On `port` in the clear, on `tls_port` by TLS."""
    answers, loop = Answers(upstream), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers, latency), HOST, port)
    if tls_port and certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        await loop.create_server(lambda: Connection(answers, latency), HOST, tls_port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--tls-port", type=int)
    parser.add_argument("--certificate")
    options = parser.parse_args()
    latency = options.latency_ms / 1000
    asyncio.run(serve(options.port, options.upstream, latency, options.tls_port, options.certificate))
