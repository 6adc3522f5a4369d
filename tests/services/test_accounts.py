"""Signing up, in and out below the views: what the store holds afterwards, and what a race leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.domain.errors import AccountExists, BadCredentials, InvalidInput, LinkExpired
from app.services import accounts, payments
from app.services.links import CONFIRM, RESET, SET_PASSWORD, Links
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, all_mails, make_account, session_event

BCRYPT = Passwords(4)
NEW_PASSWORD = "a wholly new passphrase"


@pytest.fixture
def links() -> Links:
    return Links(("newest-signing-key", "older-signing-key"), "http://dashboard.test")


def sign_up(store, email: str = "ada@example.com", password: str = PASSWORD):
    return accounts.sign_up(store, BCRYPT, email, password, now=NOW, kind="browser")


def sign_in(store, email: str = "ada@example.com", password: object = PASSWORD, now=NOW):
    return accounts.sign_in(store, BCRYPT, email, password, now=now, kind="browser")


def token_of(links: Links, account, purpose: str) -> str:
    return links.url(account, purpose).rpartition("/")[2]


def pay(store, email: str = "ada@example.com", session: str = "cs_1") -> None:
    payments.handle_event(store, session_event(email, session=session), livemode=False, now=NOW)


def test_sign_up_makes_account_session_and_mail_together(store):
    signed_in = sign_up(store)

    account = store.accounts.get("ada@example.com")
    assert account.live_session(signed_in.session_id, NOW)
    assert (account.credits_balance, account.confirmed, account.role) == (0, False, "customer")
    assert signed_in.session_id not in str(account.sessions)
    assert [mail.mail_id for mail in all_mails(store)] == [f"confirm#{account.account_id}"]


def test_password_is_stored_hashed(store):
    sign_up(store)

    stored = store.accounts.get("ada@example.com").password_hash
    assert stored.startswith("$2b$04$")
    assert PASSWORD not in stored


def test_sign_up_changes_nothing_when_the_address_is_taken(store):
    make_account(store, credits=30)
    before = store.accounts.get("ada@example.com")

    with pytest.raises(AccountExists):
        sign_up(store, password=NEW_PASSWORD)

    assert store.accounts.get("ada@example.com") == before
    assert all_mails(store) == []


def test_sign_up_mails_a_link_when_a_payment_made_the_account(store):
    pay(store)

    with pytest.raises(AccountExists):
        sign_up(store)

    assert store.accounts.get("ada@example.com").password_hash is None
    assert sorted(mail.kind for mail in all_mails(store)) == ["set_password", "welcome"]


def test_one_sign_up_wins_when_many_race(store):
    def attempt(number: int) -> bool:
        try:
            sign_up(store, password=f"good password {number}")
        except AccountExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))

    assert won.count(True) == 1
    assert sign_in(store, password=f"good password {won.index(True)}")
    assert len(all_mails(store)) == 1


def test_account_is_nobodys_when_a_sign_up_races_the_payment(store):
    """Whoever came first: the credits belong to an account that only the mailbox opens."""
    with ThreadPoolExecutor(2) as pool:
        paid = pool.submit(pay, store)
        hijack = pool.submit(lambda: sign_up(store))
        paid.result()
        stolen = hijack.result() if hijack.exception() is None else None

    account = store.accounts.get("ada@example.com")
    assert account.credits_balance == 1000
    assert account.password_hash is None
    assert not account.sessions
    assert stolen is None or account.live_session(stolen.session_id, NOW) is None


def test_sign_in_opens_a_session_of_its_own_each_time(store):
    make_account(store)

    ids = [sign_in(store).session_id for _ in range(3)]

    account = store.accounts.get("ada@example.com")
    assert len(set(ids)) == 3
    assert all(account.live_session(session_id, NOW) for session_id in ids)


def test_twenty_sessions_at_most(store):
    make_account(store)

    ids = [sign_in(store, now=NOW + timedelta(seconds=n)).session_id for n in range(22)]

    account = store.accounts.get("ada@example.com")
    now = NOW + timedelta(minutes=1)
    assert [bool(account.live_session(session_id, now)) for session_id in ids] == [False] * 2 + [True] * 20


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "wrong"),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        (None, PASSWORD),
        ("ada@example.com", None),
        ("ada@example.com", PASSWORD + " "),
        ("ada@example.com", PASSWORD.upper()),
        ("ada@example.com", "x" * 1000),
        ("ada@example.com", "\ud800"),
        ("ada@example.com", "nul \x00"),
    ],
)
def test_sign_in_is_refused_alike_whatever_is_wrong(store, email, password):
    make_account(store)

    with pytest.raises(BadCredentials) as refusal:
        sign_in(store, email, password)

    assert refusal.value.message == BadCredentials.message
    assert store.accounts.get("ada@example.com").sessions == {}


def test_73rd_byte_is_not_forgotten(store):
    password = "abc" * 24  # 72 bytes
    make_account(store, password_hash=BCRYPT.hash(password))

    assert sign_in(store, password=password)
    with pytest.raises(BadCredentials):
        sign_in(store, password=password + "x")


def test_sign_in_is_refused_when_there_is_no_password_yet(store):
    pay(store)

    for password in ("", "None", PASSWORD):
        with pytest.raises(BadCredentials):
            sign_in(store, password=password)


def test_hash_is_renewed_when_the_cost_has_changed(store):
    make_account(store, password_hash=Passwords(5).hash(PASSWORD))

    sign_in(store)

    assert store.accounts.get("ada@example.com").password_hash.startswith("$2b$04$")
    assert sign_in(store)


def test_session_is_not_opened_with_a_password_that_is_being_replaced(store, links, monkeypatch):
    account = make_account(store, link_nonces={RESET: "nonce"})
    matches = BCRYPT.matches

    def slow(password: str, stored: str | None) -> bool:
        monkeypatch.undo()
        found = matches(password, stored)
        token = token_of(links, account, RESET)
        accounts.set_password(store, BCRYPT, links, token, NEW_PASSWORD, purpose=RESET, now=NOW)
        return found

    monkeypatch.setattr(BCRYPT, "matches", slow)
    with pytest.raises(BadCredentials):
        sign_in(store)

    assert len(store.accounts.get(account.email).sessions) == 1


def test_sign_out_ends_one_session_and_may_be_repeated(store):
    make_account(store)
    first, second = sign_in(store), sign_in(store)

    for _ in range(2):
        accounts.sign_out(store, first.account, first.session_id)

    account = store.accounts.get("ada@example.com")
    assert account.live_session(first.session_id, NOW) is None
    assert account.live_session(second.session_id, NOW)


# Links


def test_link_sets_the_password_once_when_it_races_itself(store, links):
    account = make_account(store, link_nonces={RESET: "nonce"})
    token = token_of(links, account, RESET)

    def use(number: int) -> bool:
        try:
            accounts.set_password(store, BCRYPT, links, token, f"{NEW_PASSWORD} {number}", purpose=RESET, now=NOW)
        except LinkExpired:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        used = list(pool.map(use, range(6)))

    assert used.count(True) == 1
    assert sign_in(store, password=f"{NEW_PASSWORD} {used.index(True)}")


def test_link_confirms_the_address_and_ends_what_was_before(store, links):
    account = make_account(store, confirmed_at=None, link_nonces={SET_PASSWORD: "s", RESET: "r", CONFIRM: "c"})
    old = sign_in(store)

    token = token_of(links, account, SET_PASSWORD)
    signed_in = accounts.set_password(store, BCRYPT, links, token, NEW_PASSWORD, purpose=SET_PASSWORD, now=NOW)

    account = store.accounts.get("ada@example.com")
    assert account.confirmed
    assert account.live_session(signed_in.session_id, NOW)
    assert account.live_session(old.session_id, NOW) is None
    assert SET_PASSWORD not in account.link_nonces
    assert RESET not in account.link_nonces


def test_link_survives_a_password_that_will_not_do(store, links):
    account = make_account(store, link_nonces={RESET: "nonce"})
    token = token_of(links, account, RESET)

    with pytest.raises(InvalidInput):
        accounts.set_password(store, BCRYPT, links, token, "short", purpose=RESET, now=NOW)

    assert accounts.set_password(store, BCRYPT, links, token, NEW_PASSWORD, purpose=RESET, now=NOW)


def test_link_signed_with_the_older_key_works_while_keys_are_rolled(store, links):
    account = make_account(store, link_nonces={RESET: "nonce"})
    before = Links(("older-signing-key",), "http://dashboard.test")

    assert links.email_of(token_of(before, account, RESET), RESET) == ("ada@example.com", "nonce")


def test_link_signed_with_a_dropped_key_is_dead(store, links):
    account = make_account(store, link_nonces={RESET: "nonce"})
    before = Links(("dropped-signing-key",), "http://dashboard.test")

    with pytest.raises(LinkExpired):
        links.email_of(token_of(before, account, RESET), RESET)


def test_asking_for_a_link_mails_it_once_in_five_minutes_and_kills_the_older(store, links):
    account = make_account(store, link_nonces={RESET: "older"})

    for seconds in (0, 10, 20):
        accounts.ask_for_link(store, account.email, now=NOW + timedelta(seconds=seconds))
    first = store.accounts.get(account.email).link_nonces[RESET]
    accounts.ask_for_link(store, account.email, now=NOW + timedelta(minutes=6))

    assert first != "older"
    assert store.accounts.get(account.email).link_nonces[RESET] != first
    assert [mail.kind for mail in all_mails(store)] == ["reset", "reset"]


def test_asking_for_a_link_is_silent_about_who_exists(store):
    make_account(store, "disabled@example.com", disabled_at=NOW)

    assert accounts.ask_for_link(store, "nobody@example.com", now=NOW) is None
    assert accounts.ask_for_link(store, "disabled@example.com", now=NOW) is None
    assert all_mails(store) == []


def test_rows_of_the_first_version_can_sign_in_buy_and_get_links(store, links):
    """They hold only the attributes of the original specification."""
    store.client.put_item(
        TableName="ImpacterAGI_Users",
        Item={
            "email": {"S": "ada@example.com"},
            "password_hash": {"S": BCRYPT.hash(PASSWORD)},
            "credits_balance": {"N": "0"},
            "created_at": {"S": "2025-01-01T00:00:00Z"},
        },
    )

    signed_in = sign_in(store)
    accounts.ask_for_link(store, "ada@example.com", now=NOW)
    pay(store)

    account = store.accounts.get("ada@example.com")
    assert account.credits_balance == 1000
    assert signed_in.account.email == account.email
    assert account.account_id
