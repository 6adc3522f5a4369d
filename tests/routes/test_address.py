"""Changing the address through the pages: asked for under the account, agreed to and refused by mailed links."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from app.config import Config
from app.domain.clock import utcnow
from app.services.mail import deliver_due
from app.web import deps
from tests.routes.browser import Browser, Program, soup
from tests.support import PASSWORD, make_account, make_operators, post_webhook, session_event

FIRST, SECOND = "ada@example.com", "lovelace@example.org"
LINK = re.compile(r"http://[^/\s]+(/address/(agree|refuse)/\S+)")


@pytest.fixture
def ada(app, store) -> Browser:
    make_account(store, FIRST, credits=30, stripe_customer_id="cus_1")
    browser = Browser(app)
    browser.sign_in()
    return browser


def ask(browser: Browser, to: str = SECOND, password: str = PASSWORD):
    return browser.post("/account/email", {"new_email": to, "password": password})


def mailed(app, store, sender) -> dict[tuple[str, str], str]:
    """The links of the mails that are sent now, by whom they go to and what they do."""
    with app.app_context():
        deliver_due(store, deps.get().mail_room, sender, now=utcnow())
    found = [(mail["to"], link) for mail in sender.sent for link in LINK.findall(mail["text"])]
    return {(to, kind): path for to, (path, kind) in found}


def agree(browser: Browser, link: str):
    browser.follow(link)
    return browser.post("/address/agree", {})


def move(app, store, sender, browser: Browser, to: str = SECOND) -> None:
    assert ask(browser, to).status_code == 303
    links = mailed(app, store, sender)
    present = store.accounts.get(FIRST).address
    assert agree(browser, links[present, "agree"]).status_code == 303
    assert agree(browser, links[to, "agree"]).status_code == 303


@pytest.mark.threat(117)
def test_both_mailboxes_agree_and_every_other_session_ends(app, store, sender, stripe, ada):
    elsewhere, program = Browser(app), Program(app)
    elsewhere.sign_in()

    assert ask(ada).status_code == 303
    assert SECOND in ada.page("/account").select_one("#email").text
    links = mailed(app, store, sender)
    assert set(links) == {(SECOND, "agree"), (FIRST, "agree"), (FIRST, "refuse")}
    ada.follow(links[SECOND, "agree"])
    ada.follow(links[FIRST, "agree"])
    assert store.accounts.get(FIRST).address_change.agreed is False  # opening a link is no click
    agree(ada, links[SECOND, "agree"])
    assert FIRST in ada.page("/account").select_one("footer").text
    agree(ada, links[FIRST, "agree"])

    page = ada.page("/account")
    assert SECOND in page.select_one("footer").text
    assert SECOND in page.select_one("[role=status], .flash, .flashes").text
    assert elsewhere.get("/account").status_code == 303
    assert program.get("/api/user").status_code == 401
    assert Browser(app).sign_in(FIRST).status_code == 401
    assert Browser(app).sign_in(SECOND).status_code == 303
    assert Program(app, SECOND).get("/api/user").json["email"] == SECOND
    assert stripe.emails == {"cus_1": SECOND}
    done = ada.get(links[FIRST, "agree"])
    assert (done.status_code, "nothing left to do" in done.text) == (200, True)
    mailed(app, store, sender)
    assert [mail["to"] for mail in sender.sent if "has changed" in mail["subject"]] in (
        [FIRST, SECOND],
        [SECOND, FIRST],
    )


@pytest.mark.threat(117)
def test_a_stranger_s_click_moves_nobody_s_account(app, store, sender, ada):
    ask(ada)
    links = mailed(app, store, sender)
    make_account(store, "eve@example.com")
    stranger, nobody = Browser(app), Browser(app)
    stranger.sign_in("eve@example.com")

    for browser in (stranger, nobody):
        answer = browser.get(links[SECOND, "agree"])
        assert (answer.status_code, urlsplit(answer.location).path) == (303, "/login")
        assert browser.post("/address/agree", {}).status_code in (303, 410)
    assert store.accounts.get(FIRST).address_change.to_agreed_at is None


@pytest.mark.threat(117)
def test_the_present_mailbox_stops_it_without_a_sign_in(app, store, sender, ada):
    ask(ada)
    links = mailed(app, store, sender)
    owner = Browser(app)

    page = owner.follow(links[FIRST, "refuse"])
    assert SECOND in page.text
    assert store.accounts.get(FIRST).address_change
    refused = owner.post("/address/refuse", {})

    assert "Choose a new password" in refused.text
    assert "Choose a new password" in owner.post("/address/refuse", {}).text  # its answer never came
    assert store.accounts.get(FIRST).address_change is None
    assert ada.get("/account").status_code == 303
    ada.sign_in()
    assert agree(ada, links[SECOND, "agree"]).status_code == 410


@pytest.mark.parametrize(
    ("to", "password", "status", "field"),
    [
        (SECOND, "wrong", 422, "email-password"),
        ("no address", PASSWORD, 422, "new_email"),
        (FIRST, PASSWORD, 422, "new_email"),
        ("taken@example.com", PASSWORD, 409, "new_email"),
    ],
)
def test_what_is_refused_says_why_and_keeps_what_was_typed(app, store, ada, to, password, status, field):
    make_account(store, "taken@example.com")

    answer = ask(ada, to, password)

    page = soup(answer)
    assert answer.status_code == status
    assert page.select_one(f"#{field}")["aria-invalid"] == "true"
    assert page.select_one("#new_email")["value"] == to
    assert PASSWORD not in answer.text
    assert store.accounts.get(FIRST).address_change is None


def test_a_second_factor_that_is_set_up_is_asked_for(app, store, ada):
    store.client.update_item(
        TableName=store.prefix + "Users",
        Key={"email": {"S": FIRST}},
        UpdateExpression="SET totp = :sealed",
        ExpressionAttributeValues={":sealed": {"S": "sealed"}},
    )

    answer = ask(ada)

    assert answer.status_code == 422
    assert "Prove the second factor" in answer.text


@pytest.mark.threat(60)
def test_looking_for_taken_addresses_has_the_limit_of_sign_up(app, store, ada, config: Config):
    with app.app_context():
        throttle = deps.get().throttle
        throttle.hit(throttle.signup_by_address, "sign-up", "127.0.0.1", count=config.signups_per_hour)

    answer = ask(ada)

    assert answer.status_code == 429
    assert SECOND in answer.text  # what was typed comes back
    assert store.accounts.get(FIRST).address_change is None


def test_a_request_is_cancelled_under_the_account(app, store, sender, ada):
    ask(ada)
    links = mailed(app, store, sender)

    assert ada.post("/account/email/cancel", {}).status_code == 303
    assert ada.post("/account/email/cancel", {}).status_code == 303
    assert agree(ada, links[SECOND, "agree"]).status_code == 410


def test_who_lost_the_race_is_told_so(app, store, sender, ada):
    ask(ada)
    links = mailed(app, store, sender)
    agree(ada, links[FIRST, "agree"])
    Browser(app).post("/signup", {"email": SECOND, "password": PASSWORD})

    answer = agree(ada, links[SECOND, "agree"])

    assert answer.status_code == 409
    assert "Yours stays as it is" in answer.text
    assert store.accounts.get(FIRST).address == FIRST


def test_stripe_s_silence_does_not_stop_the_change(app, store, sender, stripe, ada):
    stripe.down = True
    move(app, store, sender, ada)
    assert store.accounts.get(FIRST).address == SECOND
    assert stripe.emails == {}

    stripe.down = False
    ada.post("/credits/checkout", {"pack": "pack-1000", "request_id": "r" * 20})

    assert stripe.emails == {"cus_1": SECOND}


@pytest.mark.threat(118)
def test_a_payment_by_a_left_address_is_parked_and_its_page_says_why(app, store, sender, client, ada):
    move(app, store, sender, ada)
    make_operators(store)
    operator = Browser(app)
    operator.sign_in("op@example.com")

    assert post_webhook(client, session_event(FIRST, session="cs_left")).status_code == 200

    assert store.accounts.get(FIRST).credits_balance == 30
    page = operator.get("/admin/finance/payments/pi_cs_left")
    assert "left" in page.text


def test_operators_see_the_present_address_and_find_every_one(app, store, sender, ada):
    move(app, store, sender, ada)
    make_operators(store)
    operator = Browser(app)
    operator.sign_in("op@example.com")
    account_id = store.accounts.get(FIRST).account_id

    for words in (FIRST, SECOND, "ovelace"):
        page = operator.page(f"/admin/customers?q={words}")
        (row,) = page.select("tbody tr")
        assert row.select_one("a").text == SECOND
        assert FIRST in row.text
    for words in (FIRST, SECOND):
        answer = operator.get(f"/admin/customers/{words}")
        assert (answer.status_code, urlsplit(answer.location).path) == (308, f"/admin/customers/{account_id}")
    page = operator.page(f"/admin/customers/{account_id}")
    assert page.select_one("h1").text == SECOND
    assert "changed the address" in page.text


def test_statement_export_and_pages_say_the_present_address(app, store, sender, ada):
    move(app, store, sender, ada)
    month = f"{utcnow():%Y-%m}"

    statement = ada.get(f"/transactions/statement/{month}")

    assert statement.status_code == 200, statement.status_code
    assert f"account {SECOND}" in statement.text
    found = ada.get("/account/export.json").json
    assert (found["email"], found["addresses_before"]) == (SECOND, [FIRST])
    assert FIRST not in ada.get("/dashboard").text


def test_filters_and_the_command_line_know_every_address(app, store, sender, client, ada):
    ada.post("/tasks", {"description": "Read the report"} | ada.composer())
    post_webhook(client, session_event(FIRST, session="cs_before"))
    move(app, store, sender, ada)
    make_operators(store)
    operator = Browser(app)
    operator.sign_in("op@example.com")

    for words in (FIRST, SECOND, "ovelace"):
        queue = operator.page(f"/admin?customer={words}")
        assert [cell.text for cell in queue.select(".who")] == [SECOND], words
        payments = operator.get(f"/admin/finance/payments?month={utcnow():%Y-%m}&q={words}")
        assert "pi_cs_before" in payments.text, words
    for words in (FIRST, SECOND):
        assert "Changed the address" in operator.get(f"/admin/audit?subject={words}").text

    make_operators(store, "second@example.com")
    runner = app.test_cli_runner()
    for words in (FIRST, SECOND):
        shown = runner.invoke(args=["accounts", "show", words])
        assert (shown.exit_code, SECOND in shown.output) == (0, True), shown.output
    refused = runner.invoke(args=["operators", "grant", FIRST, "--as", "second@example.com"])
    assert (refused.exit_code, "left" in refused.output) == (1, True), refused.output
    assert runner.invoke(args=["operators", "grant", SECOND, "--as", "second@example.com"]).exit_code == 0
    left = runner.invoke(args=["operators", "revoke", "second@example.com", "--as", FIRST])
    assert (left.exit_code, "left" in left.output) == (2, True)
