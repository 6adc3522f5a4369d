"""The second factor: an authenticator's codes, recovery codes, and what an operator may do without one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest

from app.domain.clock import utcnow
from app.domain.errors import WrongCode
from app.domain.second_factor import new_recovery_codes, recovery_hash, totp_counter
from app.services import second_factor
from app.services.sealing import Sealer
from app.web import deps
from app.web.guards import operator_required
from tests.routes.browser import Browser, soup
from tests.support import NOW, PASSWORD, all_mails, make_account

SET_UP = "/account/second-factor"


def set_up(browser: Browser) -> tuple[str, list[str]]:
    """Set an authenticator app up through the pages; returns its key and the recovery codes."""
    assert browser.post(f"{SET_UP}/totp", {"password": PASSWORD}).status_code == 303
    secret = browser.page(f"{SET_UP}/totp/code").select_one("#totp-secret").text.replace(" ", "")
    done = browser.post(f"{SET_UP}/totp/code", {"code": code(secret)})
    assert done.status_code == 200, done.text
    return secret, soup(done).select_one("#recovery-codes").text.split()


def code(secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(utcnow() + timedelta(seconds=30 * steps))


def fresh_code(store, secret: str) -> str:
    """A code that was not used yet: the next step's, which the drift allows."""
    return code(secret, 1)


@pytest.fixture
def account(store, browser):
    made = make_account(store)
    browser.sign_in()
    return made


def test_setting_up_takes_the_password_and_a_first_code(store, browser, account):
    assert browser.post(f"{SET_UP}/totp", {"password": "wrong"}).status_code == 422
    assert browser.get(f"{SET_UP}/totp/code").status_code == 404
    browser.post(f"{SET_UP}/totp", {"password": PASSWORD})
    page = browser.page(f"{SET_UP}/totp/code")
    assert page.select_one(".qr svg path")
    assert browser.post(f"{SET_UP}/totp/code", {"code": "000000"}).status_code == 422
    assert not store.accounts.get(account.email).has_second_factor

    secret, codes = set_up(browser)

    kept = store.accounts.get(account.email)
    assert kept.has_second_factor
    assert len(codes) == len(kept.recovery_codes) == 10
    row = str(store._get("Users", {"email": account.email}))
    assert secret not in row
    assert not any(one.replace("-", "") in row or one in row for one in codes)
    assert [mail.kind for mail in all_mails(store)] == ["security"]


def test_a_password_alone_opens_nothing_once_it_is_set_up(app, store, browser, account):
    secret, _ = set_up(browser)
    thief = Browser(app)

    answer = thief.sign_in()

    assert answer.location == "/login/second-factor"
    for path in ("/dashboard", "/account", "/account/export.json", SET_UP):
        assert thief.get(path).status_code == 303, path
    assert thief.post("/login/second-factor", {"code": "123456"}).status_code == 401
    assert thief.get("/dashboard").status_code == 303
    owner = Browser(app)
    owner.sign_in(next="/account")
    answer = owner.post("/login/second-factor", {"code": f" {fresh_code(store, secret)[:3]} {code(secret, 1)[3:]} "})
    assert answer.location == "/account"
    assert owner.get("/dashboard").status_code == 200


def test_a_code_counts_once(app, store, browser, account):
    secret, _ = set_up(browser)
    used = fresh_code(store, secret)
    first, second = Browser(app), Browser(app)
    first.sign_in(), second.sign_in()
    assert first.post("/login/second-factor", {"code": used}).status_code == 303

    assert second.post("/login/second-factor", {"code": used}).status_code == 401
    assert second.post("/login/second-factor", {"code": code(secret)}).status_code == 401  # older than the last used
    assert second.get("/dashboard").status_code == 303


