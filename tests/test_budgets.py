"""What goes over the wire, counted: the first load of the dashboard, the public pages, and a fragment."""

from __future__ import annotations

import re

import pytest

from app.domain.clock import utcnow
from app.services import tasks
from tests.routes.browser import Browser
from tests.support import make_account

KB = 1024
AS_A_BROWSER = {"Accept_Encoding": "gzip, deflate, br, zstd"}


@pytest.fixture
def ada(app, store) -> Browser:
    """A customer with a full page of history."""
    account = make_account(store, credits=1000)
    for number in range(25):
        text = f"{number}. Compare the three quotes in the attachment and say which one is best value, with reasons."
        account = tasks.submit(store, account, text, now=utcnow()).account
    browser = Browser(app)
    browser.sign_in()
    return browser


def over_the_wire(response) -> int:
    """Bytes of an answer, headers included, as HTTP/1.1 sends it."""
    headers = sum(len(f"{name}: {value}\r\n".encode()) for name, value in response.headers)
    return len(f"HTTP/1.1 {response.status}\r\n\r\n") + headers + len(response.data)


def first_load(browser: Browser, path: str) -> int:
    page = browser.get(path).text
    parts = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    assert parts
    return sum(over_the_wire(browser.get(part.replace("&amp;", "&"), **AS_A_BROWSER)) for part in {path, *parts})


def test_dashboard_stays_within_30_kb_on_first_load(ada):
    assert first_load(ada, "/dashboard") <= 30 * KB


@pytest.mark.parametrize("path", ["/", "/login", "/signup"])
def test_public_page_stays_within_its_budget_on_first_load(app, store, path):
    assert first_load(Browser(app), path) <= 12 * KB


def test_answer_to_a_poll_stays_within_its_budget(ada):
    answer = ada.get("/dashboard/live", fragment=True, HX_PTag="0", **AS_A_BROWSER)

    assert len(answer.data) <= 2.5 * KB


def test_static_file_is_the_same_compressed(ada):
    import brotli

    path = "/static/app.css"
    compressed, plain = ada.get(path, **AS_A_BROWSER), ada.get(path)

    assert compressed.headers["Content-Encoding"] == "br"
    assert "Accept-Encoding" in compressed.headers["Vary"]
    assert brotli.decompress(compressed.data) == plain.data
    assert compressed.headers["ETag"] != plain.headers["ETag"]
    assert ada.get(path, If_None_Match=compressed.headers["ETag"], **AS_A_BROWSER).status_code == 304
