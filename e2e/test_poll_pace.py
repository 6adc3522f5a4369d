"""An open page asks again when the server has said, and soon once somebody acts or something has changed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.pages import Dashboard
from e2e.pages.dashboard import POLL
from e2e.pages.world import signed_in

TICK = 3_000  # milliseconds
HOUR = 3_600


@pytest.fixture
def ada(site):
    return site.states.account(credits=100)


class Followed:
    """A dashboard with an open task, by a clock that stands still. The server says `status` and `headers` to its polls.

    `quiet`: for how many seconds nothing had happened, by the page's word, of each poll since somebody acted.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.quiet: list[int] = []
        self.status, self.headers = 304, {"X-Poll-Again": "30"}
        page.clock.install(time=0)
        page.route(POLL, self._answer)
        self.dashboard = Dashboard(page).open()
        page.wait_for_load_state("networkidle")
        page.clock.pause_at(HOUR)
        self._is_answered()
        self.act()
        self.quiet.clear()

    def _answer(self, route: Route) -> None:
        self.quiet.append(int(route.request.headers["x-quiet-seconds"]))
        if self.status == 200:
            route.continue_()
        else:
            route.fulfill(status=self.status, headers=self.headers)

    def _is_answered(self) -> None:
        while self.page.evaluate("asking"):  # of follow.js
            pass

    def act(self) -> None:
        self.dashboard.text.click()

    def asks_within(self, ticks: int) -> None:
        with self.page.expect_response(POLL):
            self.page.clock.run_for(ticks * TICK)
        self._is_answered()

    def passes(self, ticks: int) -> None:
        self.page.clock.run_for(ticks * TICK)


@pytest.fixture
def followed(open_browser, site, ada) -> Followed:
    page = open_browser(reduced_motion="reduce")
    page.context.add_cookies(signed_in(site.url, ada.email))
    site.api(ada).submit("Follow me")
    return Followed(page)


def test_ticks_before_their_time_are_skipped_until_somebody_acts(followed):
    followed.asks_within(1)
    followed.passes(9)
    assert len(followed.quiet) == 1

    followed.asks_within(1)
    assert followed.quiet[1] >= 30

    followed.passes(2)
    assert len(followed.quiet) == 2
    followed.act()
    followed.asks_within(1)
    assert followed.quiet[2] <= 3


def test_who_was_sent_away_waits_as_long_as_it_was_told_though_somebody_acts(followed, windows):
    followed.status, followed.headers = 503, {"Retry-After": "12", "X-Poll-Again": "12"}
    followed.asks_within(1)

    followed.act()
    followed.passes(3)
    assert len(followed.quiet) == 1

    followed.asks_within(1)
    assert len(followed.quiet) == 2
    windows.explain("503")


def test_news_make_it_ask_soon_again(site, ada, followed):
    followed.asks_within(1)
    site.api(ada).submit("And me")
    followed.status = 200
    followed.asks_within(10)
    expect(followed.dashboard.row("And me")).to_be_visible()

    followed.asks_within(1)

    assert followed.quiet[1] >= 30
    assert followed.quiet[2] == 0


def test_the_server_itself_says_how_soon(followed):
    followed.status = 200

    with followed.page.expect_response(POLL) as answer:
        followed.passes(1)

    assert answer.value.headers["x-poll-again"] == "3"
