"""The whole customer journey in a real browser under the production policy: with JavaScript and without."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.pages.dashboard import Dashboard
from e2e.pages.sign_in import set_password, sign_in, sign_up
from tests.support import PASSWORD, every_task, ledger, make_account, session_event

EMAIL = "ada@example.com"
NEW_PASSWORD = "a wholly new passphrase"


def link_in(mail: dict, site) -> str:
    (link,) = set(re.findall(rf"{site.url}/(?:set-password|reset|confirm)/\S+", mail["text"]))
    return link


@pytest.fixture(params=["with JavaScript", "without JavaScript"])
def any_page(request, open_browser) -> Page:
    return open_browser(java_script_enabled=request.param == "with JavaScript")


def test_a_payer_gets_a_mail_sets_a_password_and_submits(site, any_page):
    assert site.webhook(session_event("Ada@Example.com", session="cs_1")) == 200
    (mail,) = site.mails()
    assert "1,000" in mail["text"]

    dashboard = set_password(any_page, link_in(mail, site), NEW_PASSWORD)
    dashboard.expect_balance("1,000")
    dashboard.submit("Summarise the report")

    expect(any_page.get_by_text("Summarise the report").first).to_be_visible()
    dashboard.open().expect_balance("990")
    expect(dashboard.row("Summarise the report")).to_contain_text("Pending")
    dashboard.sign_out()
    sign_in(any_page, EMAIL, NEW_PASSWORD).expect_balance("990")
    assert [(e.type, e.amount) for e in ledger(site.store, EMAIL)] == [("purchase", 1000), ("spend", -10)]


def test_a_newcomer_has_no_credits_and_a_clear_way_on(site, any_page):
    sign_up(any_page, "new@example.com").sign_out()

    dashboard = sign_in(any_page, "new@example.com")
    dashboard.expect_balance("0")
    dashboard.submit("Precious words")

    expect(dashboard.alert).to_contain_text("You have 0 credits, a task costs 10.")
    expect(dashboard.text).to_have_value("Precious words")
    dashboard.alert.get_by_role("button", name="Buy credits and keep this text").click()
    expect(any_page.get_by_role("button", name=re.compile("Buy for"))).not_to_have_count(0)
    dashboard.open()
    expect(dashboard.text).to_have_value("Precious words")
    assert every_task(site.store) == []


def test_submit_changes_row_and_balance_in_place(site, page):
    make_account(site.store, credits=1000)
    dashboard = sign_in(page)
    page.evaluate("document.body.dataset.same = 'page'")

    dashboard.submit("First words")
    expect(dashboard.row("First words")).to_be_visible()
    dashboard.expect_balance("990")
    dashboard.submit("Second words")
    expect(dashboard.row("Second words")).to_be_visible()

    dashboard.expect_balance("980")
    expect(dashboard.rows).to_have_count(2)
    expect(dashboard.rows.first).to_contain_text("Second words")
    expect(dashboard.text).to_have_value("")
    expect(page.locator("body")).to_have_attribute("data-same", "page")
    assert len(every_task(site.store)) == 2


def test_one_charge_when_the_button_is_clicked_twice(site, any_page):
    make_account(site.store, credits=100)
    dashboard = sign_in(any_page)

    dashboard.text.fill("Charge me one time")
    dashboard.button.dblclick(no_wait_after=True)

    expect(any_page.locator("#task-rows li, #task").filter(has_text="Charge me one time")).to_be_visible()
    dashboard.open().expect_balance("90")
    expect(dashboard.rows).to_have_count(1)
    assert len(every_task(site.store)) == 1


def test_one_charge_when_one_form_is_sent_from_the_keyboard_and_by_a_click(site, page):
    make_account(site.store, credits=100)
    dashboard = sign_in(page)

    dashboard.text.fill("Once")
    dashboard.text.press("Control+Enter")
    expect(dashboard.row("Once")).to_be_visible()

    dashboard.expect_balance("90")
    assert len(every_task(site.store)) == 1


def test_page_follows_by_itself_after_the_first_submit(site, page):
    """The poll starts with the first open task, and brings what happened elsewhere."""
    make_account(site.store, credits=100)
    dashboard = sign_in(page)
    dashboard.submit("Wait for it")
    expect(dashboard.row("Wait for it")).to_be_visible()

    site.webhook(session_event(EMAIL, session="cs_1"))

    dashboard.expect_balance("1,090")
    expect(dashboard.row("Wait for it")).to_be_visible()


def test_poll_leaves_the_text_and_the_focus_alone(site, page):
    make_account(site.store, credits=100)
    dashboard = sign_in(page)
    dashboard.submit("Open")
    expect(dashboard.row("Open")).to_be_visible()

    dashboard.text.fill("half a thou")
    site.webhook(session_event(EMAIL, session="cs_1"))
    dashboard.expect_balance("1,090")
    page.keyboard.type("ght")

    expect(dashboard.text).to_have_value("half a thought")
    expect(dashboard.text).to_be_focused()


def test_nothing_is_asked_while_nothing_is_open(site, page):
    make_account(site.store, credits=100)
    polls = []
    page.on("request", lambda request: polls.append(request.url) if "/live" in request.url else None)
    dashboard = sign_in(page)

    expect(page.locator("#live")).not_to_have_attribute("data-hx-trigger", re.compile("."))
    dashboard.submit("Now")
    with page.expect_request("**/dashboard/live**"):
        pass

    assert polls


def test_error_stands_beside_the_field_and_goes_when_it_is_mended(site, page):
    make_account(site.store, credits=100)
    dashboard = sign_in(page)

    dashboard.submit("x" * 5001)
    expect(page.locator("#description-error")).to_contain_text("5,001")
    expect(dashboard.text).to_have_attribute("aria-invalid", "true")
    dashboard.submit("Short enough")

    expect(dashboard.row("Short enough")).to_be_visible()
    expect(page.locator("#description-error")).to_have_count(0)


def test_search_narrows_the_list_and_stays_in_the_address(site, page):
    make_account(site.store, credits=100)
    dashboard = sign_in(page)
    for words in ("Translate the letter", "Summarise the report"):
        dashboard.submit(words)
        expect(dashboard.row(words)).to_be_visible()

    page.get_by_label("Search your tasks").fill("letter")

    expect(dashboard.rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"q=letter"))
    page.reload()
    expect(dashboard.rows).to_have_count(1)


def test_signed_out_page_keeps_the_text_and_says_so(site, page):
    make_account(site.store, credits=100)
    dashboard = sign_in(page)
    dashboard.text.fill("Precious words")
    site.store.updates.accounts.change(site.store.accounts.get(EMAIL), sessions={})

    dashboard.button.click()
    expect(page.locator("#toasts")).to_contain_text("You were signed out.")
    expect(dashboard.text).to_have_value("Precious words")

    page.goto("/login")
    page.get_by_label("E-mail", exact=True).fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    page.goto("/unsent")
    expect(page.get_by_label("Task", exact=True)).to_have_value("Precious words")


def test_back_shows_nothing_after_sign_out(site, page):
    make_account(site.store, credits=100)
    dashboard = sign_in(page)
    dashboard.submit("Private words")
    expect(dashboard.row("Private words")).to_be_visible()

    dashboard.sign_out()
    page.go_back()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Private words")).to_have_count(0)


def test_markup_in_a_task_runs_nowhere(site, page):
    make_account(site.store, credits=100)
    dashboard = sign_in(page)
    text = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

    dashboard.submit(text)

    expect(dashboard.rows).to_have_count(1)
    expect(dashboard.rows.first).to_contain_text("<img src=x")
    expect(page).not_to_have_title("owned")
    page.reload()
    expect(dashboard.rows.first).to_contain_text("<script>")
    expect(page).not_to_have_title("owned")


def test_forgotten_password_is_set_anew_and_ends_the_other_browser(site, open_browser):
    make_account(site.store, credits=100)
    here, elsewhere = open_browser(), open_browser()
    there = sign_in(elsewhere)

    here.goto("/login")
    here.get_by_role("link", name="Forgot it?").click()
    here.get_by_label("E-mail", exact=True).fill(EMAIL)
    here.locator("main form button").click()
    expect(here.get_by_role("heading", name="Look in your mailbox")).to_be_visible()
    (mail,) = site.mails()
    here.goto(link_in(mail, site))
    here.locator("input[type=password]").first.fill(NEW_PASSWORD)
    here.locator("main form button[type=submit], main form .act button").first.click()

    expect(Dashboard(here).balance).to_have_text("100 credits")
    there.page.reload()
    expect(elsewhere.get_by_role("heading", name="Sign in")).to_be_visible()
