"""Addresses, passwords and the life of a session, as pure rules."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.accounts import (
    MAX_SESSIONS,
    Account,
    Passkey,
    Session,
    check_new_password,
    common_passwords,
    mask_email,
    new_account_id,
    new_session_id,
    normalise_email,
    session_key,
)
from app.domain.errors import InvalidInput
from tests.support import NOW

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada@Example.COM\n", "ada@example.com"),
        ("ada+tag@example.com", "ada+tag@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("ada@BÜCHER.example", "ada@bücher.example"),
        ("ada@example.ΟΔΟΣ", "ada@example.οδοσ"),  # as browsers do it: no other letter at the end
        ("ada@bu\u0308cher.example", "ada@bücher.example"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        ("ada@shop.test", "ada@shop.test"),
    ],
)
def test_one_form_of_an_address(typed, kept):
    assert normalise_email(typed) == kept
    assert normalise_email(kept) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "ada@@example.com",
        "a b@example.com",
        "ada@example..com",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada\x00@example.com",
        "ada\ud800@example.com",
        "münchen@example.com",  # SES delivers to no such address
        "a" * 65 + "@example.com",
        "ada@" + "x" * 260 + ".com",
        "ada@[127.0.0.1]",
        None,
        5,
    ],
)
def test_refused_when_it_is_no_address(typed):
    with pytest.raises(InvalidInput) as refusal:
        normalise_email(typed)

    assert refusal.value.field == "email"


def test_an_example_is_given_when_an_address_is_refused():
    with pytest.raises(InvalidInput, match=r"^Enter an e-mail address like name@example\.com\.$"):
        normalise_email("ada")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "x" * 30 + "yz",
        "🔒🚪🏠🌲🌊🌙⭐🎈",
        "  spaces kept  ",
        "73529461830275",
        "pässwörter 2",
        "abc" * 24,
    ],
)
def test_password_is_kept_exactly(password):
    assert check_new_password(password, "ada@example.com") == password
    assert check_new_password(password) == password


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "8 characters"),
        ("1234567", "8 characters"),
        ("x" * 73, "72 bytes"),
        ("🔒" * 19, "72 bytes"),
        ("é" * 37, "72 bytes"),
        ("password", "common"),
        ("PASSWORD", "common"),
        ("iloveyou1", "common"),
        ("aaaaaaaaaaaa", "common"),
        ("impacteragi", "context"),
        ("Impacteragi2026!", "context"),
        ("dashboard123", "context"),
        ("ada.lovelace@example.com", "context"),
        ("ada.lovelace42", "context"),
        ("nul \x00 inside", "stored"),
        ("lone \ud800 surrogate", "stored"),
        (None, "text"),
    ],
)
def test_password_is_refused_with_the_reason(password, reason):
    with pytest.raises(InvalidInput, match=reason) as refusal:
        check_new_password(password, "ada.lovelace@example.com")

    assert refusal.value.field == "password"


def test_list_of_common_passwords_is_long_enough():
    common_passwords.cache_clear()  # read the list itself

    assert len(common_passwords()) >= 3000


def session(kind: str = "browser", *, age: timedelta = HOUR, idle: timedelta = timedelta(0), key: str = "k") -> Session:
    return Session(key, kind, NOW - age, NOW - idle)


@pytest.mark.parametrize(
    ("kind", "role", "age", "idle", "live"),
    [
        ("browser", "customer", 29 * DAY, 11 * HOUR, True),
        ("browser", "customer", 30 * DAY, HOUR, False),
        ("browser", "customer", 13 * HOUR, 12 * HOUR, False),
        ("browser", "admin", 11 * HOUR, timedelta(minutes=29), True),
        ("browser", "admin", HOUR, timedelta(minutes=30), False),
        ("browser", "admin", 12 * HOUR, timedelta(0), False),
        ("api", "customer", 11 * HOUR, 11 * HOUR, True),
        ("api", "customer", 12 * HOUR, timedelta(0), False),
        ("api", "admin", 11 * HOUR, 11 * HOUR, True),
        ("half", "customer", timedelta(minutes=9), timedelta(minutes=9), True),
        ("half", "admin", timedelta(minutes=10), timedelta(0), False),
    ],
)
def test_session_lives_as_long_as_its_role_and_kind_allow(kind, role, age, idle, live):
    assert session(kind, age=age, idle=idle).is_live(NOW, role) is live


def account(*sessions: Session, **attributes) -> Account:
    return Account("ada@example.com", "acc_1", NOW, sessions={s.key: s for s in sessions}, **attributes)


def test_session_is_found_by_its_id_alone():
    session_id = new_session_id()
    found = account(session(key=session_key(session_id)))

    assert found.live_session(session_id, NOW) is not None
    assert found.live_session(session_key(session_id), NOW) is None, "the stored hash opens nothing"
    assert found.live_session("", NOW) is None
    assert found.live_session("\ud800", NOW) is None, "whatever a cookie holds"


def test_half_a_sign_in_opens_only_what_asks_for_the_other_half():
    half, whole = new_session_id(), new_session_id()
    found = account(session("half", age=timedelta(0), key=session_key(half)), session(key=session_key(whole)))

    assert found.live_session(half, NOW) is None
    assert found.live_session(half, NOW, half=True) is not None
    assert found.live_session(whole, NOW, half=True) is None


def test_sessions_are_found_again_when_the_code_is_newer_than_they_are():
    """What the store keeps of an id stays the same for ever: another hash would sign everybody out."""
    assert session_key("abc") == "ba7816bf8f01cfea414140de5dae2223"


def test_disabled_account_has_no_live_session():
    session_id = new_session_id()

    assert account(session(key=session_key(session_id)), disabled_at=NOW).live_session(session_id, NOW) is None


def test_session_ids_are_random_and_long():
    ids = {new_session_id() for _ in range(100)}

    assert len(ids) == 100
    assert min(map(len, ids)) >= 22


@pytest.mark.parametrize("kind", MAX_SESSIONS)
def test_oldest_session_of_the_same_kind_makes_room_and_no_other(kind):
    most = MAX_SESSIONS[kind]
    alike = [session(kind, key=f"s{n}", age=timedelta(seconds=n)) for n in range(most)]
    full = [
        session(other, key=f"{other}{n}", age=timedelta()) for other in MAX_SESSIONS for n in range(MAX_SESSIONS[other])
    ]
    others = [one for one in full if one.kind != kind]

    assert account(*alike[1:], *others).sessions_to_drop(kind, NOW) == []
    assert account(*alike, *others).sessions_to_drop(kind, NOW) == [f"s{most - 1}"]


def test_dead_sessions_go_first():
    browsers = [session(key=f"b{n}") for n in range(MAX_SESSIONS["browser"] - 1)]
    dead = session(key="dead", age=31 * DAY)

    assert account(*browsers, dead).sessions_to_drop("browser", NOW) == ["dead"]


@pytest.mark.parametrize(("email", "masked"), [("ada@example.com", "a***@example.com"), ("", "***@")])
def test_log_form_of_an_address(email, masked):
    assert mask_email(email) == masked


@pytest.mark.parametrize(
    ("attributes", "can_spend"),
    [
        ({"credits_balance": 1}, True),
        ({"credits_balance": 0}, False),
        ({"credits_balance": -1}, False),
        ({"credits_balance": 1, "disabled_at": NOW}, False),
        ({"credits_balance": 1, "deleted_at": NOW}, False),
        ({"credits_balance": 1, "frozen_at": NOW}, False),
    ],
)
def test_only_an_open_account_with_credits_can_spend(attributes, can_spend):
    assert account(**attributes).can_spend is can_spend


@pytest.mark.parametrize(
    ("attributes", "standing"),
    [
        ({"confirmed_at": NOW}, ()),
        ({}, ("not confirmed",)),
        ({"deleted_at": NOW}, ("deleted",)),
        (
            {"frozen_at": NOW, "disabled_at": NOW, "credits_balance": -1},
            ("frozen", "disabled", "owing", "not confirmed"),
        ),
    ],
)
def test_an_account_says_in_what_standing_it_is(attributes, standing):
    assert account(**attributes).standing == standing


def test_an_account_says_what_it_is():
    passkeys = {"k": Passkey("k", "id", "key", 0, "Phone", NOW)}

    assert [account(role=role).is_operator for role in ("customer", "admin")] == [False, True]
    assert [account(confirmed_at=at).confirmed for at in (None, NOW)] == [False, True]
    assert [account(**has).has_second_factor for has in ({}, {"totp": "sealed"}, {"passkeys": passkeys})] == [
        False,
        True,
        True,
    ]


def test_account_ids_are_random_and_tell_what_they_are():
    ids = {new_account_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(each.startswith("acc_") and len(each) >= 26 for each in ids)
