"""A record is described once, in the domain: nothing of it is lost on the way to its row and back, nothing is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.data import Store
from app.data.account_rows import ACCOUNT
from app.data.codec import decode_item, encode_item
from app.data.records import Codec
from app.data.store import Transaction
from app.domain.accounts import Account, LinkMails
from app.domain.tasks import Result
from tests.support import NOW, make_account

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 10**17).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds // 50))
PLAIN = {str: WORDS, int: st.integers(-(10**12), 10**12), bool: st.booleans(), datetime: MOMENTS}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of this type may hold."""
    kind, inner = get_origin(hint), [part for part in get_args(hint) if part is not NoneType]
    if hint in PLAIN:
        return PLAIN[hint]
    if kind in (Union, UnionType):
        return st.none() | values(inner[0])
    if kind is frozenset:
        return st.frozensets(values(inner[0]), max_size=3)
    if kind is tuple:
        return st.lists(values(inner[0]), max_size=3).map(tuple)
    if is_dataclass(hint):
        return records(hint)
    of = values(inner[1])
    named = is_dataclass(inner[1]) and "key" in {field.name for field in fields(inner[1])}
    found = st.dictionaries(WORDS, of, max_size=3)
    return found.map(lambda d: {one.key: one for one in d.values()}) if named else found


def records(record: Any, **given_values: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(record)
    return st.builds(record, **{field.name: values(hints[field.name]) for field in fields(record)} | given_values)


LINK_MAILS = st.dictionaries(
    st.sampled_from(["confirm", "set_password", "reset"]), st.builds(LinkMails, MOMENTS, st.integers(1, 9))
)


@given(records(Account, link_mails=LINK_MAILS, unexplained=st.none()))
def test_an_account_comes_back_as_it_went(account):
    assert ACCOUNT.record(decode_item(encode_item(ACCOUNT.row(account)))) == account


@given(records(Result))
def test_a_result_with_its_files_comes_back_as_it_went(result):
    codec = Codec(Result)

    assert codec.record(decode_item(encode_item(codec.row(result)))) == result


def test_what_is_set_on_a_new_account_is_stored(store):
    """Each of these was dropped without a word."""
    given_fields: dict[str, Any] = {
        "frozen_at": NOW,
        "draft": "Words",
        "shortcuts": False,
        "recovery_codes": frozenset({"a" * 40}),
        "by_hand": 7,
        "by_hand_on": "2026-11-22",
        "session_version": 3,
        "challenge": "assert:0:00",
        "link_mails": {"reset": LinkMails(NOW, 2)},
    }

    account = make_account(store, **given_fields)

    stands = store.accounts.get(account.email)
    assert {name: getattr(stands, name) for name in given_fields} == given_fields


WRITES: dict[str, Callable[[Store, Transaction, Account], Any]] = {
    "update": lambda store, tx, account: store.updates.accounts.change(account, theem="dark"),
    "settings": lambda store, tx, account: tx.accounts.change_settings(account, theem="dark"),
    "balance": lambda store, tx, account: tx.accounts.move_balance(account, account, theem="dark"),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_is_no_field_of_an_account_is_refused(store, write):
    account = make_account(store)

    with pytest.raises(TypeError, match="theem"), store.transaction() as tx:
        WRITES[write](store, tx, account)

    assert "theem" not in store._get("Users", {"email": account.email})


def test_one_link_is_renewed_and_the_others_stay(store):
    account = make_account(store, link_nonces={"confirm": "c", "reset": "r"}, draft="Words")

    with store.transaction() as tx:
        tx.accounts.change_settings(account, link_nonces={"reset": "newer"}, draft=None)

    stands = store.accounts.get(account.email)
    assert (dict(stands.link_nonces), stands.draft) == ({"confirm": "c", "reset": "newer"}, "")
