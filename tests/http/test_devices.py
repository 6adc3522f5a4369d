"""The count of a browser that has signed in before holds over all workers, like every other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support import PASSWORD, make_account

ADA = "ada@example.com"


def sign_in(client: httpx.Client, password: str = PASSWORD) -> int:
    token = client.get("/login").text.split('name="csrf_token" value="')[1].split('"')[0]
    return client.post("/login", data={"email": ADA, "password": password, "csrf_token": token}).status_code


@pytest.mark.threat(61, 63)
def test_a_known_browser_goes_in_while_a_stranger_guesses_and_a_thief_of_its_cookie_has_ten_tries(server, store):
    make_account(store)
    if (left := 900 - time.time() % 900) < 60:  # the counts are of fixed windows, and this must lie within one
        time.sleep(left)

    def browser() -> httpx.Client:
        return httpx.Client(base_url=server.url, timeout=60, trust_env=False)

    def guess(_: int) -> int:
        with browser() as stranger:
            return sign_in(stranger, "wrong guess")

    with browser() as owner, browser() as thief:
        assert sign_in(owner) == 303
        with ThreadPoolExecutor(4) as pool:  # connections of their own: they reach both workers
            assert set(pool.map(guess, range(12))) == {401, 429}
        assert guess(0) == 429
        device = owner.cookies["device"]
        owner.cookies.delete("session")
        assert sign_in(owner) == 303

        thief.cookies.set("device", device)
        assert [sign_in(thief, "wrong guess") for _ in range(10)] == [401] * 10
        assert sign_in(thief) == 429
