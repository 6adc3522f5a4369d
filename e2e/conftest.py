"""A product and a browser before it, by the command line: in this process or at BASE_URL, seen or unseen, recorded."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Playwright

from conftest import let_out
from e2e import browsers
from e2e.pages.world import World
from e2e.site import Distant, InProcess, Site, in_process
from scripts.local.settings import CREDENTIALS, NO_OTHER_AWS, forget_other_aws, past_any_proxy
from scripts.local.states.here import is_here
from tests.support import assert_books_agree

BASE_URL = os.environ.get("BASE_URL", "")
known = forget_other_aws(os.environ) | CREDENTIALS | NO_OTHER_AWS | past_any_proxy(os.environ)
os.environ.clear()
os.environ.update(known)

FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("browser tests")
    group.addoption("--headed", action="store_true", help="show the browser")
    group.addoption("--slowmo", type=float, default=0, metavar="MS", help="wait so long after each act")
    group.addoption("--browser", choices=("chromium", "firefox", "webkit"), default="chromium")
    group.addoption("--output", default="test-results", metavar="DIR", help="for what is kept of what fails")
    group.addoption("--record", action="store_true", help="keep trace and video, too, of what fails")


def pytest_configure(config: pytest.Config) -> None:
    if BASE_URL and not is_here(BASE_URL):
        let_out(urlsplit(BASE_URL).hostname or "")
    if not hasattr(config, "workerinput"):
        browsers.check_options(config)
        for folder in browsers.results(config).glob("test-*"):
            shutil.rmtree(folder, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if BASE_URL and (mark := item.get_closest_marker("inside")):
        pytest.skip(f"in the process only: {mark.args[0]}")
    browser = item.config.getoption("--browser")
    if browser != "chromium" and (mark := item.get_closest_marker("chromium")):
        pytest.skip(f"in Chromium only: {mark.args[0]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if BASE_URL and (skipped := terminalreporter.stats.get("skipped")):
        reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
        terminalreporter.section(f"{len(skipped)} tests not run against {BASE_URL}")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:4}  {reason}")
    if kept := sorted(browsers.results(terminalreporter.config).glob("test-*")):
        terminalreporter.section("kept of what failed")
        for folder in kept:
            terminalreporter.line(str(folder))
            for trace in sorted(folder.glob("trace-*.zip")):
                terminalreporter.line(f"    .venv/bin/playwright show-trace {trace}")
        if terminalreporter.config.getoption("--record") and not browsers.has_ffmpeg():
            terminalreporter.line("No video: there is no ffmpeg here (Debian: apt-get install ffmpeg).")


@pytest.fixture(scope="session")
def running() -> Iterator[Site]:
    """The product for the whole session; most tests want `site`, which begins anew each time."""
    with ExitStack() as stack:
        yield Distant(BASE_URL) if BASE_URL else stack.enter_context(in_process())


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    with running.visit() as visited:
        yield visited
        visited.hang_up()


@pytest.fixture
def inside(running: Site) -> InProcess:
    """To look into the process, for tests that are marked so (`@pytest.mark.inside("why")`)."""
    assert isinstance(running, InProcess)
    return running


@pytest.fixture
def world(running: Site) -> Iterator[World]:
    """A product in use (e2e/pages/world.py). It shares its payments at Stripe: what changes these has `site`."""
    if not isinstance(running, InProcess):
        pytest.skip("in the process only: the furnished world has the tables to itself")
    yield running.furnish()
    assert_books_agree(running.store)


@pytest.fixture(scope="session")
def playwright_driver(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Playwright]:
    video = pytestconfig.getoption("--record")
    with browsers.driver(tmp_path_factory.mktemp("browser"), video=video) as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright_driver: Playwright, pytestconfig: pytest.Config) -> Iterator[Browser]:
    opened = browsers.launch(pytestconfig, playwright_driver)
    yield opened
    opened.close()


@pytest.fixture
def windows(browser: Browser, running: Site, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Any]:
    """A line on any console that was not to be expected fails the test; what has failed leaves its traces."""
    record = request.config.getoption("--record")
    videos = tmp_path_factory.getbasetemp() / "videos"
    opened = browsers.Windows(browser, running.url, videos, record=record)
    yield opened
    failed = request.node.stash.get(FAILED, False) or opened.lines
    opened.close(browsers.folder_of(request.node) if failed else None)
    assert opened.lines == []


@pytest.fixture
def open_browser(windows: Any) -> Any:
    """Opens browsers that share nothing."""
    return windows.open


@pytest.fixture
def page(open_browser: Any) -> Page:
    opened: Page = open_browser()
    return opened
