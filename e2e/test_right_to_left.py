"""A task in Hebrew: written, listed and read from right to left, in light and dark, also on a narrow phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from e2e.pages import Dashboard, SignIn, TaskPage
from e2e.pages.eyes import SCHEMES, WIDTHS

HEBREW = "סכם את הדוח הרבעוני בחמש נקודות, בבקשה!"
RESULT = f"# {HEBREW}\n\n{HEBREW} https://example.com\n\n- {HEBREW}\n\nAnd a line in English."
DIRECTION = "element => getComputedStyle(element).direction"


@pytest.fixture
def dashboard(site, page) -> Dashboard:
    return SignIn(page).enter(site.states.tasks(completed=1, text=HEBREW, result=RESULT))


def test_words_run_the_way_of_their_script(dashboard):
    page = dashboard.page
    for _ in each_look(page):
        dashboard.text.fill(HEBREW)
        assert dashboard.text.evaluate(DIRECTION) == "rtl"
        assert dashboard.rows.locator("bdi").first.evaluate(DIRECTION) == "rtl"
        assert dashboard.rows.first.evaluate(DIRECTION) == "ltr"
        dashboard.text.fill("In English")
        assert dashboard.text.evaluate(DIRECTION) == "ltr"

    page.locator("#task-rows a").first.click()
    page.wait_for_url("**/tasks/task_*")
    task = TaskPage(page)
    for width in each_look(page):
        assert task.subject.evaluate(DIRECTION) == "rtl"
        ways = page.locator("#result > *").evaluate_all("all => all.map(each => getComputedStyle(each).direction)")
        assert ways == ["rtl", "rtl", "rtl", "ltr"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def each_look(page: Page) -> Iterator[int]:
    """The page as it stands at each width and in each scheme."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            yield width
