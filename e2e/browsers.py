"""Browsers as the command line wants them, and what is kept of a test that has failed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import playwright
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
UNSEEN = "/usr/bin/chromium-headless-shell"  # opens no windows, which are half of what a page costs the other
# What a browser itself writes for an answer that a test asked for.
EXPECTED_LINES = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")

PATIENCE = 60_000  # ms, for a machine that does much else: what is there is not waited for

expect.set_options(timeout=PATIENCE)


def check_options(config: pytest.Config) -> None:
    """Raises UsageError with what is to be done, before any test has waited for it."""
    if config.getoption("--headed") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise pytest.UsageError("--headed needs a screen and there is none (DISPLAY): use a desktop, or xvfb-run.")
    name = config.getoption("--browser")
    if name == "chromium":
        return
    with sync_playwright() as driver:
        path = getattr(driver, name).executable_path
    if not os.path.exists(path):
        raise pytest.UsageError(
            f"There is no {name} that Playwright can steer (a distribution's own does not do): "
            f"get it with '.venv/bin/playwright install {name}', or leave out --browser."
        )


@contextmanager
def driver(temporary: Path, *, video: bool) -> Iterator[Playwright]:
    """One for all: a second one in the same thread refuses to start.

    What it and its browsers put aside lies in the run's own folder, which the next run removes after a kill.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        if video and (folder := _with_ffmpeg(temporary)):
            patch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(folder))
        started = sync_playwright().start()
    yield started
    started.stop()


def has_ffmpeg() -> bool:
    return bool(shutil.which("ffmpeg")) or (_own_folder() / _ffmpeg_name()).exists()


def _with_ffmpeg(temporary: Path) -> Path | None:
    """A folder of browsers that holds this machine's ffmpeg where Playwright looks for its own."""
    own, found = _own_folder(), shutil.which("ffmpeg")
    if (own / _ffmpeg_name()).exists() or not found:
        return None
    folder = temporary / "browsers"
    (folder / _ffmpeg_name()).mkdir(parents=True)
    (folder / _ffmpeg_name() / "ffmpeg-linux").symlink_to(found)
    for browser in own.glob("*"):
        (folder / browser.name).symlink_to(browser)
    return folder


def _own_folder() -> Path:
    return Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")


def _ffmpeg_name() -> str:
    listed = json.loads((Path(playwright.__file__).parent / "driver/package/browsers.json").read_text())["browsers"]
    return next(f"ffmpeg-{browser['revision']}" for browser in listed if browser["name"] == "ffmpeg")


def launch(config: pytest.Config, started: Playwright, **options: Any) -> Browser:
    """Debian's Chromium, or Playwright's own where that is missing; root needs it without its sandbox."""
    options |= {"headless": not config.getoption("--headed"), "slow_mo": config.getoption("--slowmo")}
    if (name := config.getoption("--browser")) != "chromium":
        launched: Browser = getattr(started, name).launch(**options)
        return launched
    installed = filter(os.path.exists, [UNSEEN, CHROMIUM] if options["headless"] else [CHROMIUM])
    return started.chromium.launch(
        executable_path=next(installed, None),
        args=["--no-sandbox"] if os.geteuid() == 0 else [],
        **options,
    )


class Windows:
    """The windows that one test opens: nothing is shared between them, and a line on a console is noted."""

    def __init__(self, browser: Browser, url: str, temporary: Path, *, record: bool):
        self._browser, self._url = browser, url
        self._video = temporary if record and has_ffmpeg() else None
        self._record = record
        self._contexts: list[BrowserContext] = []
        self.lines: list[str] = []

    def explain(self, words: str) -> None:
        """Lines with these words are what the test has asked for; no such line means that it did not happen."""
        others = [line for line in self.lines if words not in line]
        assert len(others) < len(self.lines), f"no line on a console says {words!r}"
        self.lines[:] = others

    def open(self, **options: Any) -> Page:
        if self._video:
            options["record_video_dir"] = self._video
        context = self._browser.new_context(**{"base_url": self._url} | options)
        self._contexts.append(context)
        if self._record:
            context.tracing.start(screenshots=True, snapshots=True, sources=True)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.lines.append(str(error)))
        return page

    def close(self, keep: Path | None) -> None:
        """With `keep` a screenshot of each window stays there, and its trace and video if they were recorded."""
        for number, context in enumerate(self._contexts, 1):
            videos = [page.video for page in context.pages if page.video]
            if keep:
                self._keep(context, keep, number)
            context.close()
            for place, video in enumerate(videos, 1):
                if keep:
                    video.save_as(keep / f"video-{number}-{place}.webm")
                video.delete()

    def _keep(self, context: BrowserContext, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for place, page in enumerate(context.pages, 1):
            with suppress(Exception):  # a window that hangs must not hide why the test has failed
                page.screenshot(path=folder / f"screen-{number}-{place}.png", full_page=True)
        if self._record:
            context.tracing.stop(path=folder / f"trace-{number}.zip")

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED_LINES.search(message.text):
            self.lines.append(message.text)


def results(config: pytest.Config) -> Path:
    return config.rootpath / str(config.getoption("--output"))


def folder_of(item: pytest.Item) -> Path:
    return results(item.config) / re.sub(r"[^A-Za-z0-9]+", "-", item.nodeid.removeprefix("e2e/")).strip("-")[:150]
