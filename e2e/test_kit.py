"""The kit itself: against a server of another folder, what is kept of a failure, and words for what is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from e2e import site as sites
from e2e.browsers import Windows, check_options
from e2e.pages import Dashboard, SignIn
from e2e.pages.eyes import problems
from scripts.local.ports import HOST
from scripts.local.settings import REPO
from tests.local.local_run import Run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("server") / "var").start()
    run.until_ready()
    yield run
    run.end(signal.SIGTERM)


@pytest.mark.inside("it starts a server of its own")
def test_the_same_tests_run_against_a_server(server, tmp_path):
    environment = os.environ | {"BASE_URL": server.url}
    chosen = ["e2e/test_guest.py", "e2e/test_payments.py", "-m", "money", "-k", "owes or by_itself_once or reconcil"]
    options = ["-n", "0", "-p", "no:cacheprovider", "-o", "addopts=", "--output", str(tmp_path / "kept")]
    command = [sys.executable, "-m", "pytest", *options, *chosen]
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)

    assert "2 passed, 1 skipped" in done.stdout, done.stdout
    assert f"1 tests not run against {server.url}" in done.stdout
    assert "in the process only: reconciling is a command" in done.stdout


@pytest.mark.inside("it starts a server of its own")
def test_a_person_reaches_a_state_by_a_button_of_the_panel(server, page):
    page.goto(f"http://{HOST}:{server.ports['LOCAL_STRIPE_PORT']}/states")
    page.get_by_role("button", name="Make: Frozen").click()
    email, password = (page.locator(f"#{name}").inner_text() for name in ("email", "password"))
    assert problems(page, "states") == []

    page.get_by_role("link", name="Sign in there").click()
    SignIn(page).again(email, password)

    assert page.url == f"{server.url}/dashboard"
    Dashboard(page).arrived()
    expect(page.locator("#submit-task")).to_be_disabled()  # told before anything is typed


@pytest.mark.inside("nothing of a server")
def test_a_failure_leaves_a_screenshot_and_a_trace(browser, running, tmp_path):
    windows = Windows(browser, running.url, tmp_path / "videos", record=True)
    windows.open().set_content("<h1>Seen last</h1><script>console.error('what went wrong')</script>")

    windows.close(tmp_path / "kept")

    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"screen-1-1.png", "trace-1.zip"} <= kept <= {"screen-1-1.png", "trace-1.zip", "video-1-1.webm"}
    assert (tmp_path / "kept/screen-1-1.png").read_bytes().startswith(b"\x89PNG")
    assert windows.lines == ["what went wrong"]


@pytest.mark.inside("nothing of a server")
def test_what_is_not_there_is_said_with_what_to_do(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    options = {"--headed": True, "--browser": "chromium"}
    with pytest.raises(pytest.UsageError, match="xvfb-run"):
        check_options(SimpleNamespace(getoption=options.get))


def test_a_server_without_a_panel_skips_what_needs_one_and_says_why(monkeypatch):
    monkeypatch.setattr(sites, "find_panel", lambda url: None)
    staging = sites.Distant("https://staging.example.com/")

    assert staging.url == "https://staging.example.com"
    with staging.visit() as site, pytest.raises(pytest.skip.Exception, match="makes a state to begin with"):
        site.states.account(credits=5)
    with pytest.raises(pytest.skip.Exception, match="plays Stripe"):
        staging.mail_to("ada@example.com")
