"""Who is an operator: whose mailbox is proven, with no session from before, and with a row that says who did it."""

from __future__ import annotations

import pytest

from app.data.transaction import Writes
from app.domain.accounts import API, BROWSER, Session
from app.domain.errors import NotFound, WrongState
from app.services import accounts, operators, seed
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, all_mails, in_another_worker, make_account

ADA = "ada@example.com"
BY = {"actor": "command line", "now": NOW}


def sessions():
    return {key * 32: Session(key * 32, kind, NOW, NOW) for key, kind in (("a", BROWSER), ("b", API))}


def acts(store, email=ADA):
    return [(row.action, row.actor, row.reason) for row in reversed(store.audit.page_of(email, limit=9).items)]


def test_a_proven_account_becomes_an_operators_and_every_session_and_token_ends(store):
    make_account(store, sessions=sessions())

    operators.grant(store, ADA, reason="Joins the night shift", **BY)
    operators.grant(store, ADA, **BY)

    account = store.accounts.get(ADA)
    assert account.is_operator
    assert dict(account.sessions) == {}
    assert account.session_version == 1
    assert acts(store) == [("admin.grant", "command line", "Joins the night shift")]
    assert [mail.kind for mail in all_mails(store)] == ["security"]


@pytest.mark.parametrize("attributes", [{"confirmed_at": None}, {"disabled_at": NOW}], ids=["unconfirmed", "disabled"])
def test_an_account_that_anybody_may_have_opened_is_not_made_an_operators(store, attributes):
    make_account(store, sessions=sessions(), **attributes)

    with pytest.raises(WrongState):
        operators.grant(store, ADA, **BY)

    account = store.accounts.get(ADA)
    assert not account.is_operator
    assert len(account.sessions) == 2
    assert acts(store) == []


def test_a_deleted_account_is_not_made_an_operators(store):
    accounts.delete(store, Passwords(4), make_account(store), PASSWORD, now=NOW)

    with pytest.raises(WrongState, match="deleted"):
        operators.grant(store, ADA, **BY)
    with pytest.raises(NotFound):
        operators.grant(store, "nobody@example.com", **BY)


def test_a_grant_is_refused_when_the_account_is_deleted_between_the_look_and_the_write(store, monkeypatch):
    in_another_worker(monkeypatch)
    account = make_account(store)
    commit = Writes.commit

    def late(writes):
        monkeypatch.setattr(Writes, "commit", commit)
        accounts.delete(store, Passwords(4), account, PASSWORD, now=NOW)
        commit(writes)

    monkeypatch.setattr(Writes, "commit", late)

    with pytest.raises(WrongState):
        operators.grant(store, ADA, **BY)

    assert store.accounts.get(ADA).role == "customer"
    assert acts(store) == []


def test_a_revocation_is_written_down_once(store):
    make_account(store, role="admin")

    for _ in range(2):
        operators.revoke(store, ADA, reason="Left", **BY)

    assert store.accounts.get(ADA).role == "customer"
    assert acts(store) == [("admin.revoke", "command line", "Left")]


def test_an_operator_who_deletes_the_account_is_none_any_more_and_the_log_says_so(store):
    account = make_account(store, role="admin")

    accounts.delete(store, Passwords(4), account, PASSWORD, now=NOW)

    assert acts(store) == [("admin.revoke", ADA, "The account was deleted.")]


def test_the_first_operator_is_never_an_account_that_is_there_already(store):
    """A stranger may have signed up with the address before the first start."""
    make_account(store, confirmed_at=None, sessions=sessions())

    assert seed.first_operator(store, ADA, now=NOW) is False

    assert store.accounts.get(ADA).role == "customer"
    assert seed.first_operator(store, "boss@example.com", now=NOW) is True
    boss = store.accounts.get("boss@example.com")
    assert (boss.is_operator, boss.password_hash, dict(boss.sessions)) == (True, None, {})
