"""The first accounts of a deployment."""

from app.services import seed
from app.services.passwords import Passwords
from tests.support import NOW, all_mails, make_account


def test_the_first_operator_is_made_with_a_link_to_set_a_password(store):
    assert seed.first_operator(store, " Boss@Example.com", now=NOW)

    account = store.accounts.get("boss@example.com")
    assert account.is_operator
    assert account.password_hash is None
    assert [(mail.kind, mail.to) for mail in all_mails(store)] == [("set_password", "boss@example.com")]


def test_an_account_that_is_there_keeps_its_role(store):
    make_account(store, "boss@example.com")

    assert not seed.first_operator(store, "boss@example.com", now=NOW)
    assert not store.accounts.get("boss@example.com").is_operator


def test_demo_accounts_are_made_once(store):
    first = list(seed.demo(store, Passwords(4), password="a demo password", now=NOW))
    again = list(seed.demo(store, Passwords(4), password="a demo password", now=NOW))

    assert [line["role"] for line in first] == ["customer", "admin"]
    assert [line["email"] for line in again] == [line["email"] for line in first]
    assert store.accounts.get("demo@example.com").credits_balance == 1000
