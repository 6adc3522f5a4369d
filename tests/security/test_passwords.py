"""Passwords exactly as given, addresses of every legal shape, and many sign-ins at once."""

from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Semaphore

import bcrypt
import pytest

from app.domain.accounts import common_passwords
from app.domain.errors import InvalidInput
from app.services import accounts
from app.services.passwords import Passwords
from app.web import deps
from tests.support import NOW, PASSWORD, all_mails, make_account

CHEAP = Passwords(4)


def sign_up(store, email: str = "ada@example.com", password: str = PASSWORD) -> None:
    accounts.sign_up(store, CHEAP, email, password, now=NOW, kind="browser")


def opens(store, password: str, email: str = "ada@example.com") -> bool:
    try:
        accounts.sign_in(store, CHEAP, email, password, now=NOW, kind="browser")
    except accounts.BadCredentials:
        return False
    return True


@pytest.mark.threat(57)
@pytest.mark.parametrize(
    "password",
    [
        "x7q" * 21 + "z",
        " leading and trailing ",
        "pass  word  with  spaces",
        "пароль-длинный",
        "Zürich 🦕 ½",
        "tab\tand\nnewline",
    ],
)
def test_a_password_counts_to_the_byte(store, password):
    sign_up(store, password=password)

    assert opens(store, password)
    for other in (
        password + " ",
        password[:-1],
        password.swapcase(),
        unicodedata.normalize("NFD", password) + "\u0301",
    ):
        assert not opens(store, other)


@pytest.mark.threat(54)
@pytest.mark.parametrize("password", ["x7" * 37, "🦕" * 19, "a" * 71 + "é"])
def test_what_bcrypt_would_cut_is_refused_and_never_opens(store, password):
    with pytest.raises(InvalidInput):
        sign_up(store, password=password)
    make_account(store, password_hash=CHEAP.hash(password.encode()[:72].decode("utf-8", "ignore")))

    assert not opens(store, password)


@pytest.mark.threat(56)
def test_the_most_common_passwords_are_refused():
    assert len([word for word in common_passwords() if len(word) >= 8]) >= 3000
    for password in ("password", "12345678", "ImpacterAGI", "Dashboard2026!", "ada@example.com", "aaaaaaaa"):
        with pytest.raises(InvalidInput):
            accounts.check_new_password(password, "ada@example.com")


@pytest.mark.threat(52)
@pytest.mark.parametrize("email", ["a+tag@example.com", "o'brien@example.com", "info@bücher.example"])
def test_an_unusual_address_works_all_the_way(store, email):
    sign_up(store, email)

    assert opens(store, PASSWORD, email.upper())
    assert len(all_mails(store)) == 1


@pytest.mark.threat(52)
@pytest.mark.parametrize("email", ["jörg@example.com", "用户@a.example", '"quoted name"@example.com', "a@[127.0.0.1]"])
def test_an_address_that_mail_cannot_reach_is_refused(store, email):
    with pytest.raises(InvalidInput) as refusal:
        sign_up(store, email)

    assert refusal.value.field == "email"
    assert list(store.accounts.every()) == []


@pytest.mark.threat(75)
def test_other_pages_are_answered_while_twenty_sign_in_at_once(app, store, monkeypatch):
    """More than there are slots for work: all of them hash, none has finished, and a page comes all the same."""
    for number in range(20):
        make_account(store, f"user{number}@example.com")
    hashing, may_go_on = Semaphore(0), Event()

    class Slow:
        checkpw = staticmethod(lambda *_: may_go_on.wait(60))

        def __getattr__(self, name):
            return getattr(bcrypt, name)

    passwords = app.extensions[deps.KEY].passwords
    aside = passwords._aside

    @contextmanager
    def noted():
        with aside():
            hashing.release()
            yield

    monkeypatch.setattr("app.services.passwords.bcrypt", Slow())
    monkeypatch.setattr(passwords, "_aside", noted)

    def sign_in(number: int) -> int:
        body = {"email": f"user{number}@example.com", "password": PASSWORD}
        return app.test_client().post("/api/auth/login", json=body).status_code

    with ThreadPoolExecutor(21) as pool:
        waiting = [pool.submit(sign_in, number) for number in range(20)]
        try:
            assert all(hashing.acquire(timeout=30) for _ in waiting)
            page = pool.submit(lambda: app.test_client().get("/login").status_code)
            assert page.result(timeout=30) == 200
            assert not any(future.done() for future in waiting)
        finally:
            may_go_on.set()
        assert [future.result() for future in waiting] == [200] * 20
