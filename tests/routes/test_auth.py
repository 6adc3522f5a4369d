"""Signing up, in and out in a browser, and the links that mails carry."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app import create_app
from app.data.account_updates import AccountUpdates
from app.services.links import CONFIRM, RESET, SET_PASSWORD, Links
from app.services.mail import MailRoom, deliver_due
from app.services.signing import Signer
from app.services.throttle import SIGN_IN_BY_ACCOUNT
from tests.routes.browser import Browser, soup
from tests.support import NOW, PASSWORD, all_mails, every_task, make_account, post_webhook, session_event

NEW_PASSWORD = "a wholly new passphrase"


@pytest.fixture
def mails(store, config, sender):
    """Send what is due and return the texts sent so far to an address."""
    room = MailRoom(Links(config.jwt_secrets, config.app_url), config.app_url)

    def read(to: str) -> list[str]:
        deliver_due(store, room, sender, now=datetime.now(UTC) + timedelta(seconds=1))
        return [mail["text"] for mail in sender.sent if mail["to"] == to]

    return read


def path_in(text: str) -> str:
    """The path of the one link to our own host in a mail."""
    (path,) = re.findall(r"http://dashboard\.test(/(?:confirm|reset|set-password)/\S+)", text)
    return path


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/dashboard").status_code == 200


# Where a sign-in leads


@pytest.mark.parametrize(
    ("role", "target", "leads_to"),
    [("admin", "", "/admin"), ("admin", "/account", "/account"), ("customer", "", "/dashboard")],
)
def test_sign_in_leads_operators_to_the_queue_unless_they_come_from_somewhere(browser, store, role, target, leads_to):
    make_account(store, "who@example.com", role=role)

    answer = browser.sign_in("who@example.com", next=target)

    assert (answer.status_code, answer.location) == (303, leads_to)


# Sign-up


def test_sign_up_signs_in_and_mails_a_confirmation(browser, store, mails):
    answer = browser.post("/signup", {"email": " New@Example.com ", "password": PASSWORD})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    assert is_signed_in(browser)
    assert store.accounts.get("new@example.com").credits_balance == 0
    (text,) = mails("new@example.com")
    assert path_in(text).startswith("/confirm/")


@pytest.mark.threat(60)
def test_sign_up_says_beside_the_field_when_the_address_is_taken(browser, store):
    make_account(store)

    answer = browser.post("/signup", {"email": "ada@example.com", "password": NEW_PASSWORD})

    assert answer.status_code == 409
    field = soup(answer).select_one("#email")
    assert field["aria-invalid"] == "true"
    assert "already an account" in soup(answer).select_one(f"#{field['aria-describedby'].split()[0]}").text
    assert Browser(browser.client.application).sign_in().status_code == 303


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [
        ("nobody", PASSWORD, "email"),
        ("new@example.com", "short", "password"),
        ("new@example.com", "password123", "password"),
        ("new@example.com", "🔒" * 19, "password"),
        ("new@example.com", "new@example.com", "password"),
    ],
)
def test_sign_up_says_what_is_wrong_beside_the_field(browser, store, email, password, field):
    answer = browser.post("/signup", {"email": email, "password": password})

    page = soup(answer)
    assert answer.status_code == 422
    assert page.select_one(f"#{field}")["aria-invalid"] == "true"
    assert page.select_one(f"#{field}-error").text.strip()
    assert page.select_one("#email")["value"] == email
    assert password not in str(page.select_one("#password"))
    assert list(store.accounts.every()) == []


@pytest.mark.threat(87)
def test_sign_up_takes_nothing_but_e_mail_and_password(browser, store):
    forged = {"credits_balance": "999", "role": "admin", "confirmed_at": "2026-01-01T00:00:00Z"}

    browser.post("/signup", {"email": "eve@example.com", "password": PASSWORD} | forged)

    account = store.accounts.get("eve@example.com")
    assert (account.credits_balance, account.role, account.confirmed) == (0, "customer", False)


@pytest.mark.threat(51)
@pytest.mark.parametrize("typed", ["ADA@EXAMPLE.COM", "  ada@example.com\n", "ada@example.com\t"])
def test_one_account_whatever_the_case_and_spaces(browser, store, typed):
    make_account(store)

    assert browser.sign_in(typed).status_code == 303
    assert browser.post("/signup", {"email": typed, "password": NEW_PASSWORD}).status_code == 409


# Pre-hijack: row 45, both ways


@pytest.mark.threat(45)
def test_stranger_gets_nothing_when_the_buyer_paid_before_the_sign_up(app, browser, store, mails):
    post_webhook(app.test_client(), session_event("victim@example.com", session="cs_1"))

    answer = browser.post("/signup", {"email": "victim@example.com", "password": PASSWORD})

    assert answer.status_code == 409
    assert not is_signed_in(browser)
    assert store.accounts.get("victim@example.com").password_hash is None
    assert browser.sign_in("victim@example.com").status_code == 401
    _welcome, link_mail = mails("victim@example.com")
    assert browser.follow(path_in(link_mail)).status_code == 200


@pytest.mark.threat(45)
def test_stranger_loses_the_account_when_the_buyer_pays_after_the_sign_up(app, browser, store, mails):
    browser.post("/signup", {"email": "victim@example.com", "password": PASSWORD})
    token = app.test_client().post("/api/auth/login", json={"email": "victim@example.com", "password": PASSWORD})
    bearer = {"Authorization": f"Bearer {token.get_json()['token']}"}

    post_webhook(app.test_client(), session_event("victim@example.com", session="cs_1"))

    account = store.accounts.get("victim@example.com")
    assert (account.credits_balance, account.password_hash, dict(account.sessions)) == (1000, None, {})
    assert not is_signed_in(browser)
    assert app.test_client().get("/api/user", headers=bearer).status_code == 401
    assert browser.sign_in("victim@example.com").status_code == 401
    owner = Browser(app)
    link = next(path_in(text) for text in mails("victim@example.com") if "/set-password/" in text)
    assert owner.set_by_link(link, NEW_PASSWORD).status_code == 303
    assert is_signed_in(owner)


def test_nobody_is_signed_out_when_the_address_was_confirmed(app, browser, store):
    make_account(store)
    browser.sign_in()

    post_webhook(app.test_client(), session_event(session="cs_1"))

    assert is_signed_in(browser)


@pytest.mark.threat(45)
def test_password_that_a_payment_took_away_opens_no_session_in_the_same_moment(app, store, monkeypatch):
    """The stranger's sign-in has checked the password when the payment ends it."""
    make_account(store, "victim@example.com", confirmed_at=None)
    add_session = AccountUpdates.add_session

    def late(self, account, session, now, **settings):
        post_webhook(app.test_client(), session_event("victim@example.com", session="cs_1"))
        monkeypatch.undo()
        return add_session(self, account, session, now, **settings)

    monkeypatch.setattr(AccountUpdates, "add_session", late)
    stranger = Browser(app)

    assert stranger.sign_in("victim@example.com").status_code == 401
    assert not is_signed_in(stranger)
    assert store.accounts.get("victim@example.com").credits_balance == 1000


