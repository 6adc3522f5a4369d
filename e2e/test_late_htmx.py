"""htmx comes when something on the page wants it; until then, and where it never comes, nothing is lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.pages import Dashboard
from e2e.pages.world import signed_in

HTMX = "**/static/vendor/htmx-*"
REFUSED = "net::ERR_FAILED"

pytestmark = pytest.mark.money


@pytest.fixture
def ada(site):
    return site.states.account(credits=100)


@pytest.fixture
def page(open_browser, site, ada) -> Page:
    page = open_browser(reduced_motion="reduce")
    page.context.add_cookies(signed_in(site.url, ada.email))
    return page


@pytest.fixture
def asked(page) -> Callable[[], list[str]]:
    """The scripts that the page has asked for, and the addresses of its fragments."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url))
    return lambda: [url for url in found if "/vendor/" in url or "/live" in url]


def late(route: Route) -> None:
    time.sleep(0.7)
    route.continue_()


def called_off(site, who, *texts: str) -> None:
    """Tasks that nobody waits for any more."""
    for text in texts:
        site.api(who).ask("POST", f"/api/tasks/{site.api(who).submit(text)}/cancel")


def test_nothing_is_fetched_for_a_page_that_waits_for_nothing(page, asked):
    dashboard = Dashboard(page).open()
    page.wait_for_load_state("networkidle")
    assert asked() == []

    with page.expect_response(HTMX):
        page.keyboard.press("Tab")

    expect(dashboard.composer).to_have_attribute("data-htmx-powered", "true")


def test_a_task_is_followed_without_a_touch(site, ada, page):
    task_id = site.api(ada).submit("Follow me")
    page.route(HTMX, late)
    dashboard = Dashboard(page).open()
    with page.expect_response("**/dashboard/live**") as first:
        pass
    assert first.value.request.headers["hx-ptag"]
    assert first.value.status == 304

    site.api(ada).ask("POST", f"/api/tasks/{task_id}/cancel")

    expect(dashboard.row("Follow me")).not_to_contain_text("Pending")


def test_a_submit_waits_for_what_is_under_way_and_charges_once(page):
    page.route(HTMX, late)
    dashboard = Dashboard(page).open()
    page.evaluate("window.same = true")

    dashboard.text.fill("Early bird")
    dashboard.submit_button.dblclick()

    expect(dashboard.row("Early bird")).to_have_count(1)
    dashboard.expect_balance("90")
    assert page.evaluate("window.same")  # the same document: htmx did it


def test_a_submit_goes_the_plain_way_where_htmx_never_comes(page, windows):
    page.route(HTMX, lambda route: route.abort())
    dashboard = Dashboard(page).open()

    dashboard.text.fill("Plain bird")
    dashboard.submit_button.dblclick()

    page.wait_for_url("**/tasks/task_*")
    dashboard.open().expect_balance("90")
    expect(dashboard.row("Plain bird")).to_have_count(1)
    windows.explain(REFUSED)


def test_a_search_typed_before_htmx_is_there_is_searched(site, ada, page):
    called_off(site, ada, "A letter", "Some figures")
    page.route(HTMX, late)
    dashboard = Dashboard(page).open()
    expect(dashboard.rows).to_have_count(2)

    dashboard.search.fill("figures")

    expect(dashboard.rows).to_have_count(1)
    expect(page).to_have_url(re.compile("q=figures"))


def test_what_is_typed_meanwhile_is_kept(page):
    page.route(HTMX, late)
    dashboard = Dashboard(page).open()

    dashboard.text.fill("Half a thought")

    expect(dashboard.draft_kept).to_be_visible()


def test_what_cannot_be_kept_for_want_of_htmx_is_said(page, windows):
    page.route(HTMX, lambda route: route.abort())
    dashboard = Dashboard(page).open()

    dashboard.text.fill("Half a thought")

    expect(dashboard.composer).to_contain_text("Not kept yet.")
    page.unroute(HTMX)
    expect(dashboard.draft_kept).to_be_visible()
    windows.explain(REFUSED)


def test_back_to_an_address_of_htmx_after_a_reload_shows_what_it_says(site, ada, page):
    called_off(site, ada, "A letter", "Some figures")
    dashboard = Dashboard(page).open()
    page.evaluate("history.pushState(null, '', '/dashboard?q=figures')")
    page.reload()
    expect(dashboard.rows).to_have_count(1)

    page.go_back()

    expect(dashboard.rows).to_have_count(2)