def test_one_of_two_wins_when_a_code_is_raced(app, store, browser, account):
    """Both have read the same row: the write itself decides."""
    secret, codes = set_up(browser)
    sealer = deps_of(app).sealer
    stale = store.accounts.get(account.email)
    key = next(iter(stale.sessions))
    for proof in (
        second_factor.prove_code(sealer, stale, code(secret, 1), now=utcnow()),
        second_factor.prove_code(sealer, stale, codes[0], now=utcnow()),
    ):
        second_factor.prove_session(store, stale, key, proof, now=NOW)
        with pytest.raises(WrongCode):
            second_factor.prove_session(store, stale, key, proof, now=NOW)


def test_an_authenticator_that_was_removed_does_not_come_back_with_a_code_in_flight(app, store, browser, account):
    secret, _ = set_up(browser)
    stale = store.accounts.get(account.email)
    proof = second_factor.prove_code(deps_of(app).sealer, stale, code(secret, 1), now=utcnow())
    second_factor.remove_totp(store, stale, now=NOW)

    with pytest.raises(WrongCode):
        second_factor.prove_session(store, stale, next(iter(stale.sessions)), proof, now=NOW)

    assert not store.accounts.get(account.email).has_second_factor


def test_a_recovery_code_opens_once(app, store, browser, account):
    _, codes = set_up(browser)
    first, second = Browser(app), Browser(app)
    first.sign_in(), second.sign_in()

    assert first.post("/login/second-factor", {"code": codes[3].upper().replace("-", " ")}).status_code == 303

    assert first.get("/dashboard").status_code == 200
    assert second.post("/login/second-factor", {"code": codes[3]}).status_code == 401
    assert len(store.accounts.get(account.email).recovery_codes) == 9


def test_new_recovery_codes_end_the_old_ones(app, store, browser, account):
    _, codes = set_up(browser)
    answer = browser.post(f"{SET_UP}/recovery-codes", {"password": PASSWORD})
    fresh = soup(answer).select_one("#recovery-codes").text.split()
    other = Browser(app)
    other.sign_in()

    assert other.post("/login/second-factor", {"code": codes[0]}).status_code == 401
    assert other.post("/login/second-factor", {"code": fresh[0]}).status_code == 303