# Sign-in


def test_sign_in_leads_to_the_dashboard(browser, store):
    make_account(store)

    answer = browser.sign_in()

    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    assert is_signed_in(browser)


@pytest.mark.threat(58)
def test_same_page_when_the_address_or_the_password_is_wrong(browser, store):
    make_account(store)

    wrong = browser.sign_in(password="wrong")
    unknown = browser.sign_in("nobody@example.com", "wrong")

    def without_what_was_typed(answer) -> str:
        text = re.sub(r'name="csrf_token" value="[^"]*"', "", answer.text)
        return text.replace("ada@example.com", "").replace("nobody@example.com", "")

    assert wrong.status_code == unknown.status_code == 401
    assert soup(wrong).select_one("[role=alert]").text.strip() == "E-mail or password is wrong."
    assert without_what_was_typed(wrong) == without_what_was_typed(unknown)


@pytest.mark.threat(58)
def test_hash_is_checked_also_when_nobody_has_the_address(browser, store, monkeypatch):
    import bcrypt

    checked = []
    check = bcrypt.checkpw
    monkeypatch.setattr("app.services.passwords.bcrypt.checkpw", lambda *args: checked.append(1) or check(*args))

    browser.sign_in("nobody@example.com", "wrong")

    assert len(checked) == 1


