"""The transaction boundary: all or nothing, errors by position, and deciding again on what has changed."""

# ruff: noqa: PT012 - what raises is the end of the block

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from app.data import transaction
from app.data.client import Stale
from app.data.transaction import MAX_WRITES, Writes, optimistic, patience
from app.domain.credits import PROMO, LedgerEntry, post, spend_entry
from app.domain.errors import (
    AccountExists,
    AlreadyRecorded,
    DomainError,
    NotFound,
    StoreBusy,
    StoreUnavailable,
    WrongState,
)
from app.domain.tasks import new_task
from tests.support import NOW, ledger, make_account


def gift(number: int, credits: int = 10) -> LedgerEntry:
    return LedgerEntry(f"promo#{number}", "ada@example.com", PROMO, credits, "A gift")


def grant(store, account, number: int = 1, credits: int = 10):
    """Move a balance as every service does; returns the account afterwards."""

    def attempt(current):
        posted, after = post(current, gift(number, credits), NOW)
        with store.transaction() as tx:
            tx.ledger.append_once(posted)
            tx.accounts.move_balance(current, after)
        return after

    return store.accounts.decide(account, attempt)


def test_balance_and_ledger_row_arrive_together(any_store):
    account = make_account(any_store)

    grant(any_store, account)

    stored = any_store.accounts.get(account.email)
    assert (stored.credits_balance, stored.ledger_sequence, stored.version) == (10, 1, 1)
    assert [(e.amount, e.balance_after, e.sequence) for e in ledger(any_store, account.email)] == [(10, 10, 1)]


def test_nothing_is_sent_when_the_block_raises(any_store):
    account = make_account(any_store)

    with pytest.raises(RuntimeError), any_store.transaction() as tx:
        tx.ledger.append_once(post(account, gift(1), NOW)[0])
        raise RuntimeError

    assert ledger(any_store, account.email) == []


def test_nothing_is_kept_when_one_condition_fails(any_store):
    account = make_account(any_store)
    posted, after = post(account, gift(1), NOW)

    with pytest.raises(AccountExists), any_store.transaction() as tx:
        tx.ledger.append_once(posted)
        tx.accounts.create(after)

    assert ledger(any_store, account.email) == []
    assert any_store.accounts.get(account.email).credits_balance == 0


def test_an_empty_block_sends_nothing(any_store):
    with any_store.transaction():
        pass


def test_once_means_once_however_long_ago(any_store):
    account = make_account(any_store)
    after = grant(any_store, account)

    with pytest.raises(AlreadyRecorded):
        grant(any_store, after)

    assert any_store.accounts.get(account.email).credits_balance == 10


def test_the_first_failed_condition_decides(any_store):
    """A replay on a row that has changed as well is a replay: the once-only record stands first."""
    account = make_account(any_store)
    grant(any_store, account)
    posted, after = post(account, gift(1), NOW)

    with pytest.raises(AlreadyRecorded), any_store.transaction() as tx:
        tx.ledger.append_once(posted)
        tx.accounts.move_balance(account, after)

    with pytest.raises(Stale), any_store.transaction() as tx:
        tx.ledger.append_once(replace(posted, transaction_id="promo#2"))
        tx.accounts.move_balance(account, after)


def test_stale_hands_back_the_row_as_it_is_now(any_store):
    account = make_account(any_store)
    grant(any_store, account, credits=70)
    posted, after = post(account, gift(2), NOW)

    with pytest.raises(Stale) as stale, any_store.transaction() as tx:
        tx.ledger.append_once(posted)
        tx.accounts.move_balance(account, after)

    assert stale.value.item["email"] == account.email
    assert stale.value.item["credits_balance"] == 70


def test_old_state_is_read_again_and_decided_again(any_store):
    old = make_account(any_store)
    grant(any_store, old, 1)

    after = grant(any_store, old, 2)

    assert after.credits_balance == 20
    assert [e.sequence for e in ledger(any_store, old.email)] == [1, 2]


def test_reread_after_a_conflict_costs_no_call(store, monkeypatch):
    old = make_account(store)
    grant(store, old, 1)
    monkeypatch.setattr(store.accounts, "get", lambda email: pytest.fail("the row came with the refusal"))

    assert grant(store, old, 2).credits_balance == 20


@pytest.mark.parametrize(
    "item", [None, {"email": "ada@example.com"}, {"email": "eve@example.com", "credits_balance": 1}]
)
def test_the_account_is_read_when_a_conflict_hands_back_no_row_of_its_own(moto_store, item):
    old = make_account(moto_store)
    grant(moto_store, old, 1)
    seen = []

    def attempt(current):
        seen.append(current)
        if len(seen) == 1:
            raise Stale(item)
        return current

    moto_store.accounts.decide(old, attempt)

    assert seen == [old, moto_store.accounts.get(old.email)]
    assert seen[1].credits_balance == 10


