"""Acting on another's account: the act and its audit row are written together, or neither is."""

from __future__ import annotations

import pytest

from app.data.client import Stale
from app.domain.errors import NotFound, StoreUnavailable
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


def test_what_the_owner_does_has_no_row(store):
    account = make_account(store)

    with transaction(store, None) as tx:
        tx.accounts.change_settings(account, theme="dark")

    assert store.accounts.get(account.email).theme == "dark"
    assert rows(store) == []