@pytest.mark.threat(65)
@pytest.mark.threat(58)
@pytest.mark.parametrize(
    ("email", "password", "status", "behind"),
    [
        ("ada@example.com", PASSWORD, 200, ["UpdateItem"] * 3),  # the session, and two counts that are taken back
        ("ada@example.com", "wrong", 401, ["UpdateItem"] * 2),  # two failures
        ("nobody@example.com", "wrong", 401, ["UpdateItem"] * 2),
        ("no address", "wrong", 401, ["UpdateItem"] * 2),
    ],
)
def test_a_sign_in_is_counted_before_the_account_is_read_and_asks_alike_for_one_that_there_is_not(
    app, store, calls, email, password, status, behind
):
    make_account(store)

    with calls() as made:
        answer = app.test_client().post("/api/auth/login", json={"email": email, "password": password})

    assert answer.status_code == status
    assert made == ["UpdateItem"] * 2 + ["GetItem"] * 2 * ("@" in email) + behind


def test_new_session_at_sign_in_when_a_cookie_was_planted(app, store):
    """Row 65: what an attacker put into the victim's browser opens nothing afterwards."""
    make_account(store)
    make_account(store, "eve@example.com")
    browser = Browser(app)
    browser.sign_in("eve@example.com")
    planted, token = browser.cookie(), browser.csrf()

    browser.sign_in("ada@example.com")

    eve = Browser(app)
    eve.client.set_cookie("session", planted)
    assert browser.cookie() != planted
    assert browser.csrf() != token
    assert "eve@example.com" in eve.page("/dashboard").select_one("footer").text
    assert "ada@example.com" in browser.page("/dashboard").select_one("footer").text


@pytest.mark.parametrize("target", ["/dashboard?status=pending", "/tasks/task_1", "/"])
def test_sign_in_leads_back_when_the_target_is_our_own(browser, store, target):
    make_account(store)

    answer = browser.sign_in(next=target)

    assert answer.headers["Location"] == target


OFF_SITE = [
    "//evil.example",
    "https://evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "///evil.example",
    "javascript:alert(1)",
    "http:evil.example",
    "@evil.example",
    " //evil.example",
    "/\u00a0/evil.example",
    "https://dashboard.test@evil.example/",
    "evil.example",
]


@pytest.mark.threat(80)
@pytest.mark.parametrize("target", OFF_SITE)
def test_sign_in_leads_home_when_the_target_is_elsewhere(browser, store, target):
    make_account(store)

    offered = browser.get("/login?" + _query(next=target))
    answer = browser.sign_in(next=target)

    assert soup(offered).select_one("input[name=next]")["value"] == ""
    assert answer.headers["Location"] == "/dashboard"


def _query(**values: str) -> str:
    from urllib.parse import urlencode

    return urlencode(values)


@pytest.mark.threat(79)
def test_what_was_typed_is_shown_as_text(browser, store):
    answer = browser.sign_in('"><script>alert(1)</script>{{ 7*7 }}@example.com', "wrong")

    assert soup(answer).select_one("main script") is None
    assert "49@example" not in answer.text
    assert soup(answer).select_one("#email")["value"].startswith('"><script>')


# Throttling: row 61


@pytest.mark.threat(61)
@pytest.mark.usefixtures("in_one_window")
def test_429_with_retry_after_when_one_account_is_guessed_at(app, store):
    make_account(store)
    spellings = ["ada@example.com", "ADA@example.com", " ada@example.com", "Ada@Example.Com"]

    answers = []
    for number in range(12):
        guesser = app.test_client(use_cookies=False)
        answers.append(
            guesser.post(
                "/api/auth/login",
                json={"email": spellings[number % 4], "password": f"guess {number}"},
                headers={"X-Forwarded-For": f"198.51.100.{number}"},
                environ_base={"REMOTE_ADDR": f"203.0.113.{number}"},
            )
        )

    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 900