def test_every_grant_counts_when_many_race(store):
    account = make_account(store)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: grant(store, account, number), range(48)))

    assert store.accounts.get(account.email).credits_balance == 480
    assert [e.sequence for e in ledger(store, account.email)] == list(range(1, 49))


def test_settings_change_beside_the_balance(any_store):
    account = make_account(any_store, draft="")
    any_store.updates.accounts.change(account, draft="typed")
    posted, after = post(account, gift(1), NOW)

    with any_store.transaction() as tx:
        tx.ledger.append_once(posted)
        tx.accounts.move_balance(account, after, open_tasks=2, draft=None, link_nonces={"reset": "n"})

    stored = any_store.accounts.get(account.email)
    assert (stored.draft, stored.open_tasks, dict(stored.link_nonces)) == ("", 2, {"reset": "n"})


def test_a_task_is_put_once(any_store):
    account = make_account(any_store, credits=50)
    task = new_task(account.email, "Words", "r-1", NOW)
    posted, after = post(account, spend_entry(task), NOW)
    with any_store.transaction() as tx:
        tx.ledger.append_once(posted)
        tx.tasks.add(task)
        tx.accounts.move_balance(account, after)

    with pytest.raises(AlreadyRecorded), any_store.transaction() as tx:
        tx.tasks.add(task)

    found = any_store.tasks.get(task.task_id, owner=account.email)
    assert (found.description, found.status, found.created_at) == ("Words", "pending", NOW)


def test_refused_when_a_transaction_grows_beyond_100_writes(any_store):
    account = make_account(any_store)

    with pytest.raises(ValueError, match="100"), any_store.transaction() as tx:
        for number in range(MAX_WRITES + 1):
            tx.ledger.append_once(post(account, gift(number), NOW)[0])

    assert ledger(any_store, account.email) == []


def test_names_that_dynamodb_reserves_are_usable(any_store):
    """`type`, `status`, `timestamp`, `to`, `name`: every attribute goes by a placeholder."""
    with any_store.transaction() as tx:
        tx.put("Status", {"name": "x", "status": "old"}, condition=None, failure=Stale)
    with any_store.transaction() as tx:
        tx.update(
            "Status",
            {"name": "x"},
            set={"status": "new", "to": None, "size": 1},
            add={"count": 2},
            remove=["type"],
            condition="#status = :old AND attribute_not_exists(#type)",
            old="old",
        )
    with pytest.raises(WrongState), any_store.transaction() as tx:
        tx.check("Status", {"name": "x"}, condition="#status = :s", failure=WrongState, s="old")
    with pytest.raises(NotFound, match="mine"), any_store.transaction() as tx:
        tx.delete("Status", {"name": "x"}, condition="#size = :n", failure=NotFound("mine"), n=2)
    with pytest.raises(WrongState), any_store.transaction() as tx:
        tx.put("Status", {"name": "x"}, condition="#status = :s", failure=WrongState, s="old")

    assert any_store._get("Status", {"name": "x"}) == {"name": "x", "status": "new", "size": 1, "count": 2}


# What DynamoDB says, and what that means


class Says:
    """A client whose transactions are always cancelled, for these reasons."""

    def __init__(self, *codes: str | None, **item):
        self.reasons = [{"Code": code or "None"} for code in codes]
        self.reasons[-1] |= item

    def answer(self) -> dict:
        return {"CancellationReasons": self.reasons}

    def transact_write_items(self, **_):
        error = {"Error": {"Code": "TransactionCanceledException", "Message": "cancelled"}}
        raise ClientError(error | self.answer(), "TransactWriteItems")


@pytest.mark.parametrize(
    ("codes", "meaning"),
    [
        (("ConditionalCheckFailed", None), AlreadyRecorded),
        ((None, "ConditionalCheckFailed"), WrongState),
        (("ConditionalCheckFailed", "ConditionalCheckFailed"), AlreadyRecorded),
        (("TransactionConflict", "ConditionalCheckFailed"), WrongState),
        (("TransactionConflict", None), Stale),
        ((None, "TransactionConflict"), Stale),
        (("ThrottlingError", None), StoreUnavailable),
        (("ProvisionedThroughputExceeded", "TransactionConflict"), Stale),
        (("ItemCollectionSizeLimitExceeded", None), StoreUnavailable),
        ((None, None), StoreUnavailable),
    ],
)
def test_reasons_are_read_by_position(codes, meaning):
    writes = Writes(Says(*codes), "T_")
    writes.put("A", {"id": "1"}, condition="attribute_not_exists(id)", failure=AlreadyRecorded)
    writes.put("B", {"id": "2"}, condition="attribute_not_exists(id)", failure=WrongState)

    with pytest.raises(DomainError) as error:
        writes.commit()

    assert type(error.value) is meaning


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (("ThrottlingError", None), "ThrottlingError"),
        (("ThrottlingError", "ItemCollectionSizeLimitExceeded"), "ItemCollectionSizeLimitExceeded, ThrottlingError"),
        ((None, None), "no reason given"),
    ],
)
def test_the_log_names_the_reasons_when_the_store_is_to_blame(codes, words, caplog):
    writes = Writes(Says(*codes), "T_")
    writes.delete("A", {"id": "1"}, condition=None, failure=WrongState)
    writes.delete("B", {"id": "2"}, condition=None, failure=WrongState)

    with pytest.raises(StoreUnavailable):
        writes.commit()

    assert caplog.messages == [f"transaction cancelled: {words}"]


