"""What goes over the wire, counted: the first load of the dashboard, the public pages, and a fragment."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest

from app.domain.clock import utcnow
from app.services import queue, tasks
from scripts.benchmarks.wire import parts_of
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


def first_load(browser: Browser, path: str, encodings: dict[str, str] = AS_A_BROWSER) -> int:
    return sum(map(over_the_wire, every_part(browser, path, **encodings)))


def every_part(browser: Browser, path: str, **headers: str) -> list:
    """The answers that a browser with an empty cache asks for."""
    parts = parts_of(browser.get(path).text)
    assert parts
    return [browser.get(part, **headers) for part in {path, *parts}]


@pytest.fixture
def bob(app, store) -> Browser:
    """A customer with a full page of history, and nothing to wait for."""
    account = make_account(store, "bob@example.com", credits=1000)
    for number in range(25):
        text = f"{number}. Compare the three quotes in the attachment and say which one is best value, with reasons."
        submitted = tasks.submit(store, account, text, now=utcnow())
        _, account = queue.cancel(store, submitted.account, submitted.task.task_id, now=utcnow())
    browser = Browser(app)
    browser.sign_in("bob@example.com")
    return browser


by_encoding = pytest.mark.parametrize(
    "encodings", [AS_A_BROWSER, {"Accept_Encoding": "gzip"}], ids=["all", "gzip alone"]
)


@by_encoding
def test_dashboard_stays_within_18_kb_on_first_load_where_nothing_is_waited_for(bob, encodings):
    assert 10 * KB < first_load(bob, "/dashboard", encodings) <= 18 * KB


@by_encoding
def test_dashboard_that_follows_a_task_stays_within_20_kb_on_first_load(ada, encodings):
    parts = parts_of(ada.get("/dashboard").text)
    assert any("/follow.js" in part for part in parts)

    assert 12 * KB < first_load(ada, "/dashboard", encodings) <= 20 * KB


@pytest.mark.parametrize("path", ["/", "/login", "/signup"])
def test_public_page_stays_within_its_budget_on_first_load(app, store, path):
    assert first_load(Browser(app), path) <= 12 * KB


def test_answer_to_a_poll_stays_within_its_budget(ada):
    answer = ada.get("/dashboard/live", fragment=True, HX_PTag="0", **AS_A_BROWSER)

    assert len(answer.data) <= 2.5 * KB


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),  # browsers over plain HTTP, and proxies
        ("gzip, deflate", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.1, gzip", "gzip"),
        ("*", "br"),
    ],
)
def test_static_file_is_the_same_compressed(ada, accepted, encoding):
    path, undo = "/static/app.css", {"br": brotli.decompress, "gzip": gzip.decompress}[encoding]
    compressed, plain = ada.get(path, Accept_Encoding=accepted), ada.get(path)

    assert compressed.headers["Content-Encoding"] == encoding
    assert "Accept-Encoding" in compressed.headers["Vary"]
    assert undo(compressed.data) == plain.data
    assert compressed.headers["ETag"] != plain.headers["ETag"]
    assert len(compressed.data) < 0.4 * len(plain.data)
    assert ada.get(path, If_None_Match=compressed.headers["ETag"], Accept_Encoding=accepted).status_code == 304


SCRIPTS = sorted(Path("app/static").glob("*.js"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_script_is_compressed_without_comments_and_indentation(ada, script):
    lines = script.read_text().splitlines()
    for line in lines:
        assert line.count("`") % 2 == 0, "a text that goes on over lines would lose its indentation"
        assert not re.search(r"/\*|\*/|\\$", line), "a comment or text that goes on over lines is not known to code_of"

    sent = ada.get(f"/static/{script.name}", **AS_A_BROWSER)
    code = brotli.decompress(sent.data).decode().splitlines()

    stripped = [line.strip() for line in lines]
    assert code == ["" if line.startswith("//") else line for line in stripped]


def test_a_script_from_elsewhere_is_compressed_as_it_is(ada):
    path = "/static/vendor/htmx-4.0.1.min.js"

    assert brotli.decompress(ada.get(path, **AS_A_BROWSER).data) == ada.get(path).data


@pytest.mark.parametrize("path", ["/static/app.css", "/static/icon-192.png", "/favicon.ico"])
def test_static_file_carries_no_header_that_its_cache_does_not_need(ada, path):
    answer = ada.get(path, **AS_A_BROWSER)
    again = ada.get(path, If_None_Match=answer.headers["ETag"], **AS_A_BROWSER)

    assert (answer.status_code, again.status_code) == (200, 304)
    for said in (answer, again):
        assert not {"Accept-Ranges", "Content-Disposition", "Expires", "Last-Modified"} & set(said.headers.keys())
        assert over_the_wire(said) - len(said.data) <= 300


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "compress"])
def test_static_file_is_sent_as_it_is_to_who_reads_nothing_else(ada, accepted):
    answer = ada.get("/static/app.css", Accept_Encoding=accepted)

    assert "Content-Encoding" not in answer.headers
    assert answer.data.startswith(b"@layer") or b"{" in answer.data
