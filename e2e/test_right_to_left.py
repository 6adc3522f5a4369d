"""A task in Hebrew: written, listed and read from right to left, in light and dark, also on a narrow phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from app.domain.clock import utcnow
from app.services import queue, tasks
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_words_run_the_way_of_their_script(ada, tmp_path, scheme, width):
    ada.emulate_media(color_scheme=scheme)
    ada.set_viewport_size({"width": width, "height": 800})
    ada.goto("/dashboard")
    composer = ada.get_by_label("What should we do?")
    composer.fill(HEBREW)
    assert composer.evaluate(DIRECTION) == "rtl"
    assert ada.locator("#task-rows bdi").first.evaluate(DIRECTION) == "rtl"
    assert ada.locator("#task-rows li").first.evaluate(DIRECTION) == "ltr"
    ada.screenshot(path=tmp_path / "dashboard.png")
    composer.fill("In English")
    assert composer.evaluate(DIRECTION) == "ltr"

    ada.locator("#task-rows a").first.click()
    ada.wait_for_url("**/tasks/task_*")
    assert ada.locator("h1.subject").evaluate(DIRECTION) == "rtl"
    ways = ada.locator("#result > *").evaluate_all("all => all.map(each => getComputedStyle(each).direction)")
    assert ways == ["rtl", "rtl", "rtl", "ltr"]
    assert ada.evaluate("document.documentElement.scrollWidth") <= width
    ada.screenshot(path=tmp_path / "task.png")
