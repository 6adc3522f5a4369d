"""API keys: what makes and ends one, and that none spends a credit more than it may."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.data import Store
from app.data.api_keys import ApiKeyWrites
from app.data.client import Stale
from app.domain.accounts import BROWSER, MAX_SESSIONS, Session
from app.domain.api_keys import MAX_KEYS, QUEUE_WORK, TASKS_READ, TASKS_WRITE, hash_of, wishes
from app.domain.clock import month_of, utcnow
from app.domain.errors import (
    AddressUnconfirmed,
    DomainError,
    InvalidInput,
    KeyLimitReached,
    KeyRefused,
    NotFound,
    NotSignedIn,
    OperatorNotProven,
    WrongState,
)
from app.services import accounts, addresses, api_keys, customers, operators, queue, tasks
from app.services.links import RESET, new_nonce
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, all_mails, every_task, in_another_worker, ledger, make_account, make_operators

ADA = "ada@example.com"
SESSION = Session("a" * 32, BROWSER, NOW, NOW)
PROVEN = replace(SESSION, mfa_at=NOW)
NEXT_MONTH = datetime(2026, 12, 1, tzinfo=UTC)


def make(store: Store, account, name="Nightly", scopes=(TASKS_READ, TASKS_WRITE), monthly=None, days=None, **how):
    """The key and its secret; of NOW unless told."""
    wanted = wishes(name, scopes, monthly, days, operator=account.is_operator)
    how = {"session": SESSION, "now": NOW} | how
    return api_keys.make(store, account, wanted, **how)


def newest(store: Store, key):
    return store.api_keys.find(key.key_id)


@pytest.mark.threat(133)
def test_a_key_lets_in_and_its_secret_is_nowhere_in_the_store(store):
    account = make_account(store, credits=100)

    key, secret = make(store, account)
    found, opened = api_keys.let_in(store, secret, now=NOW)

    assert (found.email, opened) == (ADA, key)
    rows = [str(row) for table in store.whole.names() for row in store._scan(table)]
    assert any(hash_of(secret) in row for row in rows)
    assert not any(secret in row or secret[len(key.beginning) :] in row for row in rows)
    mail = next(mail for mail in all_mails(store) if mail.kind == "security")
    assert "“Nightly” was made" in mail.context["what"]


def test_only_a_proven_mailbox_makes_one_and_only_a_second_factor_one_that_works_the_queue(store):
    stranger = make_account(store, confirmed_at=None)
    make_operators(store, "op@example.com")
    op = store.accounts.get("op@example.com")

    with pytest.raises(AddressUnconfirmed):
        make(store, stranger)
    with pytest.raises(OperatorNotProven):
        make(store, op, scopes=[QUEUE_WORK])
    with pytest.raises(InvalidInput):
        wishes("Worker", [QUEUE_WORK], None, None, operator=False)

    key, _ = make(store, op, scopes=[QUEUE_WORK], session=PROVEN)
    act = store.audit.page_of(op.email, limit=1).items[0]
    assert (act.action, act.after["key"]) == ("key.create", key.key_id)
    assert store.accounts.get(stranger.email).api_keys == frozenset()


def test_nobody_has_more_than_fifty_also_when_several_are_made_at_once(store, monkeypatch):
    account = make_account(store)
    for number in range(MAX_KEYS - 1):
        make(store, store.accounts.get(ADA), f"Key {number}", days=1 if number == 0 else None)
    together = threading.Barrier(4)
    alive = api_keys.alive

    def read_together(*args, **how):
        found = alive(*args, **how)
        if not together.broken:
            together.wait(10)  # all of them have seen 49
        return found

    monkeypatch.setattr(api_keys, "alive", read_together)
    in_another_worker(monkeypatch)

    def one(number: int) -> str:
        try:
            make(store, account, f"Late {number}")
            return "made"
        except WrongState:
            return "refused"
        finally:
            together.abort()

    with ThreadPoolExecutor(4) as pool:
        outcomes = Counter(pool.map(one, range(4)))

    assert outcomes == {"made": 1, "refused": 3}
    assert len(store.accounts.get(ADA).api_keys) == MAX_KEYS
    monkeypatch.setattr(api_keys, "alive", alive)
    tomorrow = NOW + timedelta(days=2)
    make(store, store.accounts.get(ADA), "In the place of one that ran out", now=tomorrow)
    assert len(api_keys.alive(store, store.accounts.get(ADA), now=tomorrow)) == MAX_KEYS


def test_a_form_that_is_sent_twice_makes_one_key(store):
    account = make_account(store)
    make(store, account)

    with pytest.raises(InvalidInput, match="of this name already"):
        make(store, account, "NIGHTLY ")

    assert len(store.accounts.get(ADA).api_keys) == 1


@pytest.mark.threat(132)
@pytest.mark.parametrize("monthly", [70, 75])
def test_two_workers_never_take_a_key_over_its_month(store, monkeypatch, monthly):
    account = make_account(store, credits=1000)
    key, _ = make(store, account, monthly=monthly)
    account = store.accounts.get(ADA)
    in_another_worker(monkeypatch)

    def submit(number: int) -> str:
        try:
            tasks.submit(store, account, f"Task {number}", now=NOW, idempotency_key=f"r-{number}", key=key)
            return "taken"
        except KeyLimitReached as refused:
            return str(refused.details())

    with ThreadPoolExecutor(4) as pool:
        outcomes = Counter(pool.map(submit, range(16)))

    over = {"limit": monthly, "used": 70, "resets_at": "2026-12-01T00:00:00.000000Z"}
    assert outcomes == {"taken": 7, str(over): 9}
    assert newest(store, key).spent == {"2026-11": 70}
    spends = [entry for entry in ledger(store, ADA) if entry.type == "spend"]
    assert [entry.key_id for entry in spends] == [key.key_id] * 7
    assert {task["key_id"] for task in every_task(store)} == {key.key_id}


@pytest.mark.threat(132)
def test_a_spend_between_the_guard_s_look_at_the_key_and_at_the_account_counts(store):
    make_account(store, credits=1000)
    seen, _ = make(store, store.accounts.get(ADA), monthly=10)
    tasks.submit(store, store.accounts.get(ADA), "In between", now=NOW, key=seen)

    with pytest.raises(KeyLimitReached):
        tasks.submit(store, store.accounts.get(ADA), "One too many", now=NOW, key=seen)

    assert newest(store, seen).spent == {"2026-11": 10}


@pytest.mark.threat(132)
def test_a_replay_counts_once_and_is_answered_beyond_the_limit_too(store):
    account = make_account(store, credits=1000)
    key, _ = make(store, account, monthly=10)
    account = store.accounts.get(ADA)

    def submit(words="Same words", request="r-1"):
        return tasks.submit(store, account, words, now=NOW, idempotency_key=request, key=newest(store, key))

    first = submit()

    assert submit().task == first.task
    with pytest.raises(KeyLimitReached):
        submit("Other words", "r-2")
    assert newest(store, key).spent == {"2026-11": 10}


def test_a_batch_counts_whole_or_not_at_all(store):
    account = make_account(store, credits=1000)
    key, _ = make(store, account, monthly=50)
    account = store.accounts.get(ADA)
    how = {"now": NOW, "idempotency_key": "b-1", "key": key}

    with pytest.raises(KeyLimitReached):
        tasks.submit_batch(store, account, [f"Line {n}" for n in range(6)], **how | {"idempotency_key": "b-2"})
    assert every_task(store) == []
    made, _ = tasks.submit_batch(store, account, [f"Line {n}" for n in range(5)], **how)
    again, _ = tasks.submit_batch(store, account, [f"Line {n}" for n in range(5)], **how | {"key": newest(store, key)})

    assert [task.task_id for task in again] == [task.task_id for task in made]
    assert newest(store, key).spent == {"2026-11": 50}


def test_a_refund_gives_the_month_nothing_back_and_the_next_month_begins_at_nothing(store):
    account = make_account(store, credits=1000)
    key, _ = make(store, account, monthly=10)
    account = store.accounts.get(ADA)
    task = tasks.submit(store, account, "One", now=NOW, key=key).task

    queue.cancel(store, store.accounts.get(ADA), task.task_id, now=NOW)

    assert store.accounts.get(ADA).credits_balance == 1000
    with pytest.raises(KeyLimitReached):
        tasks.submit(store, account, "Two", now=NEXT_MONTH - timedelta(seconds=1), key=newest(store, key))
    tasks.submit(store, account, "Three", now=NEXT_MONTH, key=newest(store, key))
    assert newest(store, key).spent == {"2026-11": 10, "2026-12": 10}


def by_mail(store, account):
    nonce = new_nonce()
    with store.transaction() as tx:
        tx.accounts.change_settings(account, link_nonces={RESET: nonce})
    current = store.accounts.get(ADA)
    hashed = Passwords(4).hash("a new and long password")
    store.updates.accounts.set_password(
        replace(current, sessions={}), hashed, used=(RESET,), nonce=(RESET, nonce), now=NOW
    )


def refused_by_mail(store, account):
    addresses.ask(store, account, "elsewhere@example.org", label="Firefox", now=utcnow())
    change = store.accounts.get(ADA).address_change

    class Links:
        def read_change(self, token, refuse=False):
            return account.account_id, change.from_nonce, change.to

    addresses.refuse(store, Links(), "token", now=utcnow())


ENDS = {
    "revoked": lambda store, account, key: api_keys.revoke(store, account, key.key_id, now=NOW),
    "revoked by an operator": lambda store, account, key: api_keys.revoke_by_operator(
        store, "op@example.com", ADA, key.key_id, "Seen in a public file", now=NOW
    ),
    "signed out everywhere, keys ticked": lambda store, account, key: accounts.sign_out_everywhere(
        store, account, end_keys=True
    ),
    "a new password, keys ticked": lambda store, account, key: accounts.change_password(
        store, Passwords(4), account, PASSWORD, "a new and long password", SESSION, end_keys=True, now=NOW
    ),
    "disabled": lambda store, account, key: customers.disable(store, "op@example.com", ADA, "Abuse", now=NOW),
    "disabled and enabled": lambda store, account, key: [
        customers.disable(store, "op@example.com", ADA, "Abuse", now=NOW),
        customers.enable(store, "op@example.com", ADA, "Sorry", now=NOW),
    ],
    "sessions ended": lambda store, account, key: customers.end_sessions(store, "op@example.com", ADA, now=NOW),
    "deleted": lambda store, account, key: accounts.delete(store, Passwords(4), account, PASSWORD, now=NOW),
    "reset by mail": lambda store, account, key: by_mail(store, account),
    "a change of address refused by mail": lambda store, account, key: refused_by_mail(store, account),
}


@pytest.mark.threat(131)
@pytest.mark.parametrize("how", ENDS)
def test_a_key_is_dead_at_the_next_request_once_it_was(store, how):
    make_operators(store, "op@example.com")
    account = make_account(store, credits=100)
    key, secret = make(store, account)

    let_in_before = store.accounts.get(ADA)
    ENDS[how](store, let_in_before, key)

    with pytest.raises(NotSignedIn):
        api_keys.let_in(store, secret, now=NOW)
    with pytest.raises(DomainError):  # a request that was let in a moment before
        tasks.submit(store, let_in_before, "Too late", now=NOW, key=key)
    assert every_task(store) == []


@pytest.mark.threat(131)
def test_a_key_outlives_a_new_password_and_a_sign_out_and_dies_of_age(store):
    account = make_account(store, credits=100, sessions={SESSION.key: SESSION})
    key, secret = make(store, account, days=30)
    passwords = Passwords(4)

    accounts.change_password(store, passwords, account, PASSWORD, "a new and long password", SESSION, now=NOW)
    accounts.sign_out_everywhere(store, store.accounts.get(ADA))

    done = tasks.submit(store, store.accounts.get(ADA), "On its own", now=NOW, key=key)
    assert done.task.key_id == key.key_id
    with pytest.raises(NotSignedIn):
        tasks.submit(store, account, "By the session of before", now=NOW)
    assert api_keys.let_in(store, secret, now=NOW + timedelta(days=29, hours=23))
    with pytest.raises(KeyRefused, match="ran out on 2026-12-22"):
        api_keys.let_in(store, secret, now=NOW + timedelta(days=30))


@pytest.mark.threat(131)
def test_no_key_is_made_by_a_session_that_was_ended_while_it_asked(store, monkeypatch):
    account = make_account(store)
    alive = api_keys.alive

    def ended_meanwhile(store_, current, **how):
        found = alive(store_, current, **how)
        if not store.accounts.get(ADA).session_version:
            by_mail(store, current)
        return found

    monkeypatch.setattr(api_keys, "alive", ended_meanwhile)

    with pytest.raises(NotSignedIn):
        make(store, account)
    assert store.accounts.get(ADA).api_keys == frozenset()


@pytest.mark.threat(131)
def test_a_key_that_is_revoked_while_the_role_ends_stays_revoked(store, monkeypatch):
    make_operators(store, "op@example.com")
    _, secret = make(store, store.accounts.get("op@example.com"), "Reader", [TASKS_READ])
    found = api_keys.but_the_queue_s

    def revoked_meanwhile(store_, current):
        left = found(store_, current)
        if left:
            api_keys.revoke(store, current, next(iter(left)), now=NOW)
        return left

    in_another_worker(monkeypatch)
    monkeypatch.setattr(api_keys, "but_the_queue_s", revoked_meanwhile)
    operators.revoke(store, "op@example.com", actor="me", now=NOW)

    with pytest.raises(KeyRefused):
        api_keys.let_in(store, secret, now=NOW)
    assert not store.accounts.get("op@example.com").is_operator


@pytest.mark.threat(134)
def test_a_key_that_works_the_queue_ends_with_the_role_and_the_others_stay(store):
    make_operators(store, "op@example.com")
    op = store.accounts.get("op@example.com")
    _, working = make(store, op, "Worker", [QUEUE_WORK], session=PROVEN)
    _, reading = make(store, store.accounts.get(op.email), "Reader", [TASKS_READ])

    operators.revoke(store, "op@example.com", actor="me", now=NOW)
    operators.grant(store, "op@example.com", actor="me", now=NOW)

    with pytest.raises(KeyRefused):
        api_keys.let_in(store, working, now=NOW)
    assert api_keys.let_in(store, reading, now=NOW)


def test_a_key_of_somebody_else_is_not_there(store):
    ada, bob = make_account(store), make_account(store, "bob@example.com")
    key, secret = make(store, ada)

    with pytest.raises(NotFound):
        api_keys.revoke(store, bob, key.key_id, now=NOW)

    assert api_keys.let_in(store, secret, now=NOW)


def test_what_ended_is_listed_and_a_deleted_account_leaves_no_name(store):
    account = make_account(store)
    ended, _ = make(store, account, "Old")
    kept, _ = make(store, store.accounts.get(ADA), "New", now=NOW + timedelta(minutes=1))
    api_keys.revoke(store, store.accounts.get(ADA), ended.key_id, now=NOW)

    listed = store.api_keys.of(store.accounts.get(ADA))
    accounts.delete(store, Passwords(4), store.accounts.get(ADA), PASSWORD, now=NOW)

    assert [(key.name, key.ended_at) for key in listed] == [("New", None), ("Old", NOW)]
    assert store.api_keys.find_many([ended.key_id, kept.key_id]) == []


def test_its_last_use_is_written_once_an_hour(store):
    account = make_account(store)
    key, _ = make(store, account)

    for minutes in (0, 20, 59, 60):
        api_keys.note_used(store, account, key, now=NOW + timedelta(minutes=minutes))

    assert newest(store, key).used_at == NOW + timedelta(hours=1)
    api_keys.note_used(store, account, replace(key, key_id="key_gone"), now=NOW)
    assert store.api_keys.find("key_gone") is None


def test_months_of_long_ago_are_dropped_and_the_present_one_counts(store):
    account = make_account(store)
    key, _ = make(store, account)

    for month in range(20):
        key = key.charged(10, NOW + timedelta(days=31 * month))

    assert len(key.spent) == 13
    assert key.spent_in(month_of(NOW + timedelta(days=31 * 19))) == 10


@pytest.mark.parametrize("kind", ["api", "half"])
def test_a_program_s_sign_in_ends_none_of_twenty_browsers(store, kind):
    """Nor does the half of one that asks for the second factor."""
    browsers = {f"{n:032x}": Session(f"{n:032x}", BROWSER, NOW, NOW) for n in range(20)}
    make_account(store, sessions=browsers, totp="sealed" if kind == "half" else None)

    for _ in range(30):
        accounts.sign_in(store, Passwords(4), ADA, PASSWORD, now=NOW, kind="api")

    found = store.accounts.get(ADA).sessions
    assert browsers.keys() <= found.keys()
    assert {session.kind for session in found.values()} == {BROWSER, kind}
    assert len(found) == 20 + MAX_SESSIONS[kind]


def test_the_week_before_a_key_runs_out_is_told_once_and_stands_in_nobody_s_way(store, monkeypatch):
    account = make_account(store)
    key, _ = make(store, account, days=30)
    account, soon = store.accounts.get(ADA), NOW + timedelta(days=24)

    api_keys.note_used(store, account, key, now=NOW + timedelta(days=22))
    assert not [mail for mail in all_mails(store) if mail.kind == "key_runs_out"]
    with monkeypatch.context() as patched:
        patched.setattr(ApiKeyWrites, "note_warned", lambda *_: (_ for _ in ()).throw(Stale()))
        api_keys.note_used(store, account, key, now=soon)  # another worker tells it at this moment
    for hours in range(3):
        api_keys.note_used(store, account, key, now=soon + timedelta(hours=hours))

    (mail,) = [mail for mail in all_mails(store) if mail.kind == "key_runs_out"]
    assert mail.context == {"name": "Nightly", "expires_at": "2026-12-22T12:00:00.000000Z"}
    assert newest(store, key).warned_at == soon
