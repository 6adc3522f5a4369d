"""A Stripe that answers slowly, or dribbles, stops nobody who does not need it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.http.server import Server
from tests.http.test_clock import Browser
from tests.support import make_account

PATIENCE = 6  # Stripe takes 9 s and more; alone on the machine these pages take milliseconds


class SlowStripe:
    """Takes every request. "slow" answers 9 s later, "dribble" sends one byte of its answer a second, for ever."""

    def __init__(self, way: str):
        self._way = way
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked = 0
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
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
                if self._way == "slow":
                    self._closed.wait(9)
                    connection.sendall(head + body)
                else:
                    for byte in head + body * 100:
                        connection.sendall(bytes([byte]))
                        if self._closed.wait(1):
                            return
        except OSError:
            return


@pytest.fixture(params=["slow", "dribble"])
def slow_stripe(request) -> Iterator[SlowStripe]:
    stripe = SlowStripe(request.param)
    yield stripe
    stripe.close()


@pytest.mark.threat(102)
def test_sixteen_polls_of_one_account_leave_the_site_to_the_others(store, dynamodb_url, tmp_path, slow_stripe):
    make_account(store, credits=100)
    with Server(dynamodb_url, tmp_path / "server.log", STRIPE_API_BASE=slow_stripe.url) as server:
        browser = Browser(server)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())
        polled: list[int] = []

        def ask(path: str) -> tuple[int, float, str]:
            started = time.monotonic()
            answer = httpx.get(server.url + path, headers={"Cookie": cookie}, timeout=60, trust_env=False)
            return answer.status_code, time.monotonic() - started, answer.text

        polls = [
            threading.Thread(target=lambda: polled.append(ask("/credits/return/status?session_id=cs_test_slow")[0]))
            for _ in range(16)
        ]
        for poll in polls:
            poll.start()
        while not slow_stripe.asked:
            time.sleep(0.01)
        others = [ask(path) for path in ("/", "/login", "/dashboard", "/credits", "/healthz") for _ in range(4)]
        for poll in polls:
            poll.join()

        assert {status for status, _, _ in others} <= {200, 303}
        assert max(seconds for _, seconds, _ in others) < PATIENCE
        assert polled == [200] * 16
        assert slow_stripe.asked <= 12  # two a worker, each tried again by Stripe's library

        told = ask("/credits/return?session_id=cs_test_slow")
        assert told[0] == 200
        assert "Stripe does not answer right now" in told[2]
