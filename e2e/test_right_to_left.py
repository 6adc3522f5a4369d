"""A task in Hebrew: written, listed and read from right to left, in light and dark, also on a narrow phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from app.domain.clock import utcnow
from app.services import queue, tasks
from e2e.pages.eyes import SCHEMES, WIDTHS
from e2e.test_operators import sign_in
from tests.support import make_account

HEBREW = "סכם את הדוח הרבעוני בחמש נקודות, בבקשה!"
DIRECTION = "element => getComputedStyle(element).direction"


@pytest.fixture
def ada(site, open_browser) -> Page:
    account = make_account(site.store, credits=100)
    done = tasks.submit(site.store, account, HEBREW, now=utcnow()).task
    queue.claim(site.store, "op@example.com", done.task_id, now=utcnow())
    result = f"# {HEBREW}\n\n{HEBREW} https://example.com\n\n- {HEBREW}\n\nAnd a line in English."
    queue.complete(site.store, "op@example.com", done.task_id, result, now=utcnow())
    page = open_browser()
    sign_in(page, "ada@example.com")
    return page


def test_words_run_the_way_of_their_script(ada):
    ada.goto("/dashboard")
    composer = ada.get_by_label("What should we do?")
    for _ in each_look(ada):
        composer.fill(HEBREW)
        assert composer.evaluate(DIRECTION) == "rtl"
        assert ada.locator("#task-rows bdi").first.evaluate(DIRECTION) == "rtl"
        assert ada.locator("#task-rows li").first.evaluate(DIRECTION) == "ltr"
        composer.fill("In English")
        assert composer.evaluate(DIRECTION) == "ltr"

    ada.locator("#task-rows a").first.click()
    ada.wait_for_url("**/tasks/task_*")
    for width in each_look(ada):
        assert ada.locator("h1.subject").evaluate(DIRECTION) == "rtl"
        ways = ada.locator("#result > *").evaluate_all("all => all.map(each => getComputedStyle(each).direction)")
        assert ways == ["rtl", "rtl", "rtl", "ltr"]
        assert ada.evaluate("document.documentElement.scrollWidth") <= width


def each_look(page: Page) -> Iterator[int]:
    """The page as it stands at each width and in each scheme."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            yield width
