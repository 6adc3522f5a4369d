"""Every screen of the journey in light and dark, on a phone and a desktop: accessible, within its width, and light."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from app.services import tasks
from app.services.links import RESET, SET_PASSWORD
from e2e.pages.sign_in import sign_in
from tests.support import NOW, PASSWORD, make_account

EMAIL = "ada@example.com"
WIDTHS = (320, 1200)
SCHEMES = ("light", "dark")
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2


@pytest.fixture
def page(open_browser) -> Page:
    """Without motion: a change of the width in the middle of a transition would end it with a line on the console."""
    return open_browser(reduced_motion="reduce")


@pytest.fixture
def ada(site):
    """A customer with a history of every state, and words that do not break."""
    account = make_account(site.store, EMAIL, credits=95, link_nonces={RESET: "r", SET_PASSWORD: "s"})
    for words in (LONG_WORD, "Summarise the report " * 40, "<b>Translate</b> the letter"):
        task = tasks.submit(site.store, account, words, now=NOW).task
    return site.store.get_account(EMAIL), task


def check(page: Page, name: str) -> None:
    """No violation of axe and no sideways scrolling, at each width and in each scheme."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            where = f"{name}, {width} px, {scheme}"
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, f"{where}: {overflow} px too wide"
            found = Axe().run(page)
            assert found.violations_count == 0, f"{where}:\n{found.generate_report()}"


def test_public_pages_and_their_errors(site, ada, page):
    account, _ = ada
    links = site.app.extensions["impacteragi"].links
    for path in ("/", "/login", "/signup", "/forgot", "/reset/x", "/confirm/x", "/set-password/x", "/nothing"):
        page.goto(path)
        check(page, path)
    for purpose in (RESET, SET_PASSWORD):
        page.goto(links.url(account, purpose))
        check(page, purpose)
    page.goto("/signup")
    page.locator("form.card").evaluate("form => form.noValidate = true")
    page.get_by_label("E-mail", exact=True).fill("nobody")
    page.locator("form.card .button").click()
    expect(page.locator("#password-error")).to_be_visible()
    check(page, "sign-up, refused")
    page.goto("/login")
    page.get_by_label("E-mail", exact=True).fill(EMAIL)
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    check(page, "sign-in, refused")
    page.goto("/forgot")
    page.get_by_label("E-mail", exact=True).fill(EMAIL)
    page.locator("form.card .button").click()
    expect(page.get_by_role("heading", name="Look in your mailbox")).to_be_visible()
    check(page, "link mailed")


def test_dashboard_with_a_history_and_after_a_submit(site, ada, page):
    dashboard = sign_in(page)
    check(page, "dashboard")
    dashboard.submit("Another one")
    expect(dashboard.row("Another one")).to_be_visible()
    check(page, "dashboard after a submit")
    page.goto(f"/tasks/{ada[1].task_id}")
    check(page, "task")


def test_dashboard_of_a_newcomer_and_its_refusals(site, page):
    make_account(site.store, EMAIL, confirmed_at=None)
    dashboard = sign_in(page)
    check(page, "dashboard, empty")
    dashboard.submit("Precious words")
    expect(dashboard.alert).to_be_visible()
    check(page, "dashboard, 402")
    dashboard.submit("x" * 5001)
    expect(page.locator("#description-error")).to_be_visible()
    check(page, "dashboard, 422")
    page.keyboard.press("Escape")
    page.locator("h1").first.evaluate("heading => document.activeElement.blur()")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "keyboard help")


def test_dashboard_of_a_customer_who_owes(site, page):
    make_account(site.store, EMAIL, credits=-400)
    dashboard = sign_in(page)
    expect(dashboard.balance).to_contain_text("400")
    check(page, "dashboard, owing")


# What a first visit costs over the wire


@pytest.fixture
def wire(page) -> Callable[[], int]:
    """Compressed bytes of the bodies that this page has fetched so far."""
    return _counted(page)


@pytest.mark.parametrize("path", ["/", "/login", "/signup", "/forgot"])
def test_public_page_costs_at_most_10_kb(site, page, wire, path):
    page.goto(path, wait_until="networkidle")

    assert 1024 < wire() <= 10 * 1024


def test_dashboard_costs_at_most_30_kb(site, ada, open_browser):
    """From nothing: a new browser that holds the session alone."""
    first = open_browser()
    sign_in(first)
    cookies = first.context.cookies()
    fresh = open_browser()
    fresh.context.add_cookies(cookies)
    wire = _counted(fresh)

    fresh.goto("/dashboard", wait_until="networkidle")

    assert 15 * 1024 < wire() <= 30 * 1024


def test_fragment_costs_at_most_two_and_a_half_kb(site, ada):
    """The body of a submit's answer and of a changed poll, as a browser asks for them."""
    with httpx.Client(base_url=site.url, trust_env=False, headers={"Accept-Encoding": "gzip"}) as browser:
        token = _field(browser.get("/login").text, "csrf_token")
        browser.post("/login", data={"csrf_token": token, "email": EMAIL, "password": PASSWORD})
        token = _field(browser.get("/dashboard").text, "csrf_token")
        fragment = {"HX-Request": "true"}

        submitted = browser.post(
            "/tasks", data={"csrf_token": token, "description": "Words", "request_id": "r"}, headers=fragment
        )
        polled = browser.get("/dashboard/live", headers=fragment)
        unchanged = browser.get(
            "/dashboard/live", headers=fragment | {"HX-PTag": str(site.store.get_account(EMAIL).version)}
        )

    for answer in (submitted, polled):
        assert answer.status_code == 200
        assert answer.headers["Content-Encoding"] == "gzip"
        assert int(answer.headers["Content-Length"]) <= 2.5 * 1024
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def _counted(page: Page) -> Callable[[], int]:
    finished = []
    page.on("requestfinished", lambda request: finished.append(request))
    return lambda: sum(request.sizes()["responseBodySize"] for request in finished)


def _field(html: str, name: str) -> str:
    from bs4 import BeautifulSoup

    return str(BeautifulSoup(html, "html5lib").select_one(f"input[name={name}]")["value"])
