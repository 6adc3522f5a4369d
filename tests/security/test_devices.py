"""Counts of failures: whose they are, who has one of their own, and what begins them anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app import create_app
from app.domain.clock import utcnow
from app.services import accounts
from app.services.throttle import SECOND_FACTOR_BY_ACCOUNT, SECOND_FACTOR_BY_DAY
from app.web import deps
from tests.routes.browser import Browser
from tests.security.test_second_factor import code, set_up
from tests.support import PASSWORD, make_account

ADA, EVE = "ada@example.com", "eve@example.com"
NEW = "another long password"


@pytest.fixture(autouse=True)
def one_window(monkeypatch):
    """The clock of the limits stands still, or a test could run over the end of a window."""
    for module in ("app.data.rate_limits", "app.services.throttle"):
        monkeypatch.setattr(f"{module}.utcnow", lambda: datetime.fromtimestamp(1_800_000_900, UTC))


@pytest.fixture
def ada(store):
    return make_account(store)


def fail(app, times: int = 10, email: str = ADA) -> None:
    """A stranger guesses, each time as a new browser."""
    for _ in range(times):
        app.test_client().post("/api/auth/login", json={"email": email, "password": "wrong guess"})


def attempt(browser: Browser, email: str = ADA, password: str = PASSWORD) -> int:
    return browser.sign_in(email, password).status_code


def known(app, email: str = ADA, password: str = PASSWORD) -> Browser:
    """A browser that has signed in and out."""
    browser = Browser(app)
    assert attempt(browser, email, password) == 303
    browser.post("/logout", {})
    return browser


def with_cookie(app, value: str) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("device", value)
    return browser


def cookie_of(browser: Browser) -> str:
    return browser.client.get_cookie("device").value


@pytest.mark.threat(61, 63)
def test_a_browser_that_has_signed_in_is_not_kept_out_by_a_stranger(app, ada):
    owner = known(app)
    fail(app)

    assert attempt(Browser(app)) == 429
    assert attempt(owner) == 303


@pytest.mark.threat(62, 63)
def test_people_behind_one_address_are_not_kept_out_by_a_strangers_spraying(app, store, ada):
    owner = known(app)
    for number in range(100):
        fail(app, 1, f"nobody-{number}@example.com")

    assert attempt(Browser(app)) == 429
    assert attempt(owner) == 303


@pytest.mark.threat(61)
def test_a_stolen_cookie_gains_its_own_small_count(app, ada):
    thief = with_cookie(app, cookie_of(known(app)))
    fail(app)  # the common count is full

    assert [attempt(thief, password="wrong guess") for _ in range(10)] == [401] * 10
    assert attempt(thief, password="wrong guess") == 429
    assert attempt(with_cookie(app, cookie_of(thief)), password="wrong guess") == 429
    assert attempt(thief) == 429


@pytest.mark.threat(61)
def test_a_full_count_of_its_own_makes_it_any_browser_again(app, ada):
    """Or a thief of the cookie could lock its owner out."""
    owner = known(app)
    for _ in range(10):
        assert attempt(with_cookie(app, cookie_of(owner)), password="wrong guess") == 401

    assert attempt(owner) == 303


@pytest.mark.threat(61)
@pytest.mark.parametrize("kind", ["forged", "of another account", "of another key", "empty", "no list", "too long"])
def test_a_cookie_that_is_not_this_accounts_gains_nothing(app, config, store, sender, stripe, ada, kind):
    make_account(store, EVE)
    other = create_app(replace(config, jwt_secrets=("quite-another-key-of-the-test-suite",)), store=store)
    value = {
        "forged": lambda: cookie_of(known(app))[:-3] + "abc",
        "of another account": lambda: cookie_of(known(app, EVE)),
        "of another key": lambda: cookie_of(known(other)),
        "empty": lambda: "",
        "no list": lambda: deps_of(app).devices._serializer.dumps({"a": 1}),
        "too long": lambda: "x" * 4000,
    }[kind]()
    fail(app)

    assert attempt(with_cookie(app, value)) == 429


@pytest.mark.threat(61, 67)
@pytest.mark.parametrize("end", ["new password", "signed out everywhere", "link", "second factor", "deleted"])
def test_collected_cookies_are_worth_nothing_after(app, store, ada, end):
    """Who once knew the password may have signed in a thousand times."""
    collected = cookie_of(known(app))
    owner = Browser(app)
    owner.sign_in()
    if end == "new password":
        owner.post("/account/password", {"current_password": PASSWORD, "new_password": NEW})
    elif end == "signed out everywhere":
        owner.post("/account/sign-out-everywhere", {})
    elif end == "second factor":
        set_up(owner)
    elif end == "deleted":
        owner.post("/account/delete", {"password": PASSWORD})
    else:
        reset_by_mail(app, store)
    fail(app)

    assert attempt(with_cookie(app, collected), password="wrong guess") == 429
    if end in ("new password", "signed out everywhere", "second factor"):  # who does it stays known
        right = NEW if end == "new password" else PASSWORD
        assert attempt(with_cookie(app, cookie_of(owner)), password=right) == 303


def test_one_browser_is_known_to_several_accounts_and_tells_no_address(app, store, ada):
    make_account(store, EVE)
    shared = known(app)
    assert attempt(shared, EVE) == 303
    shared.post("/logout", {})
    fail(app), fail(app, email=EVE)

    assert attempt(shared) == 303
    shared.post("/logout", {})
    assert attempt(shared, EVE) == 303
    rows = deps_of(app).devices._serializer.loads(cookie_of(shared))
    assert len(rows) == 2
    account = store.accounts.get(ADA)
    assert not any(secret in str(rows) for secret in ("ada", "eve", "example", account.account_id))


def test_half_a_sign_in_is_not_remembered(app, store, ada):
    owner = Browser(app)
    owner.sign_in()
    set_up(owner)
    half = Browser(app)

    assert attempt(half) == 303

    assert half.client.get_cookie("device") is None


@pytest.mark.parametrize("env", ["development", "production"])
def test_the_cookie_is_kept_from_scripts_and_other_sites(config, store, sender, stripe, ada, env):
    app = create_app(replace(config, env=env), store=store, sender=sender, stripe=stripe)
    client = app.test_client()
    page = client.get("/login", base_url="https://dashboard.test")
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    data = {"email": ADA, "password": PASSWORD, "csrf_token": token}

    answer = client.post(
        "/login", data=data, base_url="https://dashboard.test", headers={"Referer": "https://dashboard.test/login"}
    )

    (cookie,) = [one for one in answer.headers.getlist("Set-Cookie") if "device=" in one]
    assert cookie.startswith("__Host-device=" if env == "production" else "device=")
    assert "HttpOnly" in cookie
    assert "Path=/" in cookie
    assert "SameSite=Lax" in cookie
    assert ("Secure" in cookie) is (env == "production")
    assert "Domain" not in cookie


@pytest.mark.threat(63)
def test_who_is_signed_in_changes_the_password_while_a_stranger_guesses(app, ada):
    owner = Browser(app)
    owner.sign_in()
    fail(app)

    answer = owner.post("/account/password", {"current_password": PASSWORD, "new_password": NEW})

    assert answer.status_code == 303


def test_the_password_asked_for_again_is_guessed_ten_times_in_a_session(app, ada):
    thief = Browser(app)
    thief.sign_in()
    wrong = {"current_password": "wrong guess", "new_password": NEW}

    answers = [thief.post("/account/password", wrong).status_code for _ in range(10)]
    assert answers == [422] * 10
    for path, form in (
        ("/account/password", wrong),
        ("/account/delete", {"password": PASSWORD}),
        ("/account/second-factor/totp", {"password": PASSWORD}),
    ):
        assert thief.post(path, form).status_code == 429, path


@pytest.mark.threat(63)
def test_a_browser_that_is_known_asks_for_a_reset_of_its_account_and_no_other(app, store, ada):
    make_account(store, EVE)
    owner = known(app)
    for number in range(20):
        Browser(app).post("/forgot", {"email": f"nobody-{number}@example.com"})

    assert Browser(app).post("/forgot", {"email": ADA}).status_code == 429
    assert owner.post("/forgot", {"email": EVE}).status_code == 429
    assert [owner.post("/forgot", {"email": ADA}).status_code for _ in range(6)] == [200] * 5 + [429]


# The second factor: wrong codes


@pytest.fixture
def guarded(app, store, ada):
    """Ada's authenticator and recovery codes; a stranger who knows the password has used up the day's codes."""
    owner = Browser(app)
    owner.sign_in()
    secret, codes = set_up(owner)
    account = store.accounts.get(ADA)
    since = second_factor_since(account)
    limiter = deps_of(app).throttle._limiter
    for limit, name in ((SECOND_FACTOR_BY_ACCOUNT, "second-factor"), (SECOND_FACTOR_BY_DAY, "second-factor-day")):
        for suffix in ("", "-failed"):
            limiter.hit(limit, name + suffix, f"{ADA} {since}", cost=limit.amount)
    assert second_step(app, code(secret, 1)) == 429
    return secret, codes


def second_factor_since(account) -> str:
    from app.domain.second_factor import proven_since

    return proven_since(account.password_hash, account.recovery_codes)


def second_step(app, answer: str, password: str = PASSWORD, browser: Browser | None = None) -> int:
    browser = browser or Browser(app)
    assert browser.sign_in(password=password).status_code == 303
    return browser.post("/login/second-factor", {"code": answer}).status_code


def reset_by_mail(app, store, password: str = NEW) -> Browser:
    accounts.ask_for_link(store, ADA, now=utcnow())
    with app.app_context():
        path = deps.get().links.url(store.accounts.get(ADA), "reset").removeprefix("http://dashboard.test")
    browser = Browser(app)
    assert browser.set_by_link(path, password).status_code == 303
    return browser


@pytest.mark.threat(61, 63)
def test_a_new_password_by_mail_begins_the_count_of_wrong_codes_anew(app, store, guarded):
    secret, _ = guarded

    browser = reset_by_mail(app, store)

    assert browser.post("/login/second-factor", {"code": code(secret, 1)}).status_code == 303
    assert browser.get("/dashboard").status_code == 200


@pytest.mark.threat(61, 63)
def test_a_changed_password_begins_it_anew(app, store, guarded):
    secret, codes = guarded
    owner = Browser(app)
    assert second_step(app, codes[0], browser=owner) == 303
    owner.post("/account/password", {"current_password": PASSWORD, "new_password": NEW})

    assert second_step(app, code(secret, 1), password=NEW) == 303


@pytest.mark.threat(61, 63)
def test_a_recovery_code_opens_and_begins_it_anew(app, store, guarded):
    secret, codes = guarded

    assert second_step(app, codes[0]) == 303

    assert second_step(app, code(secret, 1)) == 303


@pytest.mark.threat(61, 63)
def test_a_program_with_a_recovery_code_is_not_stopped(app, guarded):
    _, codes = guarded
    login = {"email": ADA, "password": PASSWORD, "code": codes[0]}

    assert app.test_client().post("/api/auth/login", json=login).status_code == 200


@pytest.mark.threat(61)
def test_a_passkey_is_not_stopped_by_wrong_codes(app, store, guarded):
    """It is asked, and refused for what it is, not for the codes of somebody else."""
    half = Browser(app)
    half.sign_in()

    assert half.post("/login/second-factor", {"credential": "{}"}).status_code == 401


@pytest.mark.threat(61)
def test_wrong_recovery_codes_do_not_begin_the_count_anew(app, guarded):
    secret, _ = guarded

    assert second_step(app, "aaaaaa-aaaaaa-aaaaaa-aaaaaa") == 401

    assert second_step(app, code(secret, 1)) == 429


@pytest.mark.threat(61)
def test_wrong_codes_are_guessed_ten_times_whatever_the_browser(app, store, ada):
    owner = Browser(app)
    owner.sign_in()
    secret, _ = set_up(owner)

    assert [second_step(app, "000000") for _ in range(10)] == [401] * 10
    assert second_step(app, code(secret, 1)) == 429


@pytest.mark.threat(61)
def test_the_day_has_an_end_for_who_reads_the_mailbox_too(app, store, guarded):
    """However often the password is set anew, 250 wrong codes are all that a day has."""
    from app.services.throttle import SECOND_FACTOR_IN_ALL

    secret, _ = guarded
    limiter = deps_of(app).throttle._limiter
    for suffix in ("", "-failed"):
        limiter.hit(SECOND_FACTOR_IN_ALL, f"second-factor-all{suffix}", ADA, cost=250)

    browser = reset_by_mail(app, store)

    assert browser.post("/login/second-factor", {"code": code(secret, 1)}).status_code == 429


@pytest.mark.threat(61, 63)
@pytest.mark.parametrize("how", ["mail", "account page"])
def test_failed_sign_ins_are_forgotten_with_a_new_password(app, store, ada, how):
    owner = Browser(app)
    owner.sign_in()
    fail(app)
    assert attempt(Browser(app)) == 429

    if how == "mail":
        reset_by_mail(app, store)
    else:
        owner.post("/account/password", {"current_password": PASSWORD, "new_password": NEW})

    assert attempt(Browser(app), password=NEW) == 303
    assert [attempt(Browser(app), password="wrong guess") for _ in range(11)] == [401] * 10 + [429]


def deps_of(app):
    with app.app_context():
        return deps.get()