@pytest.mark.usefixtures("in_one_window")
def test_429_page_says_how_long(browser, store):
    make_account(store)
    for _ in range(10):
        browser.sign_in(password="wrong")

    answer = browser.sign_in(password="wrong")

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "minutes" in soup(answer).select_one("main").text


@pytest.mark.threat(62)
@pytest.mark.usefixtures("in_one_window")
def test_429_when_many_accounts_are_tried_from_one_address(app):
    client = app.test_client()

    answers = [
        client.post("/api/auth/login", json={"email": f"u{n}@example.com", "password": "guess"}).status_code
        for n in range(101)
    ]

    assert answers == [401] * 100 + [429]


@pytest.mark.threat(63)
@pytest.mark.usefixtures("in_one_window")
def test_a_session_stays_open_while_its_account_is_guessed_at(app, browser, store):
    make_account(store)
    browser.sign_in()
    for _ in range(11):
        Browser(app).sign_in(password="wrong")

    assert is_signed_in(browser)


def test_sign_ins_that_succeed_are_not_counted(app, store):
    make_account(store)

    assert {Browser(app).sign_in().status_code for _ in range(12)} == {303}


@pytest.mark.usefixtures("in_one_window")
def test_everybody_gets_in_when_twenty_sign_in_at_once(app, store):
    """Those under way are counted, but keep nobody out: row 75."""
    make_account(store)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: Browser(app).sign_in().status_code, range(20)))

    assert answers == [303] * 20
    assert Browser(app).sign_in(password="wrong").status_code == 401


@pytest.mark.usefixtures("in_one_window")
def test_ten_guesses_are_tried_when_forty_come_at_once(app, store):
    make_account(store)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: Browser(app).sign_in(password=f"guess {n}").status_code, range(40)))

    assert sorted(answers) == [401] * 10 + [429] * 30
    assert Browser(app).sign_in().status_code == 429


@pytest.mark.usefixtures("in_one_window")
def test_nobody_is_kept_out_by_what_a_dead_process_has_left_counted(app, store, monkeypatch):
    make_account(store)
    monkeypatch.setattr("app.services.throttle.ENTER_SECONDS", 0.2)
    with app.app_context():
        throttle = app.extensions["impacteragi"].throttle
        for _ in range(10):
            throttle.hit(SIGN_IN_BY_ACCOUNT, "sign-in", "ada@example.com")

    assert Browser(app).sign_in().status_code == 303


# Sign-out


@pytest.mark.threat(66)
def test_replayed_cookie_is_nobody_after_sign_out(app, browser, store):
    make_account(store)
    browser.sign_in()
    stolen = browser.cookie()

    answer = browser.post("/logout", {})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?out=1")
    thief = Browser(app)
    thief.client.set_cookie("session", stolen)
    assert thief.get("/dashboard").status_code == 303
    assert store.accounts.get("ada@example.com").sessions == {}


def test_other_browsers_stay_signed_in_when_one_signs_out(app, browser, store):
    make_account(store)
    other = Browser(app)
    browser.sign_in()
    other.sign_in()

    browser.post("/logout", {})

    assert is_signed_in(other)


def test_sign_out_takes_a_post(browser, store):
    make_account(store)
    browser.sign_in()

    assert browser.get("/logout").status_code == 405
    assert is_signed_in(browser)


def test_signed_out_page_leads_to_sign_in_and_back(browser):
    answer = browser.get("/dashboard?status=pending")

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=/dashboard?status%3Dpending"


@pytest.mark.threat(84)
def test_signed_out_fragment_request_leaves_the_page_and_says_so(browser):
    answer = browser.get("/dashboard/live", fragment=True, HX_Current_URL="http://dashboard.test/dashboard?q=x")

    assert answer.status_code == 401
    assert "HX-Redirect" not in answer.headers
    assert "Sign in in a new tab" in soup(answer).select_one("#toasts[data-hx-swap-oob]").text


