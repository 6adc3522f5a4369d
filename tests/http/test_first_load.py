"""The first dashboard through the server: every file of it, until the page is idle."""

from __future__ import annotations

import httpx
import pytest

from app.domain.clock import utcnow
from app.services import tasks
from scripts.benchmarks.wire import parts_of
from tests.http.test_ended_session import Tab
from tests.support import make_account

KB = 1024


@pytest.mark.parametrize("encodings", ["gzip, deflate, br, zstd", "gzip"])
def test_dashboard_that_follows_a_task_stays_within_20_kb(server, store, encodings):
    account = make_account(store, credits=1000)
    for number in range(25):
        account = tasks.submit(store, account, f"{number}. Compare the three quotes.", now=utcnow()).account
    ada = Tab(server, account.email)
    parts = parts_of(ada.web.get("/dashboard", headers={"Accept-Encoding": "identity"}).text)

    ada.web.headers["Accept-Encoding"] = encodings
    answers = list(map(ada.web.get, ["/dashboard", *parts]))

    assert any("/follow.js" in part for part in parts)
    assert {answer.status_code for answer in answers} == {200}
    assert 12 * KB < sum(map(over_the_wire, answers)) <= 20 * KB


def over_the_wire(answer: httpx.Response) -> int:
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in answer.headers.raw)
    return len("HTTP/1.1 200 OK\r\n\r\n") + headers + answer.num_bytes_downloaded
