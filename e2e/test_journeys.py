"""The whole customer journey in a real browser under the production policy: with JavaScript and without."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from e2e.pages import AccountPage, ApiKeys, Credits, Dashboard, Forgot, NewAddress, SetPassword, SignIn, SignUp, Unsent
from e2e.pages.dashboard import POLL
from scripts.local.states.made import PASSWORD

NEW_PASSWORD = "a wholly new passphrase"


def link_in(mail: dict, site) -> str:
    (link,) = set(re.findall(rf"{site.url}/(?:set-password|reset|confirm|address/agree)/\S+", mail["text"]))
    return link


@pytest.fixture(params=["with JavaScript", "without JavaScript"])
def any_page(request, open_browser) -> Page:
    return open_browser(java_script_enabled=request.param == "with JavaScript")


@pytest.fixture
def ada(site):
    return site.states.account(credits=100)


def buy(site, email: str) -> None:
    """1,000 credits, as by a payment link: without a browser."""
    site.stripe.control("payment_link", {"email": email, "amount": 1000, "sells": "credits"})


def status_of_webhook(site, email: str) -> int:
    """What the app answered when it was told of this address's payment."""
    site.stripe.wait_until_idle()
    told = site.stripe.events("checkout.session.completed")
    (event,) = (event for event in told if event["data"]["object"]["customer_details"]["email"] == email)
    (delivery,) = site.stripe.control(f"deliveries?event={event['id']}")["deliveries"]
    return delivery["attempts"][-1]["status"]


@pytest.mark.smoke
@pytest.mark.money
def test_a_payer_gets_a_mail_sets_a_password_and_submits(site, any_page):
    email = site.address("ada")
    buy(site, email.replace("ada", "Ada"))
    assert status_of_webhook(site, email.replace("ada", "Ada")) == 200
    mail = site.mail_to(email)
    assert "1,000" in mail["text"]

    dashboard = SetPassword(any_page).first(link_in(mail, site), NEW_PASSWORD)
    dashboard.expect_balance("1,000")
    dashboard.submit("Summarise the report")

    expect(any_page.get_by_text("Summarise the report").first).to_be_visible()
    dashboard.open().expect_balance("990")
    expect(dashboard.row("Summarise the report")).to_contain_text("Pending")
    dashboard.sign_out()
    SignIn(any_page).enter(email, NEW_PASSWORD).expect_balance("990")
    assert site.api(email, NEW_PASSWORD).entries() == [("purchase", 1000), ("spend", -10)]


@pytest.mark.smoke
def test_a_newcomer_has_no_credits_and_a_clear_way_on(site, any_page):
    email = site.address("new")
    SignUp(any_page).enter(email).sign_out()

    dashboard = SignIn(any_page).enter(email)
    dashboard.expect_balance("0")
    dashboard.submit("Precious words")

    expect(dashboard.refusal).to_contain_text("You have 0 credits, a task costs 10.")
    expect(dashboard.text).to_have_value("Precious words")
    dashboard.buy_and_keep_the_text()
    expect(Credits(any_page).packs).not_to_have_count(0)
    dashboard.open()
    expect(dashboard.text).to_have_value("Precious words")
    assert site.api(email).tasks() == []


@pytest.mark.smoke
@pytest.mark.money
def test_submit_changes_row_and_balance_in_place(site, page):
    ada = site.states.account(credits=1000)
    dashboard = SignIn(page).enter(ada)
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
    assert len(site.api(ada).tasks()) == 2


@pytest.mark.money
def test_one_charge_when_the_button_is_clicked_twice(site, ada, any_page):
    dashboard = SignIn(any_page).enter(ada)

    dashboard.text.fill("Charge me one time")
    dashboard.submit_button.dblclick(no_wait_after=True)

    expect(any_page.locator("#task-rows li, #task").filter(has_text="Charge me one time")).to_be_visible()
    dashboard.open().expect_balance("90")
    expect(dashboard.rows).to_have_count(1)
    assert len(site.api(ada).tasks()) == 1


@pytest.mark.money
def test_one_charge_when_one_form_is_sent_from_the_keyboard_and_by_a_click(site, ada, page):
    dashboard = SignIn(page).enter(ada)

    dashboard.text.fill("Once")
    dashboard.text.press("Control+Enter")
    expect(dashboard.row("Once")).to_be_visible()

    dashboard.expect_balance("90")
    assert len(site.api(ada).tasks()) == 1


def test_page_follows_by_itself_after_the_first_submit(site, ada, page):
    """The poll starts with the first open task, and brings what happened elsewhere."""
    dashboard = SignIn(page).enter(ada)
    dashboard.submit("Wait for it")
    expect(dashboard.row("Wait for it")).to_be_visible()

    buy(site, ada.email)

    dashboard.expect_balance("1,090")
    expect(dashboard.row("Wait for it")).to_be_visible()


def test_poll_leaves_the_text_and_the_focus_alone(site, ada, page):
    dashboard = SignIn(page).enter(ada)
    dashboard.submit("Open")
    expect(dashboard.row("Open")).to_be_visible()

    dashboard.text.fill("half a thou")
    buy(site, ada.email)
    dashboard.expect_balance("1,090")
    page.keyboard.type("ght")

    expect(dashboard.text).to_have_value("half a thought")
    expect(dashboard.text).to_be_focused()


def test_nothing_is_asked_while_nothing_is_open(ada, page):
    polls = []
    page.on("request", lambda request: polls.append(request.url) if "/live" in request.url else None)
    dashboard = SignIn(page).enter(ada)

    expect(dashboard.live).not_to_have_attribute("data-hx-trigger", re.compile("."))
    dashboard.submit("Now")
    with page.expect_request(POLL):
        pass

    assert polls