def test_session_dies_of_age_and_idleness(browser, store):
    make_account(store)
    browser.sign_in()
    account = store.accounts.get("ada@example.com")
    ((key, session),) = account.sessions.items()

    def grown_old(**times: timedelta):
        old = replace(session, **{name: datetime.now(UTC) - age for name, age in times.items()})
        store.updates.accounts.change(account, sessions={key: old})
        return is_signed_in(browser)

    assert grown_old(created_at=timedelta(days=29), seen_at=timedelta(hours=11))
    assert store.accounts.get(account.email).sessions[key].seen_at > datetime.now(UTC) - timedelta(minutes=1)
    cookie = browser.cookie()
    assert not grown_old(created_at=timedelta(hours=13), seen_at=timedelta(hours=13))
    browser.client.set_cookie("session", cookie)
    assert not grown_old(created_at=timedelta(days=30), seen_at=timedelta(0))


@pytest.mark.threat(68)
def test_disabled_account_is_out_at_once(browser, store):
    make_account(store)
    browser.sign_in()

    store.updates.accounts.change(store.accounts.get("ada@example.com"), disabled_at=NOW)

    assert not is_signed_in(browser)
    assert browser.sign_in().status_code == 401


# CSRF: row 76


@pytest.mark.threat(76)
@pytest.mark.parametrize("path", ["/signup", "/login", "/logout", "/forgot", "/tasks"])
@pytest.mark.parametrize("fragment", [False, True])
def test_400_when_the_csrf_token_is_missing(app, browser, store, path, fragment):
    make_account(store, credits=100)
    browser.sign_in()
    fields = {"email": "new@example.com", "description": "What I wrote", "request_id": "r"}
    if path != "/tasks":
        fields["password"] = PASSWORD

    answer = browser.client.post(path, data=fields, headers={"HX-Request": "true"} if fragment else {})

    assert answer.status_code == 400
    assert "Reload the page" in answer.text or "signed in again" in answer.text
    if path == "/tasks" and not fragment:
        assert "What I wrote" in soup(answer).select_one("textarea").text
    assert answer.headers["X-Request-Id"]
    assert store.accounts.find("new@example.com") is None
    assert every_task(store) == []
    assert is_signed_in(browser)


def test_400_when_the_csrf_token_of_a_form_with_files_is_missing(browser, store):
    make_account(store, role="admin")
    browser.sign_in()

    answer = browser.client.post("/admin/tasks/task_1/complete", data={"result": "Done"})

    assert answer.status_code == 400
    assert soup(answer).select_one("textarea[name=result]").text.strip() == "Done"


@pytest.mark.threat(76)
def test_400_when_the_csrf_token_is_somebody_elses(app, browser, store):
    make_account(store, credits=100)
    browser.sign_in()
    stranger = Browser(app)

    answer = browser.client.post("/tasks", data={"csrf_token": stranger.csrf(), "description": "x"})

    assert answer.status_code == 400
    assert every_task(store) == []


def test_csrf_token_of_before_the_sign_in_is_worth_nothing(browser, store):
    make_account(store, credits=100)
    before = browser.csrf()
    browser.sign_in()

    answer = browser.client.post("/tasks", data={"csrf_token": before, "description": "x"})

    assert answer.status_code == 400


# Links


def test_welcome_link_sets_the_password_once(app, browser, store, mails):
    post_webhook(app.test_client(), session_event("new@example.com", session="cs_1"))
    (text,) = mails("new@example.com")
    link = path_in(text)

    shown = soup(browser.follow(link))
    answer = browser.set_by_link(link, NEW_PASSWORD)

    assert "new@example.com" in shown.select_one("main").text
    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    page = browser.page("/dashboard")
    assert page.select_one("#balance .sum b").text == "1,000"
    assert store.accounts.get("new@example.com").confirmed
    assert browser.get(link).status_code == 410
    assert browser.set_by_link(link, "yet another phrase").status_code == 410
    assert Browser(app).sign_in("new@example.com", NEW_PASSWORD).status_code == 303


def test_expired_welcome_page_offers_a_new_link(app, browser, store, mails):
    post_webhook(app.test_client(), session_event("new@example.com", session="cs_1"))
    (first,) = mails("new@example.com")
    browser.set_by_link(path_in(first), NEW_PASSWORD)

    form = soup(browser.get(path_in(first))).select_one("form")

    assert form["action"] == "/forgot"
    assert form.select_one("input[name=email]") is not None


