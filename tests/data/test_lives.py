"""A write that was decided on in one life of an account reaches neither its tombstone nor its next life."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.data import Store
from app.data.codec import decode_item, encode_item
from app.data.lives import LifeUpdates, LifeWrites
from app.data.second_factors import Proof
from app.data.store import Transaction
from app.domain.accounts import BROWSER, HALF, Account, AddressChange, LinkMails, Passkey, Session
from app.domain.by_hand import hand_of
from app.domain.clock import to_iso
from app.domain.errors import DomainError
from tests.support import NOW, make_account

ADA = "ada@example.com"
KEY, HALF_KEY, NEW_KEY = "a" * 32, "b" * 32, "c" * 32
LATER = NOW + timedelta(days=1)
PROOF = Proof("totp", condition="attribute_exists(email)")
FRESH = Session(NEW_KEY, BROWSER, NOW, NOW)
CHANGE = AddressChange("lovelace@example.org", NOW, "Firefox", "n1", "n2", 0)
PASSKEY = Passkey("d" * 32, "id", "key", 0, "Phone", NOW)

SINGLE: dict[str, Callable[[Store, Account], Any]] = {
    "accounts.add_session": lambda s, a: s.updates.accounts.add_session(a, FRESH, NOW),
    "accounts.touch_session": lambda s, a: s.updates.accounts.touch_session(a, a.sessions[KEY], LATER),
    "accounts.end_sessions": lambda s, a: s.updates.accounts.end_sessions(a),
    "accounts.remove_session": lambda s, a: s.updates.accounts.remove_session(a, KEY),
    "accounts.set_password": lambda s, a: s.updates.accounts.set_password(
        a, "new", used=(), nonce=("reset", "n"), now=NOW
    ),
    "accounts.confirm_address": lambda s, a: s.updates.accounts.confirm_address(a, ("reset", "n"), NOW),
    "accounts.change": lambda s, a: s.updates.accounts.change(
        a, visible=False, draft="typed", stripe_customer_id="cus_1"
    ),
    "accounts.told_stripe": lambda s, a: s.updates.accounts.told_stripe(a),
    "second_factors.finish_sign_in": lambda s, a: s.updates.second_factors.finish_sign_in(
        a, HALF_KEY, FRESH, PROOF, NOW
    ),
    "second_factors.prove_session": lambda s, a: s.updates.second_factors.prove_session(a, KEY, PROOF, NOW),
    "second_factors.put_challenge": lambda s, a: s.updates.second_factors.put_challenge(a, "assert:0:00"),
    "second_factors.put_pending_totp": lambda s, a: s.updates.second_factors.put_pending_totp(a, "sealed anew"),
}
WITHIN: dict[str, Callable[[Transaction, Account], Any]] = {
    "accounts.restate_balance": lambda tx, a: tx.accounts.restate_balance(a, a.credits_balance),
    "accounts.move_balance": lambda tx, a: tx.accounts.move_balance(a, replace(a, spend_by_day={"2026-01-01": 1})),
    "accounts.renew_link": lambda tx, a: tx.accounts.renew_link(
        a, "reset", "newer", mails=LinkMails(NOW, 1), now=NOW, not_since=NOW
    ),
    "accounts.change_password": lambda tx, a: tx.accounts.change_password(a, "new", FRESH),
    "accounts.come_back": lambda tx, a: tx.accounts.come_back(a, "new", used=(), nonce=("reset", "n"), now=NOW),
    "accounts.ask_for_address": lambda tx, a: tx.accounts.ask_for_address(a, CHANGE, LinkMails(NOW, 1), NOW),
    "accounts.move_address": lambda tx, a: tx.accounts.move_address(a, CHANGE, FRESH, NOW),
    "accounts.erase": lambda tx, a: tx.accounts.erase(a, NOW),
    "accounts.change_settings": lambda tx, a: tx.accounts.change_settings(a, theme="dark"),
    "second_factors.enable_totp": lambda tx, a: tx.second_factors.enable_totp(a, 1, [], KEY, NOW),
    "second_factors.add_passkey": lambda tx, a: tx.second_factors.add_passkey(a, PASSKEY, [], KEY, NOW),
    "second_factors.remove_factor": lambda tx, a: tx.second_factors.remove_factor(a, last=True),
    "by_hand.count": lambda tx, a: tx.by_hand.count(hand_of(a), 1, limit=9, now=NOW),
    "second_factors.replace_recovery_codes": lambda tx, a: tx.second_factors.replace_recovery_codes(a, ["e" * 40]),
}
# Two name their row otherwise: an open task keeps its owner from being deleted, and a deletion names itself.


def parts(door: object) -> dict[str, object]:
    """The repositories behind a door, by name."""
    names = {*vars(door), *vars(type(door))}
    return {name: getattr(door, name) for name in names if hasattr(getattr(door, name), "__module__")}


def found(repositories: dict[str, object], through: str) -> set[str]:
    return {f"{name}.{method}" for name, part in repositories.items() for method in writers(type(part), through)}


def writers(part: type, through: str) -> set[str]:
    return {
        name
        for name, method in inspect.getmembers(part, inspect.isfunction)
        if not name.startswith("_")
        and method not in (vars(LifeWrites).get(name), vars(LifeUpdates).get(name))
        and f"self.{through}(" in inspect.getsource(method)
    }


def row_of(store: Store) -> dict[str, Any]:
    answer = store.client.get_item(
        TableName=store.prefix + "Users", Key=encode_item({"email": ADA}), ConsistentRead=True
    )
    return decode_item(answer["Item"])


@pytest.fixture
def ada(store) -> Account:
    sessions = {KEY: Session(KEY, BROWSER, NOW, NOW), HALF_KEY: Session(HALF_KEY, HALF, NOW, NOW)}
    return make_account(
        store,
        role="admin",
        sessions=sessions,
        link_nonces={"reset": "n"},
        totp_pending="sealed",
        challenge="register:0:00",
        frozen_at=NOW,
        recovery_codes=frozenset({"f" * 40}),
        passkeys={"0" * 32: Passkey("0" * 32, "i", "k", 0, "n", NOW)},
    )


def test_every_method_that_writes_an_account_is_walked_here(store):
    assert found(parts(store.updates), "_update_account") == {*SINGLE, "erasure.mark_erased"}
    assert found(parts(Transaction(store.client, store.prefix)), "update_account") == {
        *WITHIN,
        "accounts.count_open_task",
    }


@pytest.mark.parametrize("name", [*SINGLE, *WITHIN])
def test_a_write_lands_in_the_life_that_it_was_decided_on(store, ada, name):
    before = row_of(store)

    if name in SINGLE:
        SINGLE[name](store, ada)
    else:
        with store.transaction() as tx:
            WITHIN[name](tx, ada)

    assert row_of(store) != before


@pytest.mark.parametrize("name", [*SINGLE, *WITHIN])
@pytest.mark.parametrize("since", ["deleted", "come back"])
def test_a_write_of_an_ended_life_changes_nothing(store, ada, name, since):
    """The row is as it was but for the mark of the deletion: nothing else could refuse the write."""
    marks = {"life": 1} | ({"deleted_at": to_iso(NOW)} if since == "deleted" else {})
    left = row_of(store) | marks
    store.client.put_item(TableName=store.prefix + "Users", Item=encode_item(left))

    if name in (
        "accounts.end_sessions",
        "accounts.remove_session",
        "accounts.told_stripe",
    ):  # that life has no session left, and Stripe's customer is none of the next one's
        SINGLE[name](store, ada)
    else:
        with pytest.raises(DomainError), store.transaction() as tx:
            SINGLE[name](store, ada) if name in SINGLE else WITHIN[name](tx, ada)

    assert row_of(store) == left


def test_who_reads_the_tombstone_can_write_it(store, ada):
    """Payments reach it, and its owner comes back by a mailed link: the same account in another life."""
    with store.transaction() as tx:
        tx.accounts.erase(ada, NOW)
    tombstone = store.accounts.get(ADA)

    with store.transaction() as tx:
        tx.accounts.renew_link(tombstone, "set_password", "m", mails=LinkMails(NOW, 1), now=NOW, not_since=NOW)
    store.updates.accounts.set_password(store.accounts.get(ADA), "new", used=(), nonce=("set_password", "m"), now=NOW)

    back = store.accounts.get(ADA)
    assert (back.deleted_at, back.life, back.account_id) == (None, 1, ada.account_id)


def test_a_row_of_an_account_is_not_changed_past_the_door(store, ada):
    with pytest.raises(TypeError, match="names the life"):
        store._update("Users", {"email": ADA}, set={"draft": "x"})
    with pytest.raises(TypeError, match="names the life"), store.transaction() as tx:
        tx.update("Users", {"email": ADA}, set={"draft": "x"})