def test_error_stands_beside_the_field_and_goes_when_it_is_mended(ada, page):
    dashboard = SignIn(page).enter(ada)

    dashboard.submit("x" * 5001)
    expect(dashboard.text_error).to_contain_text("5,001")
    expect(dashboard.text).to_have_attribute("aria-invalid", "true")
    dashboard.submit("Short enough")

    expect(dashboard.row("Short enough")).to_be_visible()
    expect(dashboard.text_error).to_have_count(0)


def test_search_narrows_the_list_and_stays_in_the_address(ada, page):
    dashboard = SignIn(page).enter(ada)
    for words in ("Translate the letter", "Summarise the report"):
        dashboard.submit(words)
        expect(dashboard.row(words)).to_be_visible()

    dashboard.search.fill("letter")

    expect(dashboard.rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"q=letter"))
    page.reload()
    expect(dashboard.rows).to_have_count(1)
    dashboard.status.select_option("completed")
    expect(dashboard.rows).to_have_count(0)
    expect(page).to_have_url(re.compile(r"q=letter&status=completed"))


def test_signed_out_page_keeps_the_text_and_says_so(ada, page, open_browser):
    dashboard = SignIn(page).enter(ada)
    dashboard.text.fill("Precious words")
    elsewhere = open_browser()
    SignIn(elsewhere).enter(ada)
    AccountPage(elsewhere).open().sign_out_everywhere()

    dashboard.submit_button.click()
    expect(dashboard.toasts).to_contain_text("You were signed out.")
    expect(dashboard.text).to_have_value("Precious words")

    SignIn(page).open().again(ada.email)

    expect(Unsent(page).open().task).to_have_value("Precious words")


@pytest.mark.smoke
def test_back_shows_nothing_after_sign_out(ada, page):
    dashboard = SignIn(page).enter(ada)
    dashboard.submit("Private words")
    expect(dashboard.row("Private words")).to_be_visible()

    dashboard.sign_out()
    page.go_back()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Private words")).to_have_count(0)


def test_markup_in_a_task_runs_nowhere(ada, page):
    dashboard = SignIn(page).enter(ada)
    text = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

    dashboard.submit(text)

    expect(dashboard.rows).to_have_count(1)
    expect(dashboard.rows.first).to_contain_text("<img src=x")
    expect(page).not_to_have_title("owned")
    page.reload()
    expect(dashboard.rows.first).to_contain_text("<script>")
    expect(page).not_to_have_title("owned")


def test_forgotten_password_is_set_anew_and_ends_the_other_browser(site, ada, open_browser):
    here, elsewhere = open_browser(), open_browser()
    SignIn(elsewhere).enter(ada)

    SignIn(here).open()
    here.get_by_role("link", name="Forgot it?").click()
    Forgot(here).ask(ada.email)
    SetPassword(here).anew(link_in(site.mail_to(ada.email), site), NEW_PASSWORD)

    expect(Dashboard(here).balance).to_have_text("100 credits")
    elsewhere.reload()
    expect(elsewhere.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_address_changes_once_both_mailboxes_have_agreed(site, ada, any_page, open_browser):
    """And whoever else is signed in is signed out; credits and tasks stay."""
    new, elsewhere = site.address("lovelace"), open_browser()
    for browser in (any_page, elsewhere):
        SignIn(browser).enter(ada)
    account = AccountPage(any_page)
    account.open()
    account.ask_for_address(new, PASSWORD)
    expect(any_page.locator("#email")).to_contain_text("Waiting")

    for mailbox in (new, ada.email):
        NewAddress(any_page).agree(link_in(site.mail_to(mailbox, "/address/agree/"), site))

    expect(any_page.locator("footer")).to_contain_text(new)
    elsewhere.reload()
    expect(elsewhere.get_by_role("heading", name="Sign in")).to_be_visible()
    SignIn(elsewhere).enter(new, PASSWORD).expect_balance("100")
    assert site.mail_to(ada.email, "has moved")


def test_the_present_mailbox_stops_a_change_of_the_address(site, ada, any_page, open_browser):
    new, owner = site.address("thief"), open_browser()
    SignIn(any_page).enter(ada)
    account = AccountPage(any_page)
    account.open()
    account.ask_for_address(new, PASSWORD)
    text = site.mail_to(ada.email, "/address/refuse/")["text"]
    (link,) = set(re.findall(rf"{site.url}/address/refuse/\S+", text))

    NewAddress(owner).refuse(link)

    expect(owner.get_by_role("heading", name="Your address stays as it is")).to_be_visible()
    any_page.reload()
    expect(any_page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_program_submits_by_a_key_until_it_is_revoked(site, ada, any_page):
    def submit(secret: str) -> int:
        asked = {"json": {"description": "By night"}, "headers": {"Authorization": f"Bearer {secret}"}}
        return httpx.post(f"{site.url}/api/tasks", trust_env=False, **asked).status_code

    SignIn(any_page).enter(ada)
    keys = ApiKeys(any_page).open()
    secret = keys.make("Nightly report", "Submit and cancel tasks")
    assert submit(secret) == 201
    expect(keys.open().alive).to_contain_text("10 credits this month")
    keys.revoke("Nightly report")

    expect(keys.ended).to_contain_text("Nightly report")
    expect(any_page.locator("body")).not_to_contain_text(secret)
    assert submit(secret) == 401
