"""Acting on another's account: the act and its audit row are written together, or neither is."""

from __future__ import annotations

import pytest

from app.data.client import Stale
from app.data.lives import Life
from app.domain.errors import NotFound, StoreUnavailable
from app.services import customers, operators
from app.services.acting import Act, acting, transaction
from tests.support import NOW, make_account

ACT = Act("op@example.com", "account.note", "ada@example.com", NOW, "Because", {"theme": "light"}, {"theme": "dark"})


def rows(store):
    return store.audit.page_of("ada@example.com", limit=10).items


def test_the_act_and_its_row_are_one_transaction(store):
    account = make_account(store)

    darken(store, account)

    (row,) = rows(store)
    assert store.accounts.get(account.email).theme == "dark"
    assert (row.actor, row.action, row.at, row.reason) == ("op@example.com", "account.note", NOW, "Because")
    assert (row.before, row.after) == ({"theme": "light"}, {"theme": "dark"})


def darken(store, account, failure=None, **condition):
    with acting(store, ACT) as tx:
        tx.accounts.change_settings(account, theme="dark", **condition)
        if failure:
            raise failure


@pytest.mark.parametrize("failure", [NotFound(), StoreUnavailable()])
def test_a_block_that_fails_writes_neither(store, failure):
    account = make_account(store)

    with pytest.raises(type(failure)):
        darken(store, account, failure)

    assert store.accounts.get(account.email).theme != "dark"
    assert rows(store) == []


def test_an_act_whose_condition_fails_writes_no_row(store):
    account = make_account(store, confirmed_at=None)

    with pytest.raises(Stale):
        darken(store, account, confirmed=True)

    assert rows(store) == []


DONE_ONCE = {
    "disable": lambda store: customers.disable(store, "op@example.com", "ada@example.com", "Abuse", now=NOW),
    "enable": lambda store: customers.enable(store, "op@example.com", "ada@example.com", "Settled", now=NOW),
    "grant": lambda store: operators.grant(store, "ada@example.com", actor="op@example.com", now=NOW),
    "revoke": lambda store: operators.revoke(store, "ada@example.com", actor="op@example.com", now=NOW),
}


@pytest.mark.parametrize("act", DONE_ONCE)
def test_of_two_operators_at_once_one_has_done_it(store, monkeypatch, act):
    make_account(store, role="admin" if act == "revoke" else "customer", disabled_at=NOW if act == "enable" else None)
    read_before = store.accounts.get("ada@example.com")
    DONE_ONCE[act](store)
    with monkeypatch.context() as late:
        reads = iter([read_before])
        read = store.accounts.get
        late.setattr(store.accounts, "get", lambda email: next(reads, None) or read(email))
        DONE_ONCE[act](store)

    assert len(rows(store)) == 1


def test_an_account_that_never_had_a_role_is_made_an_operator(store):
    """A row of the original product."""
    make_account(store)
    store.updates.accounts._update_account(Life.of(store.accounts.get("ada@example.com")), remove=["role"])

    DONE_ONCE["grant"](store)

    assert store.accounts.get("ada@example.com").is_operator


def test_what_the_owner_does_has_no_row(store):
    account = make_account(store)

    with transaction(store, None) as tx:
        tx.accounts.change_settings(account, theme="dark")

    assert store.accounts.get(account.email).theme == "dark"
    assert rows(store) == []
