"""Whose a request is, as it is known before the store is asked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.accounts import AccountKey
from app.domain.api_keys import new_secret
from app.domain.clock import utcnow
from app.web.deps import KEY
from app.web.whose import KeyOwners, Whose
from app.web.work_queue import PAID_AT
from tests.support import make_account, make_key


@pytest.fixture
def whose(app) -> Whose:
    wired = app.extensions[KEY]
    return Whose(app, wired.tokens, wired.key_owners)


def cookies_of(app, **session: str) -> str:
    client = app.test_client()
    with client.session_transaction() as found:
        found.update(session)
    cookie = client.get_cookie("session")
    return f"first=1; session={cookie.value}" if cookie else ""


def asked(path: str = "/dashboard", **headers: str) -> dict[str, str]:
    return {"PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7"} | {f"HTTP_{name.upper()}": headers[name] for name in headers}


def test_a_session_names_its_account_and_a_browser_without_one_its_address(app, whose):
    signed_in = cookies_of(app, email="ada@example.com", sid="s")

    assert whose(asked(cookie=signed_in)) == "ada@example.com"
    assert whose(asked(cookie=cookies_of(app, email="ada@example.com", half="s"))) == "ada@example.com"
    assert whose(asked(cookie=cookies_of(app, email="ada@example.com", left="s"))) == "192.0.2.7"
    for forged in ("", "session=", "session=x.y.z", signed_in[:-5], "=;;", signed_in.replace("session", "other")):
        assert whose(asked(cookie=forged)) == "192.0.2.7"
    assert whose(asked()) == "192.0.2.7"
    assert whose(asked("/api/tasks", cookie=signed_in)) == "192.0.2.7", "no call takes a cookie"


def test_a_session_that_is_too_old_names_nobody(app, whose, monkeypatch):
    signed_in = cookies_of(app, email="ada@example.com", sid="s")
    monkeypatch.setitem(app.config, "PERMANENT_SESSION_LIFETIME", timedelta(seconds=-60))

    assert whose(asked(cookie=signed_in)) == "192.0.2.7"


def test_a_token_names_its_account_and_one_that_nobody_has_signed_the_address(app, whose):
    token = app.extensions[KEY].tokens.issue(AccountKey("ada@example.com"), "s", utcnow())

    assert whose(asked("/api/tasks", authorization=f"Bearer {token}")) == "ada@example.com"
    assert whose(asked("/api/tasks", authorization=f"bearer  {token} ")) == "ada@example.com"
    for forged in ("", "Bearer", "Bearer ", f"Basic {token}", f"Bearer {token[:-2]}", token):
        assert whose(asked("/api/tasks", authorization=forged)) == "192.0.2.7"
    assert whose(asked(authorization=f"Bearer {token}")) == "192.0.2.7", "no page takes a token"


def test_a_key_names_its_account_once_it_has_been_let_in(app, whose, client, store):
    make_account(store)
    headers = {"Authorization": f"Bearer {make_key(store)}"}
    by_key = asked("/api/tasks", authorization=headers["Authorization"])
    assert whose(by_key) == "192.0.2.7", "anybody can make up as many as he likes"

    assert client.get("/api/tasks", headers=headers).status_code == 200

    assert whose(by_key) == "ada@example.com"
    assert whose(asked("/api/tasks", authorization=f"Bearer {new_secret()}")) == "192.0.2.7"


def test_strangers_are_told_apart_by_what_one_provider_gives_one_customer(whose):
    assert whose(asked() | {"REMOTE_ADDR": "2001:db8:1:2:3::4"}) == whose(asked() | {"REMOTE_ADDR": "2001:db8:1:2::9"})
    assert whose(asked() | {"REMOTE_ADDR": ""}) == "unknown"
    assert whose(asked(PAID_AT)) == "192.0.2.7"


def test_what_is_known_of_keys_is_bounded():
    owners = KeyOwners(most=2)
    for turn in range(3):
        owners.note(f"key_{turn}", "ada@example.com")
    owners.note("key_2", "eve@example.com")

    assert [owners.of(f"key_{turn}") for turn in range(3)] == [None, None, "eve@example.com"]
