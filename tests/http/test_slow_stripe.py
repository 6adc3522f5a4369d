"""A Stripe that does not answer, or dribbles, stops nobody who does not need it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.http.server import Server
from tests.http.test_clock import Browser
from tests.support import make_account

PATIENCE = 60  # seconds, for anything that is answered at all


class SlowStripe:
    """Takes every request, and says 500 once it is `released`; with `dribbles` it sends a byte a second, for ever."""

    def __init__(self, *, dribbles: bool):
        self._dribbles = dribbles
        self.released = threading.Event()
        self.was_asked = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked = 0
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self.released.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        body = b'{"error": {"message": "later", "type": "api_error"}}'
        head = b"HTTP/1.1 500 Later\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        try:
            while connection.recv(65536):
                self.asked += 1
                self.was_asked.set()
                if self._dribbles:
                    for byte in head + body * 100:
                        connection.sendall(bytes([byte]))
                        if self._closed.wait(1):
                            return
                self.released.wait()
                connection.sendall(head + body)
        except OSError:
            return


@pytest.fixture(params=[False, True], ids=["silent", "dribble"])
def slow_stripe(request) -> Iterator[SlowStripe]:
    stripe = SlowStripe(dribbles=request.param)
    yield stripe
    stripe.close()


class Visitor:
    """Somebody who is signed in, from as many windows as there are threads."""

    def __init__(self, server: Server):
        self._server = server
        self._cookie = "; ".join(f"{name}={value}" for name, value in Browser(server).http.cookies.items())
        self.polled: list[int] = []

    def ask(self, path: str) -> httpx.Response:
        return httpx.get(self._server.url + path, headers={"Cookie": self._cookie}, timeout=PATIENCE, trust_env=False)

    def polls(self, times: int) -> list[threading.Thread]:
        """So many questions whether a checkout is paid, all on their way."""
        path = "/credits/return/status?session_id=cs_test_slow"
        threads = [
            threading.Thread(target=lambda: self.polled.append(self.ask(path).status_code)) for _ in range(times)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _poll(self, path: str) -> None:
        self.polled.append(self.ask(path).status_code)


@pytest.mark.threat(102)
def test_sixteen_polls_of_one_account_leave_the_site_to_the_others(store, dynamodb_url, tmp_path):
    """The workers wait ten minutes for this Stripe, which answers after the others have been served."""
    make_account(store, credits=100)
    stripe = SlowStripe(dribbles=False)
    target = "tests.http.patient_worker:app"
    with Server(dynamodb_url, tmp_path / "server.log", target=target, STRIPE_API_BASE=stripe.url) as server:
        visitor = Visitor(server)
        polls = visitor.polls(16)
        assert stripe.was_asked.wait(PATIENCE)

        others = [visitor.ask(path) for path in ("/", "/login", "/dashboard", "/credits", "/healthz") for _ in range(4)]
        stripe.released.set()
        for poll in polls:
            poll.join()

        assert {answer.status_code for answer in others} <= {200, 303}
        assert visitor.polled == [200] * 16
        assert stripe.asked <= 12  # two a worker, each tried again by Stripe's library
    stripe.close()


@pytest.mark.threat(102)
def test_who_waits_for_stripe_is_told_that_it_does_not_answer(store, dynamodb_url, tmp_path, slow_stripe):
    make_account(store, credits=100)
    with Server(dynamodb_url, tmp_path / "server.log", STRIPE_API_BASE=slow_stripe.url) as server:
        visitor = Visitor(server)
        for poll in visitor.polls(16):
            poll.join()

        assert visitor.polled == [200] * 16
        assert slow_stripe.asked <= 12
        told = visitor.ask("/credits/return?session_id=cs_test_slow")
        assert told.status_code == 200
        assert "Stripe does not answer right now" in told.text