@pytest.mark.threat(61)
def test_guessing_codes_is_throttled_and_the_open_session_stays(app, store, browser, account):
    set_up(browser)
    thief = Browser(app)
    thief.sign_in()

    answers = [thief.post("/login/second-factor", {"code": f"{n:06}"}) for n in range(12)]

    assert [a.status_code for a in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert browser.get("/dashboard").status_code == 200


@pytest.mark.parametrize("wrong", ["", " ", "12345", "1234567", "１２３４５６", "abcdef", "\x00", "x" * 4000, "-" * 24])
def test_what_is_no_code_is_refused(app, store, browser, account, wrong):
    set_up(browser)
    other = Browser(app)
    other.sign_in()

    assert other.post("/login/second-factor", {"code": wrong}).status_code == 401


@pytest.mark.parametrize(
    "credential", ["{", "null", "[]", '{"id": 1}', "[" * 19_000, "x" * 30_000, '{"id":"a","rawId":"a","response":{}}']
)
def test_what_is_no_passkey_is_refused(app, store, browser, account, credential):
    set_up(browser)
    browser.post(f"{SET_UP}/prove/options", {})
    assert browser.post(f"{SET_UP}/prove", {"credential": credential}).status_code == 422
    browser.post(f"{SET_UP}/passkeys/options", {"password": PASSWORD})
    assert browser.post(f"{SET_UP}/passkeys", {"credential": credential, "name": "x"}).status_code == 422
    other = Browser(app)
    other.sign_in()
    assert other.post("/login/second-factor", {"credential": credential}).status_code == 401


def test_a_half_sign_in_ends_after_ten_minutes_and_with_a_new_password(app, store, browser, account):
    secret, _ = set_up(browser)
    half = Browser(app)
    half.sign_in()
    row = store.accounts.get(account.email)
    old = utcnow() - timedelta(minutes=11)
    sessions = {key: replace(s, created_at=old) if s.kind == "half" else s for key, s in row.sessions.items()}
    store.updates.accounts.change(account, sessions=sessions)

    assert half.post("/login/second-factor", {"code": code(secret, 1)}).location.startswith("/login")

    half.sign_in()
    form = {"current_password": PASSWORD, "new_password": "another long passphrase"}
    browser.post("/account/password", form)
    assert half.post("/login/second-factor", {"code": code(secret, 1)}).location.startswith("/login")


@pytest.mark.threat(69)
def test_a_reset_by_mail_does_not_go_around_the_second_factor(app, store, browser, account):
    secret, _ = set_up(browser)
    other = Browser(app)
    other.post("/forgot", {"email": account.email})
    link = deps_of(app).links.url(store.accounts.get(account.email), "reset").removeprefix("http://dashboard.test")

    answer = other.set_by_link(link, "another long passphrase")

    assert answer.location == "/login/second-factor"
    assert other.get("/dashboard").status_code == 303
    assert other.post("/login/second-factor", {"code": code(secret, 1)}).status_code == 303
    assert other.get("/dashboard").status_code == 200


def test_a_program_sends_the_code_along(app, store, browser, account):
    secret, _ = set_up(browser)
    client = app.test_client(use_cookies=False)
    body = {"email": account.email, "password": PASSWORD}

    missing = client.post("/api/auth/login", json=body)
    assert (missing.status_code, missing.json["code"]) == (401, "second_factor_required")
    for wrong in ("000000", 7, ["x"], {}, "\ud800", ""):
        refused = client.post("/api/auth/login", json=body | {"code": wrong})
        assert (refused.status_code, refused.json["code"]) == (401, "wrong_code"), wrong
    answer = client.post("/api/auth/login", json=body | {"code": code(secret, 1)})

    assert answer.status_code == 200
    headers = {"Authorization": f"Bearer {answer.json['token']}"}
    assert client.get("/api/user", headers=headers).status_code == 200
    kinds = [session.kind for session in store.accounts.get(account.email).sessions.values()]
    assert sorted(kinds) == ["api", "browser"]


def test_removing_takes_the_password_and_a_proven_session(app, store, browser, account):
    before = Browser(app)
    before.sign_in()  # signed in before the factor was set up
    secret, _ = set_up(browser)

    assert browser.post(f"{SET_UP}/totp/remove", {"password": "wrong"}).status_code == 422
    assert before.post(f"{SET_UP}/totp/remove", {"password": PASSWORD}).status_code == 422
    assert before.post(f"{SET_UP}/recovery-codes", {"password": PASSWORD}).status_code == 422
    assert before.post(f"{SET_UP}/passkeys/options", {"password": PASSWORD}).status_code == 422
    assert store.accounts.get(account.email).has_second_factor
    assert before.post(f"{SET_UP}/prove", {"code": code(secret, 1)}).status_code == 303
    assert before.post(f"{SET_UP}/totp/remove", {"password": PASSWORD}).status_code == 303

    kept = store.accounts.get(account.email)
    assert (kept.has_second_factor, kept.recovery_codes) == (False, frozenset())
    assert Browser(app).sign_in().location == "/dashboard"


@pytest.mark.threat(45)
def test_none_is_set_up_while_the_address_is_unconfirmed(app, store):
    """A stranger who signed up with an address must not put a lock on it that outlives its owner's reset."""
    make_account(store, confirmed_at=None)
    browser = Browser(app)
    browser.sign_in()

    assert browser.post(f"{SET_UP}/totp", {"password": PASSWORD}).status_code == 422
    assert browser.post(f"{SET_UP}/passkeys/options", {"password": PASSWORD}).status_code == 422
    assert store.accounts.get("ada@example.com").totp_pending is None


def test_the_link_that_an_unconfirmed_address_needs_can_be_asked_for_where_it_is_missed(app, store):
    make_account(store, confirmed_at=None)
    browser = Browser(app)
    browser.sign_in()

    again = browser.page(SET_UP).select_one("form.note")

    assert browser.post(again["action"], {}).status_code == 303
    assert [mail.kind for mail in all_mails(store)] == ["confirm"]


def test_support_can_remove_lost_factors_and_it_is_written_down(app, store, browser, account):
    set_up(browser)

    result = app.test_cli_runner().invoke(args=["accounts", "reset-second-factor", account.email, "--by", "eve@ops"])

    assert result.exit_code == 0, result.output
    assert not store.accounts.get(account.email).has_second_factor
    rows = store.audit.page_of(account.email, limit=5).items
    assert [(row.action, row.actor) for row in rows] == [("account.reset_second_factor", "eve@ops")]


class TestOperators:
    """Anything but reading under /admin takes a second factor in this very session."""

    @pytest.fixture
    def operator(self, strict_app, store):
        def act():
            return "done"

        rule = {"endpoint": "probe", "view_func": operator_required(act), "methods": ["GET", "POST"]}
        strict_app.add_url_rule("/admin/probe", **rule)
        make_account(store, role="admin")
        browser = Browser(strict_app)
        browser.sign_in()
        return browser

    @pytest.mark.threat(88)
    def test_an_operator_reads_but_changes_nothing_without_one(self, operator):
        assert operator.get("/admin/probe").text == "done"
        refused = operator.post("/admin/probe", {})

        assert refused.status_code == 403
        assert soup(refused).select_one("a.button")["href"] == SET_UP
        assert "done" not in refused.text

    def test_an_operator_who_set_one_up_acts_at_once(self, operator):
        set_up(operator)

        assert operator.post("/admin/probe", {}).text == "done"

    def test_an_older_session_proves_it_first(self, strict_app, operator):
        older = Browser(strict_app)
        older.sign_in()
        secret, _ = set_up(operator)
        assert older.post("/admin/probe", {}).status_code == 403

        older.post(f"{SET_UP}/prove", {"code": code(secret, 1)})

        assert older.post("/admin/probe", {}).text == "done"

    @pytest.mark.threat(90)
    def test_a_demoted_operator_is_refused_on_the_next_request(self, store, operator):
        set_up(operator)
        store.updates.accounts.change(store.accounts.get("ada@example.com"), role="customer")

        assert operator.get("/admin/probe").status_code == 403
        assert operator.post("/admin/probe", {}).status_code == 403


def test_the_clock_may_be_half_a_minute_off_and_no_more():
    secret = pyotp.random_base32()
    totp = pyotp.TOTP(secret)
    step = int(NOW.timestamp()) // 30
    for drift, expected in ((-2, None), (-1, step - 1), (0, step), (1, step + 1), (2, None)):
        assert totp_counter(secret, totp.generate_otp(step + drift), NOW, 0) == expected
    assert totp_counter(secret, totp.at(NOW), NOW, step) is None


def test_recovery_codes_are_long_random_and_read_however_they_are_typed():
    codes = new_recovery_codes()

    assert len(set(codes)) == 10
    assert all(len(one.replace("-", "")) == 24 for one in codes)
    assert recovery_hash(codes[0]) == recovery_hash(f"  {codes[0].upper()}\n") != recovery_hash(codes[1])


def test_a_sealed_secret_opens_after_the_keys_were_rolled_and_not_without_them():
    old, new = "o" * 40, "n" * 40
    sealed = Sealer((old,)).seal("JBSWY3DP")

    assert Sealer((new, old)).open(sealed) == "JBSWY3DP"
    assert Sealer((new,)).open(sealed) is None
    assert Sealer((new,)).open(Sealer((new, old)).renewed(sealed)) == "JBSWY3DP"


def deps_of(app) -> deps.Deps:
    with app.app_context():
        return deps.get()
