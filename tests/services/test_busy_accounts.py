"""Acts of operators and owners on an account that is busy: an unrelated change is no reason to refuse them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.data import Store
from app.data.client import Stale
from app.data.transaction import Writes
from app.domain.accounts import Session
from app.domain.errors import BadCredentials, NotFound, NotSignedIn, WrongState
from app.services import accounts, books, codes, customers, tasks
from app.services.passwords import Passwords
from tests.services.test_codes import make_code
from tests.support import NOW, PASSWORD, make_account, make_operators

OP, ADA, BCRYPT = "op@example.com", "ada@example.com", Passwords(4)
HOW = {"actor": OP, "reason": "Because", "now": NOW}


def propose(store):
    return customers.adjust(store, OP, ADA, 6000, "Gift", idempotency_key="r-1", limit=5000, now=NOW).done


ACTS = {
    "disable": lambda store: customers.disable(store, OP, ADA, "Because", now=NOW),
    "enable": lambda store: customers.enable(store, OP, ADA, "Because", now=NOW),
    "end_sessions": lambda store: customers.end_sessions(store, OP, ADA, now=NOW),
    "decline": lambda store: customers.decline(
        store, OP, store.proposals.list_waiting(limit=1).items[0].adjustment_id, now=NOW
    ),
    "propose": propose,
    "switch off": lambda store: codes.disable(store, "SPRING-2026", **HOW),
    "unfreeze": lambda store: books.unfreeze(store, ADA, **HOW),
    "delete": lambda store: accounts.delete(store, BCRYPT, store.accounts.get(ADA), PASSWORD, now=NOW),
}
AUDITED = {
    "disable": "account.disable",
    "enable": "account.enable",
    "end_sessions": "account.end_sessions",
    "decline": "credits.decline",
    "propose": "credits.propose",
    "unfreeze": "account.unfreeze",
}


@pytest.fixture
def account(store):
    make_operators(store)
    make_code(store)
    session = Session("k" * 32, "browser", NOW, NOW)
    return make_account(store, credits=200, sessions={session.key: session})


def prepared(store: Store, act: str):
    """The store in the state that the act expects."""
    if act == "decline":
        propose(store)
    if act == "enable":
        customers.disable(store, OP, ADA, "Before", now=NOW)
    if act == "unfreeze":
        store.updates.accounts.change(store.accounts.get(ADA), frozen_at=NOW)
    return ACTS[act]


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_done_when_a_write_of_somebody_else_was_in_its_way(store, account, monkeypatch, act):
    run, commit, conflicts = prepared(store, act), Writes.commit, []

    def in_the_way(writes):
        if len(conflicts) < 2:
            conflicts.append(1)
            raise Stale
        commit(writes)

    monkeypatch.setattr(Writes, "commit", in_the_way)
    run(store)

    assert len(conflicts) == 2
    if act in AUDITED:
        assert [row.action for row in store.audit.page_of(ADA, limit=9).items].count(AUDITED[act]) == 1
    now = store.accounts.get(ADA)
    assert now.disabled is (act == "disable")
    assert now.frozen_at is None
    assert (now.deleted_at is not None) is (act == "delete")
    assert dict(now.sessions) == ({} if act in ("disable", "enable", "end_sessions", "delete") else account.sessions)
    assert store.codes.find("SPRING-2026").disabled is (act == "switch off")


@pytest.mark.parametrize("act", ["disable", "enable", "end_sessions", "unfreeze", "decline", "switch off", "delete"])
def test_an_act_is_refused_at_once_when_its_rule_fails(store, account, monkeypatch, act):
    """A retry would not change it: each is decided with at most one write."""
    run, commit, sent = prepared(store, act), Writes.commit, []
    gone = {"TableName": "ImpacterAGI_Users", "Key": {"email": {"S": ADA}}}
    changes = {
        "decline": lambda: store._update("Adjustments", waiting_key(store), set={"state": "approved"}),
        "switch off": lambda: store.client.delete_item(
            TableName="ImpacterAGI_RedeemCodes", Key={"code": {"S": "SPRING-2026"}}
        ),
        "delete": lambda: tasks.submit(store, store.accounts.get(ADA), "Open", now=NOW),
    }
    kept = store.client.get_item(**gone)["Item"]
    changes.get(act, lambda: store.client.delete_item(**gone))()

    def counted(writes):
        sent.append(1)
        commit(writes)

    monkeypatch.setattr(Writes, "commit", counted)
    with pytest.raises((NotFound, WrongState)):
        run(store)

    assert len(sent) <= 1
    if act not in changes:
        store.client.put_item(TableName="ImpacterAGI_Users", Item=kept)


def waiting_key(store) -> dict[str, str]:
    return {"adjustment_id": store.proposals.list_waiting(limit=1).items[0].adjustment_id}


def test_an_account_is_not_deleted_with_a_password_that_was_replaced_meanwhile(store, account):
    class Slow(Passwords):
        def matches(self, password, stored):
            matched = super().matches(password, stored)
            session = store.accounts.get(ADA).sessions["k" * 32]
            accounts.change_password(store, BCRYPT, account, PASSWORD, "quite another horse", session, now=NOW)
            return matched

    with pytest.raises(BadCredentials):
        accounts.delete(store, Slow(4), account, PASSWORD, now=NOW)

    assert store.accounts.get(ADA).deleted_at is None


def test_operators_and_a_customer_at_work_at_once_are_never_told_of_a_conflict(store, account):
    def spend(number: int) -> None:
        try:
            tasks.submit(store, store.accounts.get(ADA), f"Task {number}", now=NOW, idempotency_key=f"r-{number}")
        except NotSignedIn:  # by one of the operators
            return

    acts = [lambda n=n: spend(n) for n in range(12)]
    for place in range(4):
        acts.insert(place * 4, lambda: customers.end_sessions(store, OP, ADA, now=NOW))
        acts.insert(place * 4, lambda: books.unfreeze(store, ADA, **HOW))
        acts.insert(place * 4, lambda: codes.disable(store, "SPRING-2026", **HOW))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda act: act(), acts))

    assert [row.action for row in store.audit.page_of(ADA, limit=50).items].count("account.end_sessions") == 4
    assert books.check(store) == []
