"""Every page in light and dark, on a phone and a desktop, with and without JavaScript: accessible, valid, light."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.domain import errors
from app.domain.tasks import task_id_for
from app.services import tasks
from app.services.links import RESET, SET_PASSWORD
from app.web.guards import public
from e2e.pages import world as w
from e2e.pages.eyes import MAIL_RULES, html_problems, overflow_of, problems, shift_of, watch_shifts
from e2e.pages.sign_in import sign_in
from tests.support import NOW, PASSWORD, ledger, make_account

EMAIL = w.ADA
PARTS = {
    "for anybody": lambda visit: visit.who == w.NOBODY,
    "dashboard and tasks": lambda visit: visit.who != w.NOBODY and visit.endpoint.startswith(("dashboard", "tasks")),
    "credits and account": lambda visit: (
        visit.who != w.NOBODY and not visit.endpoint.startswith(("dashboard", "tasks", "admin"))
    ),
    "operators": lambda visit: visit.endpoint.startswith("admin"),
}


@pytest.fixture
def page(open_browser) -> Page:
    """Without motion: a change of the width in the middle of a transition would end it with a line on the console."""
    return open_browser(reduced_motion="reduce")


@pytest.fixture
def ada(site):
    """A customer with a history of every state, and words that do not break."""
    account = make_account(site.store, EMAIL, credits=95, link_nonces={RESET: "r", SET_PASSWORD: "s"})
    for words in (w.LONG_WORD, "Summarise the report " * 40, "<b>Translate</b> the letter"):
        task = tasks.submit(site.store, account, words, now=NOW).task
    return site.store.accounts.get(EMAIL), task


def enter(page: Page, world: w.World, who: str) -> Page:
    """Become somebody: the cookies of nobody else are left."""
    page.context.clear_cookies()
    if who:
        page.context.add_cookies([world.cookies[who]])
    return page


def check(page: Page, name: str) -> None:
    assert problems(page, name) == []


# Every page


def test_every_page_of_the_url_map_is_looked_at_or_named_with_a_reason(running):
    """Whoever adds a page adds it to e2e/pages/world.py, or says there why it is none."""
    served, visited = w.endpoints_of_pages(running.app), {visit.endpoint for visit in w.PAGES}

    assert served - visited - set(w.NOT_PAGES) == set()
    assert (visited | set(w.NOT_PAGES)) - served == set()
    assert visited & set(w.NOT_PAGES) == set()


@pytest.mark.parametrize("part", PARTS)
def test_every_page_is_accessible_valid_and_within_its_width(world, page, part):
    found = []
    for visit in filter(PARTS[part], w.PAGES):
        enter(page, world, visit.who)
        answer = page.goto(world.path(visit))
        expected = 410 if visit.name.endswith("expired") and visit.who == w.NOBODY else 200
        if answer.status != expected:
            found.append(f"{visit.name}: {answer.status}")
        found += html_problems(answer.text(), visit.name) + problems(page, visit.name)

    assert found == []


def test_every_page_stays_within_a_phone_when_javascript_is_off(world, open_browser):
    page = open_browser(java_script_enabled=False, viewport={"width": 320, "height": 640})
    found = []
    for visit in w.PAGES:
        enter(page, world, visit.who).goto(world.path(visit))
        if overflow_of(page) > 0:
            found.append(f"{visit.name}: {overflow_of(page)} px too wide")

    assert found == []


@pytest.mark.parametrize("name", ["front page", "dashboard", "task, completed", "task, pending", "credits"])
def test_nothing_moves_while_a_page_loads(world, open_browser, name):
    (visit,) = (visit for visit in w.PAGES if visit.name == name)
    for width in (320, 1200):
        page = open_browser(viewport={"width": width, "height": 900})
        watch_shifts(page.context)

        enter(page, world, visit.who).goto(world.path(visit), wait_until="networkidle")

        assert shift_of(page) <= 0.01, f"{name}, {width} px"


# What a form or a fault answers


def test_public_forms_and_their_refusals(site, ada, page):
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


def test_second_step_of_a_sign_in(world, page):
    page.goto("/login")
    page.get_by_label("E-mail", exact=True).fill(w.COLLEAGUE)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()

    check(page, "second step")


def test_dashboard_after_a_submit(site, ada, page):
    dashboard = sign_in(page)
    dashboard.submit(w.TEXTS[0])
    expect(dashboard.row(w.TEXTS[0][:40])).to_be_visible()
    check(page, "dashboard after a submit")
    dashboard.submit(w.TEXTS[0] + " Please.")
    expect(dashboard.alert).to_be_visible()
    check(page, "dashboard, nearly the same")


def test_dashboard_of_a_newcomer_and_its_refusals(site, page):
    make_account(site.store, EMAIL, confirmed_at=None)
    dashboard = sign_in(page)
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


def test_several_tasks_before_they_are_paid_for(world, page):
    enter(page, world, w.ADA).goto("/tasks/batch")
    page.get_by_label("One task on each line").fill(f"First\n{w.LONG_WORD}\nFirst\n{w.TEXTS[0]}")
    page.get_by_role("button", name="See the total").click()
    expect(page.get_by_role("heading", name="Submit 4 tasks?")).to_be_visible()
    check(page, "batch, preview")
    page.goto("/tasks/batch")
    page.get_by_role("button", name="See the total").click()
    expect(page.get_by_role("alert")).to_be_visible()
    check(page, "batch, refused")


def test_what_operators_are_asked_before_they_act(world, page):
    enter(page, world, w.OPERATOR).goto(f"/admin/customers/{world.names['ada']}")
    page.get_by_label("Credits", exact=True).fill("9000")
    page.get_by_label("Reason", exact=True).first.fill("Bought by bank transfer.")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="Adjust this balance?")).to_be_visible()
    check(page, "adjustment, preview")
    page.goto("/admin?view=mine")
    page.locator("#queue [type=checkbox]").first.check()
    page.get_by_role("button", name="Complete…").click()
    expect(page.get_by_role("heading", name="Complete 1 task")).to_be_visible()
    check(page, "one answer for several tasks")


def fail(site, monkeypatch, endpoint: str, error: Exception) -> None:
    def view(**_: object) -> NoReturn:
        raise error

    monkeypatch.setitem(site.app.view_functions, endpoint, public(view))


FAULTS = {
    "forbidden": (errors.Forbidden(), "Nothing was charged"),
    "not found": (errors.NotFound(), "Nothing was charged"),
    "too fast": (errors.RateLimited(95), "95 seconds"),
    "store down": (errors.StoreUnavailable(), "Nothing was charged by opening this page"),
    "busy": (errors.StoreBusy(), "Nothing was charged"),
    "our fault": (RuntimeError("secret detail"), "Nothing was charged by opening this page"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_error_page_says_once_what_became_of_the_credits(site, open_browser, monkeypatch, fault):
    error, words = FAULTS[fault]
    fail(site, monkeypatch, "home.index", error)
    context = open_browser(reduced_motion="reduce").context
    page = context.new_page()  # whose console may say what the status was

    answer = page.goto("/")

    text = page.locator("main").inner_text()
    assert answer.status >= 400
    assert words in text
    assert text.count("charged") == 1
    assert html_problems(answer.text(), fault) == []
    check(page, fault)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.StoreUnavailable(), "Nothing was charged"),
        (errors.OutcomeUnknown(), "Look at your history"),
    ],
    ids=["refused", "answer lost"],
)
def test_same_form_goes_out_again_when_the_store_has_failed(site, open_browser, monkeypatch, error, words):
    """Without JavaScript the error page holds the form with its key, so that trying again charges once."""
    make_account(site.store, EMAIL, credits=100)
    page = open_browser(java_script_enabled=False).context.new_page()
    dashboard = sign_in(page)
    with monkeypatch.context() as patched:
        fail(site, patched, "tasks.submit", error)
        dashboard.submit("Precious words")
        expect(page.locator("main")).to_contain_text(words)
        assert html_problems(page.content(), words) == []  # axe would wait for ever for its promises
        assert ("Look at your history" in page.locator("main").inner_text()) is (words == "Look at your history")
    key = page.locator("[name=request_id]").input_value()

    page.get_by_role("button", name="Send it again").click()

    expect(page.get_by_role("heading", name="Precious words")).to_be_visible()
    assert [entry.amount for entry in ledger(site.store, EMAIL)] == [100, -10]
    assert site.store.tasks.page(EMAIL, limit=5).items[0].task_id == task_id_for(EMAIL, key)


def test_mails_are_accessible(running, world, open_browser):
    page = open_browser(reduced_motion="reduce")
    kinds = {mail["subject"].partition(":")[0]: mail for mail in running.mails()}
    assert len(kinds) >= 4
    found = []
    for subject, mail in kinds.items():
        page.set_content(mail["html"])
        found += problems(page, subject, MAIL_RULES)
        assert mail["text"].strip()
        assert running.url in mail["text"]

    assert found == []


def test_statement_prints_without_the_frame(world, page):
    enter(page, world, w.ADA).goto(world.path(w.Visit("", "", "/transactions/statement/{month}", w.ADA)))
    page.emulate_media(media="print")

    for frame in (".top", ".foot", "[data-print]", ".crumbs"):
        expect(page.locator(frame).first).to_be_hidden()
    expect(page.get_by_text("Closing balance")).to_be_visible()


# Small things that need a browser


def test_keys_lead_where_the_help_says_and_can_be_switched_off(world, page):
    enter(page, world, w.ADA).goto("/dashboard", wait_until="load")
    page.keyboard.press("n")
    expect(page.locator("#description")).to_be_focused()
    page.keyboard.type("/?")  # while writing they are letters
    expect(page.locator("#description")).to_have_value("/?")
    page.locator("#description").blur()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.locator("#q").blur()
    for key, path in (("c", "/credits"), ("t", "/transactions"), ("a", "/account"), ("d", "/dashboard")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"**{path}", wait_until="load")

    page.goto("/account")
    page.get_by_label("Single keys work as shortcuts").uncheck()
    page.get_by_role("button", name="Save settings").click()
    expect(page.get_by_role("status").first).to_contain_text("aved")
    page.keyboard.press("?")

    expect(page.get_by_role("dialog")).to_have_count(0)


def test_result_is_copied_as_it_was_written(world, open_browser):
    page = open_browser(permissions=["clipboard-read", "clipboard-write"])
    enter(page, world, w.ADA).goto(f"/tasks/{world.names['completed']}", wait_until="load")

    page.get_by_role("button", name="Copy").click()

    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == w.RESULT
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_text() == w.RESULT


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
            "/dashboard/live", headers=fragment | {"HX-PTag": str(site.store.accounts.get(EMAIL).version)}
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
