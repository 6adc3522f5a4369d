"""Connections of the short way: what is framed in any way is read, and what breaks off is no answer."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from app.data.wire import NOT_SENT, Wire
from tests.faults.https import KINDS, Authority, HttpsServer, wrong

HEAD = b"POST / HTTP/1.1\r\nHost: db\r\nContent-Length: 2\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Amz-Crc32: 7\r\n\r\n{}"


class Server:
    """Sends the same to each request, in the pieces that it is given; a number among them is a pause in seconds."""

    def __init__(self, *pieces: bytes | float, closes: bool = False) -> None:
        self.pieces, self.closes = pieces, closes
        self.asked = self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # who was given up on hears no more
            while connection.recv(65_536):
                self.asked += 1
                for piece in self.pieces:
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    else:
                        time.sleep(piece)
                if self.closes:
                    return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serving() -> Iterator[object]:
    servers: list[Server] = []

    def serve(*pieces: bytes | float, closes: bool = False) -> Server:
        servers.append(Server(*pieces, closes=closes))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def wire_to(url: str, bundle: str | None = None, seconds: float = 20) -> Wire:
    return Wire(url, connect_seconds=20, answer_seconds=seconds, most=2, bundle=bundle)


def ask(wire: Wire) -> tuple[int, dict[str, str], bytes]:
    return wire.post(HEAD, b"{}")


def test_answer_and_its_headers_are_read_and_the_connection_serves_the_next_call(serving):
    server = serving(PLAIN)
    wire = wire_to(server.url)

    for _ in range(3):
        assert ask(wire) == (200, {"content-length": "2", "x-amz-crc32": "7"}, b"{}")
    assert (server.asked, server.connections) == (3, 1)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
FRAMED = {
    "in chunks": ((CHUNKED,), False),
    "in chunks that come one by one": (tuple(CHUNKED[at : at + 9] for at in range(0, len(CHUNKED), 9)), False),
    "up to the end of the connection": ((b"HTTP/1.1 200 OK\r\n\r\n{}",), True),
    "after another that says to go on": ((b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN), False),
    "by the older protocol": ((b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",), True),
    "byte by byte": (tuple(PLAIN[at : at + 1] for at in range(len(PLAIN))), False),
    "head and body apart": ((PLAIN[:-2], PLAIN[-2:]), False),
    "with a header on two lines": ((b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",), False),
}


@pytest.mark.parametrize("framed", FRAMED)
def test_answer_is_read_however_it_is_framed(serving, framed):
    pieces, closes = FRAMED[framed]
    wire = wire_to(serving(*pieces, closes=closes).url)

    for _ in range(2):
        status, _, body = ask(wire)
        assert (status, body) == (200, b"{}")


BROKEN = {
    "nothing": (b"",),
    "half a head": (PLAIN[:30],),
    "half a body": (PLAIN[:-1],),
    "half a chunk": (CHUNKED[:-9],),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n",),
    "two lengths": (PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n")[:-1],),
}


@pytest.mark.threat(14)
@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_off_is_no_answer(serving, broken):
    with pytest.raises(NOT_SENT):
        ask(wire_to(serving(*BROKEN[broken], closes=True).url))


@pytest.mark.parametrize("more", [b"X", PLAIN])
def test_connection_that_says_what_nobody_asked_is_not_used_again(serving, more):
    server = serving(PLAIN + more)
    wire = wire_to(server.url)

    assert [ask(wire)[2] for _ in range(2)] == [b"{}", b"{}"]
    assert server.connections == 2


def test_connection_that_was_closed_meanwhile_is_not_used(serving):
    server = serving(PLAIN, closes=True)
    wire = wire_to(server.url)

    assert ask(wire)[2] == b"{}"
    (idle,) = wire._idle
    while idle.recv(1, socket.MSG_PEEK):
        pass
    assert ask(wire)[2] == b"{}"
    assert (server.asked, server.connections) == (2, 2)


def test_connection_that_the_server_ends_is_not_kept(serving):
    wire = wire_to(serving(PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n")).url)

    assert ask(wire)[2] == b"{}"
    assert not wire._idle


@pytest.mark.threat(102)
@pytest.mark.parametrize("framed", [PLAIN, CHUNKED], ids=["plain", "in chunks"])
def test_whole_answer_has_its_time(serving, framed):
    pieces = [part for at in range(len(framed)) for part in (framed[at : at + 1], 0.2)]

    with pytest.raises(TimeoutError):
        ask(wire_to(serving(*pieces).url, seconds=1))


def test_no_more_connections_are_kept_than_may_be(serving):
    wire = wire_to(serving(0.5, PLAIN).url)
    threads = [threading.Thread(target=ask, args=(wire,)) for _ in range(5)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(wire._idle) <= 2


@pytest.mark.threat(14)
@pytest.mark.parametrize("kind", KINDS)
def test_server_with_a_wrong_certificate_is_refused(tmp_path, kind):
    context, bundle = wrong(kind, tmp_path)

    with HttpsServer(context, {}) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(wire_to(server.url, str(bundle)))
        assert server.seen == []


def test_server_with_the_certificate_of_a_known_authority_is_asked(tmp_path):
    authority = Authority(tmp_path)

    with HttpsServer(authority.context(), {}) as server:
        wire = wire_to(server.url, str(authority.bundle))
        assert [ask(wire)[2] for _ in range(2)] == [b"{}", b"{}"]
        assert len(wire._idle) == 1


def test_what_the_server_lets_one_wait_is_known_and_one_long_wait_says_little(serving):
    quick, slow = wire_to(serving(PLAIN).url), wire_to(serving(0.5, PLAIN).url)
    assert quick.usual_wait is None

    ask(slow)
    first = slow.usual_wait
    quick.usual_wait = 0.0
    quick._idle = slow._idle  # now it is asked what answers late
    ask(quick)

    assert first == 0.05
    assert 0 < quick.usual_wait <= 0.05 / 8
