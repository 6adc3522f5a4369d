"""htmx comes when something on the page wants it; until then, and where it never comes, nothing is lost."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.pages import Dashboard
from e2e.pages.dashboard import POLL
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


def slowly(route: Route) -> None:
    """The answer of now, later."""
    answer = route.fetch()
    time.sleep(2)
    route.fulfill(response=answer)


class Followed:
    """A dashboard with an open task; more of them come from elsewhere."""

    def __init__(self, site, who, dashboard: Dashboard, task_id: str) -> None:
        self._api = site.api(who)
        self._dashboard, self._task_id = dashboard, task_id
        self.balance = "90 credits"

    def open(self) -> Dashboard:
        self._dashboard.open()
        self._dashboard.mark()
        return self._dashboard

    def is_called_off(self) -> None:
        self._api.ask("POST", f"/api/tasks/{self._task_id}/cancel")

    def changes(self) -> None:
        self._api.submit("Another one")
        self.balance = f"{int(self.balance.split()[0]) - 10} credits"


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


@pytest.fixture
def followed(site, ada, page) -> Followed:
    task_id = site.api(ada).submit("Follow me")
    return Followed(site, ada, Dashboard(page), task_id)


def test_a_task_is_followed_without_a_touch_and_htmx_comes_for_the_news(followed, page, asked):
    page.route(HTMX, late)
    dashboard = followed.open()
    polled: list[int] = []
    page.on("response", lambda answer: polled.append(answer.status) if "/live" in answer.url else None)
    with page.expect_response(POLL) as first:
        pass
    assert first.value.request.headers["hx-ptag"]
    assert first.value.status == 304
    assert [url for url in asked() if "/vendor/" in url] == []

    followed.is_called_off()

    expect(dashboard.row("Follow me")).not_to_contain_text("Pending")
    assert dashboard.is_the_same()
    assert polled.count(200) == 1  # what brought the news is what is shown


def test_what_is_sent_is_what_htmx_would_send(followed, page):
    dashboard = followed.open()
    dashboard.search.fill("Follow")
    expect(dashboard.rows).to_have_count(1)

    with page.expect_request(POLL) as poll:
        pass
    with page.expect_request(lambda request: "/live" in request.url and "hx-ptag" not in request.headers) as by_htmx:
        page.evaluate("htmx.ajax('GET', '/dashboard/live', { source: '#live', target: '#history' })")

    ours, its = poll.value, by_htmx.value
    left_out = {"hx-ptag", "x-quiet-seconds"}
    assert ours.url == its.url
    assert {name: value for name, value in ours.headers.items() if name not in left_out} == its.headers


@pytest.mark.parametrize("times", [1, 3])
def test_a_change_is_shown_by_loading_the_page_anew_where_htmx_never_comes(followed, page, windows, times):
    page.route(HTMX, lambda route: route.abort())
    dashboard = followed.open()

    for _ in range(times):
        followed.changes()
        expect(dashboard.balance).to_have_text(followed.balance, timeout=20_000)

    assert not dashboard.is_the_same()
    expect(dashboard.row("Follow me")).to_be_visible()
    windows.explain(REFUSED)


def test_words_are_not_lost_to_a_change_that_cannot_be_shown(followed, page, windows):
    page.route(HTMX, lambda route: route.abort())
    dashboard = followed.open()
    dashboard.text.fill("Half a thought")

    followed.changes()

    expect(dashboard.toasts).to_contain_text("Something on this page has changed.", timeout=20_000)
    expect(dashboard.text).to_have_value("Half a thought")
    assert dashboard.is_the_same()
    page.unroute(HTMX)
    expect(dashboard.balance).to_have_text(followed.balance, timeout=20_000)
    expect(dashboard.text).to_have_value("Half a thought")
    expect(dashboard.toasts).to_be_empty()
    windows.explain(REFUSED)


@pytest.mark.inside("ages sessions")
@pytest.mark.parametrize("comes", [True, False], ids=["htmx comes", "htmx never comes"])
def test_an_untouched_page_says_that_its_session_has_ended(followed, page, inside, ada, windows, comes):
    if not comes:
        page.route(HTMX, lambda route: route.abort())
    dashboard = followed.open()
    polls = Counter[int]()
    page.on("response", lambda answer: polls.update([answer.status] if "/live" in answer.url else []))

    inside.store.updates.accounts.end_sessions(inside.store.accounts.get(ada.email))

    expect(dashboard.toasts.get_by_role("alert")).to_contain_text("You were signed out.")
    page.wait_for_timeout(4_000)
    assert polls[401] == 1  # nobody looks meanwhile
    assert dashboard.is_the_same()
    if not comes:
        windows.explain(REFUSED)


def test_a_poll_that_fails_is_said_once_and_taken_back(followed, page, windows):
    dashboard = followed.open()
    page.route(POLL, lambda route: route.abort())
    expect(dashboard.toasts).to_contain_text("Live updates are paused. Still trying.", timeout=20_000)

    page.unroute(POLL)

    expect(dashboard.toasts).to_be_empty(timeout=20_000)
    windows.explain(REFUSED)


def test_a_hidden_page_asks_nothing(followed, page):
    followed.open()
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }) }"
    page.evaluate(hide, True)
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if "/live" in request.url else None)
    page.wait_for_timeout(4_000)
    assert polls == []

    with page.expect_request(POLL):
        page.evaluate(hide, False)


def test_an_answer_that_a_filter_has_overtaken_is_not_shown(followed, page):
    dashboard = followed.open()
    page.route(POLL, slowly)
    with page.expect_request(POLL):
        followed.changes()

    dashboard.status.select_option("completed")
    expect(dashboard.rows).to_have_count(0)

    with page.expect_response(POLL):
        pass
    with page.expect_request(POLL) as again:
        pass
    assert "status=completed" in again.value.url
    expect(dashboard.rows).to_have_count(0)
    page.unroute_all(behavior="ignoreErrors")


def test_its_script_is_tried_again_until_it_comes(followed, page, windows):
    script = "**/static/follow.js*"
    page.route(script, lambda route: route.abort())
    followed.open()
    page.wait_for_load_state("networkidle")

    page.unroute(script)

    with page.expect_response(POLL, timeout=20_000):
        pass
    windows.explain(REFUSED)


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
