"""A record is described once, in the domain: nothing of it is lost on the way to its row and back, nothing is added."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app.data
import app.domain
from app.data import Store
from app.data.account_writes import MOVED
from app.data.codec import decode_item, encode_item
from app.data.records import Codec
from app.data.store import Transaction
from app.domain.accounts import Account, LinkMails, Passkey, Session, Settings
from app.domain.by_hand import Hand
from app.domain.credits import PostedEntry
from app.domain.drafts import Drafts
from app.domain.paging import Page
from app.domain.payments import PaymentRecord
from app.domain.reversals import Amount
from app.domain.sales import Origin
from app.domain.tasks import STATUSES, Task
from tests.support import NOW, make_account

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 10**17).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds // 50))
PLAIN = {str: WORDS, int: st.integers(-(10**12), 10**12), bool: st.booleans(), datetime: MOMENTS}
PLAIN[Any] = PLAIN[int] | WORDS | st.lists(WORDS, max_size=2) | st.dictionaries(WORDS, PLAIN[bool], max_size=2)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of this type may hold."""
    hint = getattr(hint, "__supertype__", hint)  # of a NewType
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


PURPOSES = st.sampled_from(["confirm", "set_password", "reset", "address"])
# What a field may hold, where that is less than its type says.
ONLY: dict[type, dict[str, Any]] = {
    Account: {
        "link_mails": st.dictionaries(PURPOSES, st.builds(LinkMails, MOMENTS, st.integers(1, 9))),
        "unexplained": st.none(),
    },
    Task: {"status": st.sampled_from(STATUSES), "unexplained": st.none()},
    PostedEntry: {"sequence": st.integers(1, 10**6), "unreadable": st.none()},
    PaymentRecord: {
        "charge_refunded": st.builds(Amount, PLAIN[int], currency=WORDS, told=PLAIN[int]),  # no more is told of a sum
        "origin": st.none() | records(Origin).filter(lambda origin: origin != Origin()),  # what says nothing is none
    },
}


HANDED_IN: dict[type, set[str]] = {  # by whoever reads: all else comes out of the row
    Session: {"key"},
    Passkey: {"key"},
    Drafts: {"packed"},
    Hand: {"name", "in_good_standing", "account"},
    PostedEntry: {"unreadable"},
    Task: {"unexplained"},
}


@cache
def codecs() -> dict[str, Codec[Any]]:
    """Every codec of the data layer, found where it stands: a new one cannot be forgotten."""
    found: dict[int, tuple[str, Codec[Any]]] = {}
    for info in iter_modules(app.data.__path__):
        for name, value in vars(import_module(f"app.data.{info.name}")).items():
            if isinstance(value, Codec):
                found.setdefault(id(value), (f"{value.of.__name__} as {name}", value))
    return dict(found.values())


@cache
def records_of(name: str) -> st.SearchStrategy[Any]:
    """Made once for each codec: to make it anew for each example cost more than the example."""
    record = codecs()[name].of
    return records(record, **ONLY.get(record, {}))


@pytest.mark.parametrize("name", codecs())
@given(data=st.data())
def test_a_record_comes_back_as_it_went(name, data):
    codec = codecs()[name]
    record = data.draw(records_of(name))

    row = decode_item(encode_item(codec.row(record)))

    handed_in = {field: getattr(record, field) for field in codec.but - codec._otherwise(row).keys()}
    assert handed_in.keys() == HANDED_IN.get(codec.of, set())
    assert codec.record(row, **handed_in) == record


@pytest.mark.parametrize("name", codecs())
@given(data=st.data())
def test_what_a_later_release_adds_to_a_row_is_no_matter(name, data):
    codec = codecs()[name]
    row = codec.row(data.draw(records_of(name)))
    handed_in = dict.fromkeys(codec.but - codec._otherwise(row).keys())

    assert codec.record(row | {"of a later release": {"x": 1}}, **handed_in) == codec.record(row, **handed_in)


NO_RECORDS = {  # of what the data layer has for itself
    *(
        "Alike",
        "Called",
        "Chunk",
        "Difference",
        "DueMails",
        "Export",
        "Index",
        "Life",
        "Line",
        "Migration",
        "OneKey",
        "Page",
        "Patience",
        "Place",
        "Proof",
        "Source",
        "Table",
        "Window",
    ),
}


def data_layer() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(Path(app.data.__file__).parent.glob("*.py")):
        yield path.name, ast.parse(path.read_text())


def test_records_stand_in_the_domain():
    found = {
        part.name.strip("_")
        for _, tree in data_layer()
        for part in tree.body
        if isinstance(part, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in part.decorator_list)
    }

    assert found == NO_RECORDS


def test_no_record_is_read_by_hand():
    """Out of a row a record comes through its codec; a codec's `_otherwise` may say how one field is read."""
    domain = {
        name
        for info in iter_modules(app.domain.__path__)
        for name, value in vars(import_module(f"app.domain.{info.name}")).items()
        if is_dataclass(value) and not (isinstance(value, type) and issubclass(value, Page))
    }
    wrong = [
        f"{name}: {ast.unparse(call)}"
        for name, tree in data_layer()
        for part in ast.walk(tree)
        if isinstance(part, ast.FunctionDef) and part.name != "_otherwise"
        for call in ast.walk(part)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in domain
        for inner in ast.walk(call)
        if (isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant))
        or (isinstance(inner, ast.Attribute) and inner.attr == "get")
    ]

    assert not wrong


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


def test_the_settings_are_fields_of_an_account_and_none_that_the_ledger_or_a_counter_explains():
    settings, known = get_type_hints(Settings), get_type_hints(Account)

    assert {name: hint for name, hint in settings.items() if hint not in (known[name], known[name] | None)} == {}
    assert settings.keys().isdisjoint({"credits_balance", "version", "open_tasks", "life", "session_version", *MOVED})


def test_one_link_is_renewed_and_the_others_stay(store):
    account = make_account(store, link_nonces={"confirm": "c", "reset": "r"}, draft="Words")

    with store.transaction() as tx:
        tx.accounts.change_settings(account, link_nonces={"reset": "newer"}, draft=None)

    stands = store.accounts.get(account.email)
    assert (dict(stands.link_nonces), stands.draft) == ({"confirm": "c", "reset": "newer"}, "")
