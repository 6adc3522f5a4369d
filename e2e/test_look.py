"""Every page in light and dark, on a phone and a desktop, with and without JavaScript: accessible, valid, light."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import NoReturn

import httpx
import pytest
from playwright.sync_api import Page, Response, expect
from pypdf import PdfReader

from app.domain import errors
from app.domain.clock import utcnow
from app.domain.tasks import task_id_for
from app.web.guards import public
from e2e.pages import (
    About,
    AccountPage,
    Batch,
    Codes,
    Customer,
    Dashboard,
    Forgot,
    FrontPage,
    Queue,
    SecondStep,
    SignIn,
    SignUp,
    Statement,
    TaskPage,
    every_screen,
)
from e2e.pages import world as w
from e2e.pages.eyes import MAIL_RULES, html_problems, overflow_of, problems, shift_of, watch_shifts
from scripts.local.states.made import PASSWORD

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
    """A customer with tasks whose words do not break."""
    ada = site.states.account(credits=95)
    for words in (w.LONG_WORD, "Summarise the report " * 40, "<b>Translate</b> the letter"):
        site.api(ada).submit(words)
    return ada


def enter(page: Page, world: w.World, who: str) -> Page:
    """Become somebody: the cookies of nobody else are left.

    The page before is left first. It asks again every few seconds, is told that its session has ended, and leads its
    window to the sign-in: what is on its way there then ends with ERR_ABORTED. It is left for one of the same site, so
    that the browser goes on with the process that has its scripts and axe compiled: a quarter of what a page costs.
    """
    page.goto("/robots.txt")
    page.context.clear_cookies()
    if who:
        page.context.add_cookies([world.cookies[who]])
    return page


def visits(page: Page, world: w.World, part: Callable[[w.Visit], bool]) -> Iterator[tuple[w.Visit, Response]]:
    """Each page of a part, opened; those of one account one after the other, who is let in once."""
    inside = w.NOBODY
    for visit in sorted(filter(part, w.PAGES), key=lambda visit: visit.who):
        if visit.who == w.NOBODY or visit.who != inside:
            enter(page, world, inside := visit.who)
        yield visit, page.goto(world.path(visit))


def check(page: Page, name: str) -> None:
    assert problems(page, name) == []


# Every page


@pytest.mark.inside("the addresses that there are")
def test_every_page_of_the_url_map_is_looked_at_or_named_with_a_reason(inside):
    """Whoever adds a page adds it to e2e/pages/world.py, or says there why it is none."""
    served, visited = w.endpoints_of_pages(inside.app), {visit.endpoint for visit in w.PAGES}

    assert served - visited - set(w.NOT_PAGES) == set()
    assert (visited | set(w.NOT_PAGES)) - served == set()
    assert visited & set(w.NOT_PAGES) == set()


def test_every_page_has_its_object():
    """Whoever adds a page says in e2e/pages/ where things are on it."""
    with_object = [endpoint for screen in every_screen() for endpoint in screen.endpoints]

    assert {visit.endpoint for visit in w.PAGES} - set(with_object) == set()
    assert len(with_object) == len(set(with_object))


@pytest.mark.parametrize("part", PARTS)
def test_every_page_is_accessible_valid_and_within_its_width(world, page, part):
    found = []
    for visit, answer in visits(page, world, PARTS[part]):
        expected = 410 if visit.name.endswith("expired") and visit.who == w.NOBODY else 200
        if answer.status != expected:
            found.append(f"{visit.name}: {answer.status}")
        found += html_problems(answer.text(), visit.name) + problems(page, visit.name)

    assert found == []


def test_every_page_stays_within_a_phone_when_javascript_is_off(world, open_browser):
    page = open_browser(java_script_enabled=False, viewport={"width": 320, "height": 640})
    found = []
    for visit, _ in visits(page, world, lambda _: True):
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


@pytest.mark.parametrize("who", [w.NOBODY, w.ADA])
def test_every_footer_leads_to_who_runs_this(world, open_browser, who):
    page = open_browser(java_script_enabled=False)
    enter(page, world, who).goto("/")
    about = About(page)
    for name in ("Contact", "Terms", "Privacy"):
        about.of_footer(name)


def test_tasks_are_rows_of_one_line_from_800_pixels_up_and_begin_on_the_first_screen_of_a_phone(world, page):
    dashboard = Dashboard(enter(page, world, w.ADA)).open()
    for width, rows_in_view in ((800, 2), (960, 8), (1280, 8)):  # two have labels: a line more each
        page.set_viewport_size({"width": width, "height": 800})
        boxes = [row.bounding_box() for row in dashboard.rows.all()]
        labelled = dashboard.rows.filter(has=page.locator(".labels"))
        assert labelled.count() > 0
        assert max(row.bounding_box()["height"] for row in labelled.all()) < 80, width  # a second line, and no third
        assert sum(box["height"] >= 48 for box in boxes) == labelled.count(), width
        first_lines = [box["y"] + min(box["height"], 48) for box in boxes]
        assert sum(line <= 800 for line in first_lines) >= rows_in_view, width
    page.set_viewport_size({"width": 375, "height": 812})
    assert dashboard.rows.first.bounding_box()["y"] < 800


def test_public_forms_and_their_refusals(ada, page):
    sign_up = SignUp(page).open()
    sign_up.send_unchecked("nobody")
    expect(sign_up.password_error).to_be_visible()
    check(page, "sign-up, refused")
    sign_in = SignIn(page).open()
    sign_in.fill(ada.email, "wrong")
    expect(sign_in.alert).to_be_visible()
    check(page, "sign-in, refused")
    Forgot(page).open().ask(ada.email)
    check(page, "link mailed")


def test_what_is_wrong_is_told_at_the_top_and_a_link_leads_to_the_field(world, page):
    sign_up = SignUp(page).open()
    sign_up.send_unchecked("nobody")
    sign_up.alert.get_by_role("link", name="Password").click()
    expect(sign_up.password).to_be_focused()
    codes = Codes(enter(page, world, w.OPERATOR)).open()
    codes.send_unchecked("x", credits="ten")
    expect(page.locator("#credits-error")).to_have_text("Use a whole number, such as 100.")
    expect(page.locator("#credits")).to_have_value("ten")
    check(page, "code, refused")


def test_second_step_of_a_sign_in(world, page):
    SignIn(page).open().fill(w.COLLEAGUE)
    expect(SecondStep(page).title).to_be_visible()

    check(page, "second step")


def test_dashboard_after_a_submit(ada, page):
    dashboard = SignIn(page).enter(ada)
    dashboard.submit(w.TEXTS[0])
    expect(dashboard.row(w.TEXTS[0][:40])).to_be_visible()
    check(page, "dashboard after a submit")
    dashboard.submit(w.TEXTS[0] + " Please.")
    expect(dashboard.refusal).to_be_visible()
    expect(dashboard.draft_kept).to_be_visible()
    check(page, "dashboard, nearly the same and kept")


def test_dashboard_of_a_newcomer_and_its_refusals(site, page):
    dashboard = SignIn(page).enter(site.states.unconfirmed())
    dashboard.submit("Precious words")
    expect(dashboard.refusal).to_be_visible()
    check(page, "dashboard, 402")
    dashboard.submit("x" * 5001)
    expect(dashboard.text_error).to_be_visible()
    check(page, "dashboard, 422")
    page.keyboard.press("Escape")
    page.locator("h1").first.evaluate("heading => document.activeElement.blur()")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "keyboard help")


def test_several_tasks_before_they_are_paid_for(world, page):
    batch = Batch(enter(page, world, w.ADA)).open()
    batch.lines.fill(f"First\n{w.LONG_WORD}\nFirst\n{w.TEXTS[0]}")
    batch.preview()
    expect(batch.heading("Submit 4 tasks?")).to_be_visible()
    check(page, "batch, preview")
    batch.open().lines.fill("")  # what was typed before is there again
    batch.preview()
    expect(batch.alert).to_be_visible()
    check(page, "batch, refused")


def test_what_operators_are_asked_before_they_act(world, page):
    customer = Customer(enter(page, world, w.OPERATOR)).open(account_id=world.names["ada"])
    customer.preview_adjustment("9000", "Bought by bank transfer.")
    expect(customer.heading("Adjust this balance?")).to_be_visible()
    check(page, "adjustment, preview")
    page.goto("/admin?view=mine")
    queue = Queue(page)
    queue.ticks.first.check()
    queue.compose()
    expect(queue.heading("Complete 1 task")).to_be_visible()
    check(page, "one answer for several tasks")


def fail(inside, monkeypatch, endpoint: str, error: Exception) -> None:
    def view(**_: object) -> NoReturn:
        raise error

    monkeypatch.setitem(inside.app.view_functions, endpoint, public(view))


FAULTS = {
    "forbidden": (errors.Forbidden(), "Nothing was charged"),
    "not found": (errors.NotFound(), "Nothing was charged"),
    "too fast": (errors.RateLimited(95), "95 seconds"),
    "store down": (errors.StoreUnavailable(), "Nothing was charged by opening this page"),
    "busy": (errors.StoreBusy(), "Nothing was charged"),
    "our fault": (RuntimeError("secret detail"), "Nothing was charged by opening this page"),
}


@pytest.mark.inside("a view is made to fail")
@pytest.mark.parametrize("fault", FAULTS)
def test_error_page_says_once_what_became_of_the_credits(site, inside, open_browser, monkeypatch, fault):
    error, words = FAULTS[fault]
    fail(inside, monkeypatch, "home.index", error)
    context = open_browser(reduced_motion="reduce").context
    page = context.new_page()  # whose console may say what the status was

    answer = page.goto("/")

    text = page.locator("main").inner_text()
    assert answer.status >= 400
    assert words in text
    assert text.count("charged") == 1
    assert html_problems(answer.text(), fault) == []
    check(page, fault)


@pytest.mark.money
@pytest.mark.inside("a view is made to fail")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.StoreUnavailable(), "Nothing was charged"),
        (errors.OutcomeUnknown(), "Look at your history"),
    ],
    ids=["refused", "answer lost"],
)
def test_same_form_goes_out_again_when_the_store_has_failed(site, inside, open_browser, monkeypatch, error, words):
    """Without JavaScript the error page holds the form with its key, so that trying again charges once."""
    ada = site.states.account(credits=100)
    page = open_browser(java_script_enabled=False).context.new_page()
    dashboard = SignIn(page).enter(ada)
    with monkeypatch.context() as patched:
        fail(inside, patched, "tasks.submit", error)
        dashboard.submit("Precious words")
        expect(page.locator("main")).to_contain_text(words)
        assert html_problems(page.content(), words) == []  # axe would wait for ever for its promises
        assert ("Look at your history" in page.locator("main").inner_text()) is (words == "Look at your history")
    key = page.locator("[name=request_id]").input_value()

    page.get_by_role("button", name="Send it again").click()

    expect(page.get_by_role("heading", name="Precious words")).to_be_visible()
    assert [amount for _, amount in site.api(ada).entries()] == [100, -10]
    assert site.api(ada).tasks()[0]["task_id"] == task_id_for(ada.email, key)


@pytest.mark.inside("every mail that was sent")
def test_mails_are_accessible(inside, world, open_browser):
    page = open_browser(reduced_motion="reduce")
    kinds = {mail["subject"].partition(":")[0]: mail for mail in inside.mails()}
    assert len(kinds) >= 4
    found = []
    for subject, mail in kinds.items():
        page.set_content(mail["html"])
        found += problems(page, subject, MAIL_RULES)
        assert mail["text"].strip()
        assert inside.url in mail["text"]

    assert found == []


def test_statement_prints_without_the_frame(world, page):
    statement = Statement(enter(page, world, w.ADA)).open(month=world.names["month"])
    page.emulate_media(media="print")

    for frame in (".top", ".foot", "[data-print]", ".crumbs"):
        expect(page.locator(frame).first).to_be_hidden()
    expect(statement.closing_balance).to_be_visible()


@pytest.mark.chromium("makes a PDF of what it would print")
def test_a_long_statement_prints_its_sums_once_and_numbers_its_sheets(site, page):
    made = site.states.tasks(credits=1000, pending=70, text="Summarise the report")
    site.api(made).submit("An essay. " * 250)
    SignIn(page).enter(made)
    statement = Statement(page).open(month=f"{utcnow():%Y-%m}")
    sheets = [sheet.extract_text() for sheet in PdfReader(io.BytesIO(page.pdf(format="A4"))).pages]

    rows = [sheet.count("Summarise") for sheet in sheets]
    assert sum(rows) == 70
    assert 3 <= len(sheets) <= 4, rows
    assert [sheet.count("Went out") for sheet in sheets] == [0] * (len(sheets) - 1) + [1]
    assert all(sheet.count("Balance") == 1 for sheet in sheets)  # the head of the table
    assert all(f"{number} of {len(sheets)}" in sheet for number, sheet in enumerate(sheets, 1))
    assert any("Task: An essay" in sheet and "Summarise" in sheet for sheet in sheets)  # it does not begin a sheet
    with page.expect_download() as download:
        statement.pdf_link.click()
    assert download.value.suggested_filename == f"impacteragi-statement-{utcnow():%Y-%m}.pdf"
    file = "".join(sheet.extract_text() for sheet in PdfReader(download.value.path()).pages)
    assert file.count("Summarise") == 70


def test_a_statement_prints_black_on_white_from_the_dark_theme(world, page):
    Statement(enter(page, world, w.ADA)).open(month=world.names["month"])
    colours = "element => [getComputedStyle(element).backgroundColor, getComputedStyle(element).color]"
    for theme in ("system", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        page.emulate_media(media="screen", color_scheme="dark")
        assert page.locator("body").evaluate(colours)[0] != "rgb(255, 255, 255)"
        page.emulate_media(media="print", color_scheme="dark")
        assert page.locator("body").evaluate(colours) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"], theme


# Small things that need a browser


def test_keys_lead_where_the_help_says_and_can_be_switched_off(world, page):
    dashboard = Dashboard(enter(page, world, w.ADA)).open()
    page.keyboard.press("n")
    expect(dashboard.text).to_be_focused()
    page.keyboard.type("/?")  # while writing they are letters
    expect(dashboard.text).to_have_value("/?")
    dashboard.text.blur()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.locator("#q").blur()
    for key, path in (("c", "/credits"), ("t", "/transactions"), ("a", "/account"), ("d", "/dashboard")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"**{path}", wait_until="load")

    account = AccountPage(page).open()
    account.shortcuts.uncheck()
    account.save_settings()
    expect(account.status.first).to_contain_text("aved")
    page.keyboard.press("?")

    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.chromium("reads its clipboard")
def test_result_is_copied_as_it_was_written(world, open_browser):
    page = open_browser(permissions=["clipboard-read", "clipboard-write"])
    task = TaskPage(enter(page, world, w.ADA)).open(task_id=world.names["completed"])

    task.button("Copy").click()

    expect(task.button("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == w.RESULT
    assert task.text_of_file("Download") == w.RESULT


# What a first visit costs over the wire


@pytest.fixture
def wire(page) -> Callable[[], int]:
    """Compressed bytes of the bodies that this page has fetched so far."""
    return _counted(page)


@pytest.mark.smoke
@pytest.mark.parametrize("screen", [FrontPage, SignIn, SignUp, Forgot])
def test_public_page_costs_at_most_10_kb(site, page, wire, screen):
    page.goto(screen.path, wait_until="networkidle")

    assert 1024 < wire() <= 10 * 1024


@pytest.mark.parametrize(("tasks", "most"), [(0, 16), (1, 20)], ids=["nothing awaited", "a task followed"])
def test_dashboard_costs_at_most(site, open_browser, tasks, most):
    """From nothing: a new browser that holds the session alone."""
    ada = site.states.account(credits=100)
    for number in range(tasks):
        site.api(ada).submit(f"Task {number}")
    first = open_browser()
    SignIn(first).enter(ada)
    cookies = first.context.cookies()
    fresh = open_browser()
    fresh.context.add_cookies(cookies)
    wire = _counted(fresh)

    fresh.goto("/dashboard", wait_until="networkidle")

    assert 8 * 1024 < wire() <= most * 1024


def test_fragment_costs_at_most_two_and_a_half_kb(site, ada):
    """The body of a submit's answer and of a changed poll, as a browser asks for them."""
    with httpx.Client(base_url=site.url, trust_env=False, headers={"Accept-Encoding": "gzip"}) as browser:
        token = _field(browser.get("/login").text, "csrf_token")
        browser.post("/login", data={"csrf_token": token, "email": ada.email, "password": PASSWORD})
        token = _field(browser.get("/dashboard").text, "csrf_token")
        fragment = {"HX-Request": "true"}

        submitted = browser.post(
            "/tasks", data={"csrf_token": token, "description": "Words", "request_id": "r"}, headers=fragment
        )
        polled = browser.get("/dashboard/live", headers=fragment)
        tag = re.search('data-hx-ptag="([^"]+)"', polled.text)[1]
        unchanged = browser.get("/dashboard/live", headers=fragment | {"HX-PTag": tag})

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