def test_weak_password_keeps_the_link_alive(app, browser, store, mails):
    post_webhook(app.test_client(), session_event("new@example.com", session="cs_1"))
    (text,) = mails("new@example.com")

    weak = browser.set_by_link(path_in(text), "password")
    own_name = browser.set_by_link(path_in(text), "new@example.com")
    good = browser.set_by_link(path_in(text), NEW_PASSWORD)

    assert (weak.status_code, own_name.status_code, good.status_code) == (422, 422, 303)
    assert soup(weak).select_one("#password-error").text.strip()


@pytest.mark.threat(67)
def test_reset_link_ends_every_other_session_and_token(app, browser, store, mails):
    make_account(store)
    other = Browser(app)
    other.sign_in()
    token = app.test_client().post("/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD})
    browser.post("/forgot", {"email": "ada@example.com"})
    (text,) = mails("ada@example.com")

    answer = browser.set_by_link(path_in(text), NEW_PASSWORD)

    assert answer.status_code == 303
    assert is_signed_in(browser)
    assert not is_signed_in(other)
    bearer = {"Authorization": f"Bearer {token.get_json()['token']}"}
    assert app.test_client().get("/api/user", headers=bearer).status_code == 401
    assert Browser(app).sign_in(password=PASSWORD).status_code == 401
    assert browser.get(path_in(text)).status_code == 410


def test_no_token_stays_in_the_address_of_the_form(browser, store, mails):
    make_account(store)
    browser.post("/forgot", {"email": "ada@example.com"})
    (text,) = mails("ada@example.com")

    answer = browser.get(path_in(text))

    assert (answer.status_code, answer.headers["Location"]) == (303, "/reset")
    form = browser.page("/reset").select_one("main form")
    assert form["action"] == "/reset"
    assert path_in(text).rpartition("/")[2] not in str(form)


@pytest.mark.threat(76)
def test_form_of_one_account_sets_nothing_for_another_when_a_second_link_was_opened(browser, store, config):
    links = Links(config.jwt_secrets, config.app_url)
    for email in ("ada@example.com", "mallory@example.com"):
        make_account(store, email, link_nonces={RESET: "nonce"})
    of_ada, of_mallory = (
        links.url(store.accounts.get(f"{name}@example.com"), RESET).removeprefix("http://dashboard.test")
        for name in ("ada", "mallory")
    )
    open_tab = soup(browser.follow(of_ada)).select_one("input[name=link]")["value"]
    browser.get(of_mallory)
    before = store.accounts.get("mallory@example.com").password_hash

    answer = browser.post("/reset", {"password": NEW_PASSWORD, "link": open_tab})

    assert answer.status_code == 409
    assert "mallory@example.com" in soup(answer).select_one("[role=alert]").text
    assert store.accounts.get("mallory@example.com").password_hash == before
    assert not is_signed_in(browser)


def test_dead_link_does_not_stay_in_the_cookie(browser, store, config):
    account = make_account(store, link_nonces={RESET: "nonce"})
    browser.get(Links(config.jwt_secrets, config.app_url).url(account, RESET).removeprefix("http://dashboard.test"))
    store.updates.accounts.change(account, link_nonces={})

    browser.get("/reset")

    with browser.client.session_transaction() as session:
        assert "link" not in session


@pytest.mark.threat(69)
@pytest.mark.parametrize("path", ["/reset", "/set-password"])
def test_form_without_a_link_is_an_expired_link(browser, path):
    assert browser.get(path).status_code == 410
    assert browser.post(path, {"password": NEW_PASSWORD}).status_code == 410


@pytest.mark.threat(69)
def test_older_reset_link_is_dead_when_a_newer_one_was_asked_for(browser, store, mails, config):
    make_account(store, link_nonces={RESET: "older"})
    older = Links(config.jwt_secrets, config.app_url).url(store.accounts.get("ada@example.com"), RESET)

    browser.post("/forgot", {"email": "ada@example.com"})

    (text,) = mails("ada@example.com")
    assert browser.get(older.removeprefix("http://dashboard.test")).status_code == 410
    assert browser.follow(path_in(text)).status_code == 200


@pytest.mark.threat(69)
@pytest.mark.parametrize(("purpose", "days"), [(RESET, 1 / 24), (SET_PASSWORD, 7), (CONFIRM, 7)])
def test_link_is_dead_when_it_is_too_old(browser, store, config, monkeypatch, purpose, days):
    account = make_account(store, link_nonces={purpose: "nonce"})
    links = Links(config.jwt_secrets, config.app_url)
    path = links.url(account, purpose).removeprefix("http://dashboard.test")
    now = Signer("k").get_timestamp()
    seconds = int(days * 86400)

    monkeypatch.setattr(Signer, "get_timestamp", lambda self: now + seconds - 15)
    if purpose != CONFIRM:  # opening that one uses it
        assert browser.follow(path).status_code == 200
    monkeypatch.setattr(Signer, "get_timestamp", lambda self: now + seconds + 5)
    assert browser.get(path).status_code == 410
    assert browser.get("/confirm/x" if purpose == CONFIRM else path.rpartition("/")[0]).status_code == 410


@pytest.mark.threat(112)
def test_link_of_a_machine_that_is_a_moment_ahead_works(browser, store, config, monkeypatch):
    account = make_account(store, link_nonces={RESET: "nonce"})
    path = Links(config.jwt_secrets, config.app_url).url(account, RESET).removeprefix("http://dashboard.test")
    now = Signer("k").get_timestamp()

    monkeypatch.setattr(Signer, "get_timestamp", lambda self: now - 5)

    assert browser.follow(path).status_code == 200


@pytest.mark.threat(69)
@pytest.mark.parametrize("prefix", ["/confirm/", "/reset/", "/set-password/"])
@pytest.mark.parametrize("token", ["x", "a.b.c", "%00", "é", "W10.x.y", "x" * 3000])
def test_link_is_refused_when_it_is_forged(browser, store, prefix, token):
    make_account(store, link_nonces={RESET: "nonce", CONFIRM: "nonce", SET_PASSWORD: "nonce"})

    assert browser.get(prefix + token).status_code in (404, 410)


def test_link_of_one_purpose_opens_no_other(browser, store, config):
    account = make_account(store, link_nonces={RESET: "nonce", CONFIRM: "nonce", SET_PASSWORD: "nonce"})
    token = Links(config.jwt_secrets, config.app_url).url(account, CONFIRM).rpartition("/")[2]

    assert browser.get(f"/reset/{token}").status_code == 410
    assert browser.get(f"/set-password/{token}").status_code == 410


def test_link_taken_for_one_purpose_is_good_for_no_other_form(browser, store, config):
    account = make_account(store, link_nonces={RESET: "nonce", SET_PASSWORD: "nonce"})
    path = Links(config.jwt_secrets, config.app_url).url(account, RESET).removeprefix("http://dashboard.test")
    browser.get(path)

    assert browser.get("/set-password").status_code == 410


@pytest.mark.threat(69)
def test_link_of_an_account_that_is_gone_is_refused(browser, store, config):
    account = make_account(store, link_nonces={RESET: "nonce"})
    path = Links(config.jwt_secrets, config.app_url).url(account, RESET).removeprefix("http://dashboard.test")
    store.client.delete_item(TableName=store.prefix + "Users", Key={"email": {"S": account.email}})

    assert browser.get(path).status_code == 410


def test_confirm_link_confirms_the_address_once(browser, store, mails):
    browser.post("/signup", {"email": "new@example.com", "password": PASSWORD})
    (text,) = mails("new@example.com")

    for _ in range(2):  # opening it uses nothing up
        assert soup(browser.follow(path_in(text))).select_one("form[action='/confirm'] button")
    assert not store.accounts.get("new@example.com").confirmed

    assert browser.confirm(path_in(text)).status_code == 200

    assert store.accounts.get("new@example.com").confirmed
    assert browser.get(path_in(text)).status_code == 410
    assert browser.post("/confirm", {}).status_code == 410


@pytest.mark.threat(45)
def test_confirm_link_proves_nothing_to_who_is_not_signed_in(app, browser, store, mails):
    """A mail scanner follows links too: it must not prove the owner's mailbox for a stranger."""
    browser.post("/signup", {"email": "new@example.com", "password": PASSWORD})
    (text,) = mails("new@example.com")
    scanner, link = Browser(app), path_in(text)

    answer = scanner.get(link)

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/login?next={link}")
    assert not store.accounts.get("new@example.com").confirmed
    back = scanner.sign_in("new@example.com", next=link).headers["Location"]
    assert scanner.confirm(back).status_code == 200
    assert store.accounts.get("new@example.com").confirmed


# Forgot: rows 59 and 70


@pytest.mark.threat(59)
def test_forgot_answers_alike_whoever_asks(browser, store, mails):
    make_account(store)

    known = browser.post("/forgot", {"email": "ada@example.com"})
    unknown = browser.post("/forgot", {"email": "nobody@example.com"})

    assert known.status_code == unknown.status_code == 200
    assert known.data == unknown.data
    assert len(mails("ada@example.com")) == 1
    assert mails("nobody@example.com") == []


@pytest.mark.threat(70)
def test_forgot_mails_once_in_a_while_however_often_it_is_asked(browser, store):
    make_account(store)

    answers = {browser.post("/forgot", {"email": "ada@example.com"}).status_code for _ in range(5)}

    assert answers == {200}
    assert len(all_mails(store)) <= 2  # two only when the five minutes turn over meanwhile


def test_forgot_mails_a_link_to_set_a_password_when_a_payment_made_the_account(app, browser, store, mails):
    post_webhook(app.test_client(), session_event("new@example.com", session="cs_1"))

    browser.post("/forgot", {"email": "new@example.com"})

    assert any("/set-password/" in text for text in mails("new@example.com")[1:])


@pytest.mark.threat(69, 81)
def test_links_name_our_own_host_whatever_host_was_asked(app, store, mails):
    make_account(store)
    client = app.test_client()
    evil = {"base_url": "http://evil.example", "headers": {"X-Forwarded-Host": "evil.example"}}
    token = soup(client.get("/forgot", **evil)).select_one("input[name=csrf_token]")["value"]

    client.post("/forgot", data={"email": "ada@example.com", "csrf_token": token}, **evil)

    (text,) = mails("ada@example.com")
    assert "evil.example" not in text
    assert "http://dashboard.test/reset/" in text


@pytest.mark.threat(70)
@pytest.mark.usefixtures("in_one_window")
def test_429_when_forgot_is_flooded_from_one_address(browser, store):
    answers = [browser.post("/forgot", {"email": f"u{n}@example.com"}).status_code for n in range(21)]

    assert answers == [200] * 20 + [429]


# Cookies


def test_cookie_is_closed_to_scripts_and_other_sites(browser, store):
    make_account(store)

    cookies = browser.sign_in().headers.getlist("Set-Cookie")

    assert [cookie.partition("=")[0] for cookie in cookies] == ["device", "session"]
    for cookie in cookies:
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}


def test_cookie_is_bound_to_host_and_tls_in_production(config, store, sender, stripe):
    from dataclasses import replace

    app = create_app(replace(config, env="production"), store=store, sender=sender, stripe=stripe)

    answer = app.test_client().get("/login", base_url="https://dashboard.test")

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_session_lives_on_while_the_signing_key_is_rolled(config, store, sender, stripe):
    from dataclasses import replace

    make_account(store)
    before = Browser(create_app(config, store=store, sender=sender, stripe=stripe))
    before.sign_in()
    rolled = replace(config, jwt_secrets=("a-third-signing-key-of-the-test-suite!", *config.jwt_secrets))
    after = Browser(create_app(rolled, store=store, sender=sender, stripe=stripe))

    after.client.set_cookie("session", before.cookie())

    assert is_signed_in(after)


@pytest.mark.parametrize("value", ["", "garbage", "a.b.c", "eyJlbWFpbCI6ImFkYUBleGFtcGxlLmNvbSJ9.x.y", "é", "." * 4000])
def test_forged_cookie_is_nobody(browser, store, value):
    make_account(store)
    browser.client.set_cookie("session", value)

    assert browser.get("/dashboard").status_code == 303