@pytest.mark.parametrize("answer", [{}, {"CancellationReasons": []}])
def test_unavailable_when_a_cancelled_transaction_gives_no_reasons(monkeypatch, answer):
    client = Says(None)
    monkeypatch.setattr(client, "answer", lambda: answer)
    writes = Writes(client, "T_")
    writes.delete("A", {"id": "1"}, condition=None, failure=WrongState)

    with pytest.raises(StoreUnavailable):
        writes.commit()


def test_a_request_that_can_never_work_is_no_refusal():
    writes = Writes(Says(None, "ValidationError"), "T_")
    writes.delete("A", {"id": "1"}, condition=None, failure=WrongState)

    with pytest.raises(ClientError):
        writes.commit()


def test_stale_hands_back_nothing_when_the_row_is_gone():
    writes = Writes(Says("ConditionalCheckFailed"), "T_")
    writes.delete("A", {"id": "1"}, condition="attribute_exists(id)", failure=Stale)

    with pytest.raises(Stale) as stale:
        writes.commit()

    assert stale.value.item is None


# Deciding again


@pytest.fixture
def four_seconds(patient, monkeypatch):
    """The patience of production."""
    monkeypatch.setattr(patience, "seconds", 4)


def test_gives_up_when_it_stays_stale(four_seconds, monkeypatch):
    monkeypatch.setattr("app.data.transaction.time.sleep", lambda seconds: None)
    tried = []

    def attempt(state):
        tried.append(state)
        raise Stale

    with pytest.raises(StoreBusy):
        optimistic("ada", attempt, 0, lambda stale: tried[-1] + 1)

    assert tried == list(range(25))


def test_gives_up_when_patience_runs_out(four_seconds, monkeypatch):
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr("app.data.transaction.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("app.data.transaction.time.sleep", lambda seconds: None)
    tried = []

    def attempt(state):
        tried.append(state)
        raise Stale

    with pytest.raises(StoreBusy):
        optimistic("ada", attempt, 0, lambda stale: 0)

    assert len(tried) == 2


def test_each_wait_may_be_twice_the_last_up_to_a_fifth_of_a_second(four_seconds, monkeypatch):
    bounds, waits = [], []
    monkeypatch.setattr("app.data.transaction.random.uniform", lambda *limits: bounds.append(limits) or limits[1])
    monkeypatch.setattr("app.data.transaction.time.sleep", waits.append)

    def attempt(state):
        raise Stale

    with pytest.raises(StoreBusy):
        optimistic("ada", attempt, 0, lambda stale: 0)

    assert waits == [0.01, 0.02, 0.04, 0.08, 0.16, *[0.2] * 19]  # after the first failure none at all
    assert {low for low, _ in bounds} == {0}


class Turn:
    """A lock that writes down what is done with it."""

    def __init__(self, free: bool):
        self.free, self.story = free, []

    def acquire(self, *, timeout: float) -> bool:
        self.story.append("asked" if timeout > 0 else "asked for ever")
        return self.free

    def release(self) -> None:
        self.story.append("given back")


@pytest.mark.parametrize(("free", "story"), [(True, ["asked", "tried", "given back"]), (False, ["asked", "tried"])])
def test_a_turn_is_waited_for_and_done_without_when_it_does_not_come(monkeypatch, free, story):
    turn = Turn(free)
    monkeypatch.setattr(transaction, "_locks", [turn])

    optimistic("ada", lambda state: turn.story.append("tried"), 0, lambda stale: 0)

    assert turn.story == story


def test_a_failed_rule_is_never_tried_again():
    tried = []

    def attempt(state):
        tried.append(state)
        raise WrongState

    with pytest.raises(WrongState):
        optimistic("ada", attempt, 0, lambda stale: 1)

    assert tried == [0]


def test_the_turn_of_a_key_is_given_back_after_an_error():
    for _ in range(3):
        with pytest.raises(WrongState):
            optimistic("ada", lambda state: (_ for _ in ()).throw(WrongState()), 0, lambda stale: 0)
    assert optimistic("ada", lambda state: state, 7, lambda stale: 0) == 7
