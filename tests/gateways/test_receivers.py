"""One POST to a stranger's server: over TLS on loopback, by the setting of development; refusals without it."""

from __future__ import annotations

import gzip
import socket
import threading
import time

import pytest

from app.domain.receivers import target_of
from app.gateways import receivers
from app.gateways.receivers import NOT_PUBLIC, TOO_SLOW, NoWay, Receivers, Trial
from tests.receiver import NAME, Receiver, say


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def trial(receiver: Receiver) -> Receivers:
    return Receivers(Trial(frozenset({receiver.authority_name}), str(receiver.authority)))


def pinned(receiver: Receiver, *addresses: str) -> Receivers:
    """The look-up says what a test wants, and nothing names the receiver as one of a trial."""
    return Receivers(Trial(authority=str(receiver.authority)), resolve=lambda host, port: list(addresses))


def test_what_is_sent_arrives_as_it_is(receiver, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    receiver.answer = lambda handler, number: say(
        handler, 201, b"thanks", Set_Cookie="a=secret", X_Thing="1", **{"": "x"}
    )

    answer = trial(receiver).post(target_of(receiver.url + "?a=b"), b'{"a":"\xc3\xa4"}', {"webhook-id": "evt_1"})

    assert (answer.status, answer.body, answer.error) == (201, b"thanks", "")
    assert (answer.headers["X-Thing"], answer.headers["Set-Cookie"]) == ("1", "…")
    headers, body = receiver.got[0]
    assert (headers["host"], headers["webhook-id"], body) == (receiver.authority_name, "evt_1", b'{"a":"\xc3\xa4"}')


@pytest.mark.threat(160)
@pytest.mark.parametrize(
    "addresses",
    [
        *(["169.254.169.254"], ["::1"], ["10.0.0.7"], ["127.0.0.1"], ["::ffff:10.0.0.7"], ["64:ff9b::a00:7"], []),
        ["93.184.215.14", "10.0.0.7"],
    ],
)
def test_a_name_that_leads_inside_is_refused_whenever_it_is_looked_up(receiver, addresses, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda *args, **named: asked.append(args))
    there = pinned(receiver, *addresses)

    with pytest.raises(NoWay, match="public internet"):
        there.find(target_of(receiver.url))
    answer = there.post(target_of(receiver.url), b"{}", {})

    assert (answer.status, answer.error, asked) == (0, NOT_PUBLIC, [])


@pytest.mark.threat(160)
def test_the_address_that_was_looked_up_is_the_one_connected_to(receiver, monkeypatch):
    """A name that leads elsewhere a moment later changes nothing: it is asked for once."""
    looked_up, connected, plain = [], [], socket.create_connection

    def resolve(host, port):
        looked_up.append(host)
        return ["93.184.215.14"] if len(looked_up) == 1 else ["127.0.0.1"]

    def connect(address, *args, **named):
        connected.append(address)
        return plain(("127.0.0.1", address[1]), *args, **named)

    monkeypatch.setattr(socket, "create_connection", connect)
    there = Receivers(Trial(authority=str(receiver.authority)), resolve=resolve)

    assert there.post(target_of(receiver.url), b"{}", {}).status == 200
    assert (looked_up, connected) == ([NAME], [("93.184.215.14", receiver.port)])
    assert there.post(target_of(receiver.url), b"{}", {}).error == NOT_PUBLIC


def test_a_certificate_of_another_name_or_authority_is_refused():
    other = Receiver("other.test")
    try:
        wrong_name = trial(other).post(target_of(other.url), b"{}", {})
        unknown = Receivers(Trial(frozenset({other.authority_name}))).post(target_of(other.url), b"{}", {})
    finally:
        other.close()

    assert "certificate is not right" in wrong_name.error
    assert "certificate is not right" in unknown.error
    assert other.got == []


@pytest.mark.threat(160)
def test_a_redirect_is_an_answer_like_any_other(receiver):
    receiver.answer = lambda handler, number: say(handler, 307, Location="https://169.254.169.254/")

    assert trial(receiver).post(target_of(receiver.url), b"{}", {}).status == 307
    assert len(receiver.got) == 1


@pytest.mark.threat(161)
def test_an_answer_is_cut_and_never_unpacked(receiver):
    packed = gzip.compress(b"0" * 10_000_000)

    def long(handler, number):
        say(handler, 200, packed if number == 1 else b"x" * 1_000_000, Content_Encoding="gzip")

    receiver.answer = long

    assert trial(receiver).post(target_of(receiver.url), b"{}", {}).body == packed[:65_536]
    assert trial(receiver).post(target_of(receiver.url), b"{}", {}).body == b"x" * 65_536


@pytest.mark.threat(161)
@pytest.mark.parametrize("where", ["status", "headers", "body"])
def test_who_dribbles_is_left_when_the_time_is_over(receiver, where, monkeypatch):
    monkeypatch.setattr(receivers, "SECONDS", 0.6)
    over = threading.Event()
    beginnings = {"status": b"", "headers": b"HTTP/1.1 200 OK\r\nX: ", "body": b"HTTP/1.1 200 OK\r\n\r\n"}

    def dribble(handler, number):
        handler.wfile.write(beginnings[where])
        while not over.is_set():
            handler.wfile.write(b"1")
            handler.wfile.flush()
            time.sleep(0.05)

    receiver.answer = dribble
    answer = trial(receiver).post(target_of(receiver.url), b"{}", {})
    over.set()

    assert (answer.status, answer.error) == (0, TOO_SLOW)


@pytest.mark.threat(161)
def test_who_dribbles_the_handshake_is_left_too(monkeypatch):
    monkeypatch.setattr(receivers, "SECONDS", 0.6)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dribble():
            found, _ = server.accept()
            with found:
                found.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KB begins
                while not over.wait(0.05):
                    try:
                        found.sendall(b"\x02")
                    except OSError:
                        return

        threading.Thread(target=dribble, daemon=True).start()
        name = f"receiver.test:{server.getsockname()[1]}"
        answer = Receivers(Trial(frozenset({name}))).post(target_of(f"https://{name}/"), b"{}", {})
        over.set()

    assert (answer.status, answer.error) == (0, TOO_SLOW)


def test_nobody_waits_for_a_resolver(monkeypatch):
    monkeypatch.setattr(receivers, "LOOK_UP_SECONDS", 0.1)
    over = threading.Event()

    def never(host, port):
        over.wait()
        return []

    with pytest.raises(NoWay, match="in time"):
        Receivers(resolve=never).find(target_of("https://slow.example/"))
    over.set()
