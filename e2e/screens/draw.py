"""Draws screens of the product that stands in the current folder: a picture of each, in each theme and width.

    python e2e/screens/draw.py OUT --name dashboard --look light:1280 dark:375

The file knows nothing of its neighbours: it is run in the folder of another commit as well, to draw what stood there.
It says a line for each page. With --now every clock of the product and of the browser stands still, and what is made by
chance (a port, an id of Stripe's) shows as one that is always the same.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

WIDTHS = (320, 375, 800, 1280)
LOOKS = 4
PAPER = 794  # A4 at 96 dots an inch
Theme = Literal["light", "dark", "print", "forced"]
THEMES: tuple[Theme, ...] = ("light", "dark", "print", "forced")
Look = tuple[Theme, int]
CHROMIUM = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
WITHOUT_CHANCE = r"""() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const plain = node.data
      .replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:8000")
      .replace(/\b(cus|cs_test|pi|re|ch|evt|acct)_[A-Za-z0-9]{12,}/g, (id, kind) => kind.padEnd(id.length, "_"));
    if (plain !== node.data) node.data = plain;
  }
}"""


@dataclass(frozen=True)
class Wish:
    """What to draw. `names` are those of world.PAGES; none: all of them."""

    names: Sequence[str] = ()
    looks: Sequence[Look] = ()
    javascript: bool = True
    now: datetime | None = None


def looks(themes: Iterable[Theme], widths: Sequence[int]) -> Iterator[Look]:
    """Paper has a width of its own."""
    for theme in themes:
        for width in (PAPER,) if theme == "print" else widths:
            yield theme, width


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def file_of(name: str, theme: str, width: int) -> str:
    return f"{slug(name)}.{theme}.{width}.png"


def draw(out: Path, wish: Wish) -> Iterator[str]:
    """Yields the name of each page once its pictures are there."""
    from playwright.sync_api import sync_playwright

    from e2e.pages import world as w
    from e2e.site import in_process

    out.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    visits = [visit for visit in w.PAGES if not wish.names or visit.name in wish.names]
    with _still(wish.now), in_process() as site, sync_playwright() as driver:
        world = site.furnish()
        path = next((path for path in CHROMIUM if os.path.exists(path)), None)
        browser = driver.chromium.launch(executable_path=path)
        context = browser.new_context(
            base_url=site.url, java_script_enabled=wish.javascript, reduced_motion="reduce", locale="en-GB"
        )
        if wish.now:
            context.clock.set_fixed_time(wish.now)
        for visit in visits:
            context.clear_cookies()
            if visit.who:
                context.add_cookies([world.cookies[visit.who]])  # type: ignore[list-item]
            page = context.new_page()
            page.goto(world.path(visit))
            if wish.now:
                page.evaluate(WITHOUT_CHANCE)
            for theme, width in wish.looks:
                _dress(page, theme, width)
                (out / file_of(visit.name, theme, width)).write_bytes(_picture(page, twice=wish.now is not None))
            page.close()
            yield visit.name
        browser.close()


def _dress(page: Any, theme: Theme, width: int) -> None:
    page.emulate_media(
        media="print" if theme == "print" else "screen",
        color_scheme="dark" if theme == "dark" else "light",
        forced_colors="active" if theme == "forced" else "none",
    )
    page.set_viewport_size({"width": width, "height": 900})


def _picture(page: Any, twice: bool) -> bytes:
    """Of the whole page. `twice`: as it is two times running, for under load one now and then lacks an edge."""
    taken: bytes = page.screenshot(full_page=True, animations="disabled")
    for _ in range(LOOKS if twice else 0):
        before, taken = taken, page.screenshot(full_page=True, animations="disabled")
        if before == taken:
            break
    return taken


@contextmanager
def _still(now: datetime | None) -> Iterator[None]:
    """Two runs are to show the same times."""
    if now is None:
        yield
        return
    from app.domain.clock import StoreTime

    correct = StoreTime.correct
    StoreTime.correct = lambda _self, _moment: now  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        StoreTime.correct = correct  # type: ignore[method-assign]


def arguments(given: Iterable[str] | None = None) -> tuple[Path, Wish]:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", nargs="*", default=[])
    parser.add_argument("--look", nargs="+", type=_look, required=True, metavar="THEME:WIDTH")
    parser.add_argument("--now", type=datetime.fromisoformat)
    found = parser.parse_args(None if given is None else list(given))
    return found.out, Wish(found.name, found.look, now=found.now)


def _look(text: str) -> Look:
    theme, _, width = text.partition(":")
    return next(known for known in THEMES if known == theme), int(width)


def stay_here() -> None:
    """No AWS and no proxy that the shell names comes between."""
    from scripts.local.settings import CREDENTIALS, NO_OTHER_AWS, forget_other_aws, past_any_proxy

    known = forget_other_aws(os.environ) | CREDENTIALS | NO_OTHER_AWS | past_any_proxy(os.environ)
    os.environ.clear()
    os.environ.update(known)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    stay_here()
    for name in draw(*arguments()):
        print(name, flush=True)
