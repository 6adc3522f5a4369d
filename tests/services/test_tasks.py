"""Submitting: charged once, or not at all."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.accounts import Session
from app.domain.errors import (
    AccountFrozen,
    IdempotencyKeyReused,
    InsufficientCredits,
    InvalidInput,
    NotSignedIn,
    RateLimited,
)
from app.services import customers, tasks
from app.services.accounts import change_password, delete, sign_in, sign_out_everywhere
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, every_task, ledger, make_account, make_operators


def test_submit_charges_and_queues_when_the_balance_affords_it(store):
    account = make_account(store, credits=25)

    done = tasks.submit(store, account, "Summarise the report", now=NOW, idempotency_key="r-1")

    assert done.credits_remaining == 15
    stored = store.accounts.get(account.email)
    assert (stored.credits_balance, stored.open_tasks, stored.ledger_sequence) == (15, 1, 2)
    assert store.tasks.get(done.task.task_id, owner=account.email) == done.task
    assert [(e.type, e.amount, e.balance_after) for e in ledger(store, account.email)] == [
        ("promo", 25, 25),
        ("spend", -10, 15),
    ]


def test_submit_charges_nothing_when_credits_run_out(store):
    account = make_account(store, credits=5)

    with pytest.raises(InsufficientCredits) as refusal:
        tasks.submit(store, account, "Summarise the report", now=NOW, idempotency_key="r-1")

    assert refusal.value.details() == {"required": 10, "available": 5}
    assert store.accounts.get(account.email).credits_balance == 5
    assert every_task(store) == []


def test_submit_is_the_first_task_when_repeated(store):
    account = make_account(store, credits=30)
    first = tasks.submit(store, account, "Same words", now=NOW, idempotency_key="r-1")

    again = tasks.submit(store, store.accounts.get(account.email), "Same words", now=NOW, idempotency_key="r-1")

    assert again.task == first.task
    assert again.replayed
    assert again.credits_remaining == first.credits_remaining == 20
    assert store.accounts.get(account.email).credits_balance == 20


def test_submit_is_a_replay_not_a_refusal_when_the_balance_is_drained(store):
    account = make_account(store, credits=10)
    first = tasks.submit(store, account, "Last credits", now=NOW, idempotency_key="r-1")

    again = tasks.submit(store, store.accounts.get(account.email), "Last credits", now=NOW, idempotency_key="r-1")

    assert again.task.task_id == first.task.task_id


def test_submit_refuses_when_an_idempotency_key_returns_with_other_words(store):
    account = make_account(store, credits=30)
    tasks.submit(store, account, "One thing", now=NOW, idempotency_key="r-1")

    with pytest.raises(IdempotencyKeyReused):
        tasks.submit(store, store.accounts.get(account.email), "Another thing", now=NOW, idempotency_key="r-1")

    assert store.accounts.get(account.email).credits_balance == 20


def test_submit_is_independent_when_another_account_uses_the_same_idempotency_key(store):
    ada, bob = make_account(store, credits=10), make_account(store, "bob@example.com", credits=10)

    of_ada = tasks.submit(store, ada, "Mine", now=NOW, idempotency_key="r-1")
    of_bob = tasks.submit(store, bob, "Mine", now=NOW, idempotency_key="r-1")

    assert of_ada.task.task_id != of_bob.task.task_id


def test_submit_decides_again_when_the_account_it_was_given_is_old(store):
    old = make_account(store, credits=20)
    tasks.submit(store, old, "First", now=NOW)

    second = tasks.submit(store, old, "Second", now=NOW)
    with pytest.raises(InsufficientCredits):
        tasks.submit(store, old, "Third", now=NOW)

    assert second.credits_remaining == 0


@pytest.mark.parametrize("text", ["", "   \n", "x" * 5001, "nul \x00", "lone \ud800 surrogate"])
def test_submit_refuses_when_the_text_cannot_be_a_task(store, text):
    account = make_account(store, credits=10)

    with pytest.raises(InvalidInput):
        tasks.submit(store, account, text, now=NOW)

    assert store.accounts.get(account.email).credits_balance == 10


@pytest.mark.parametrize(
    "text", ["\u202eright to left", "emoji 👩‍🚀", "line\u2028separator", "\x1b[31mred", "<b>&amp;"]
)
def test_submit_keeps_strange_text_exactly(store, text):
    account = make_account(store, credits=10)

    done = tasks.submit(store, account, text, now=NOW)

    assert store.tasks.get(done.task.task_id, owner=account.email).description == text


def test_submit_is_throttled_when_a_minute_is_full(store):
    account = make_account(store, credits=20)
    store.updates.accounts.change(account, submit_window=NOW.isoformat()[:16], submits_in_window=600)

    with pytest.raises(RateLimited) as refusal:
        tasks.submit(store, store.accounts.get(account.email), "One more", now=NOW)

    assert refusal.value.retry_after_seconds == 60


@pytest.mark.threat(2, 3)
def test_twenty_at_once_get_three_tasks_when_thirty_credits_are_left(store):
    account = make_account(store, credits=30)

    def submit(number: int) -> str:
        try:
            return tasks.submit(store, account, f"Task {number}", now=NOW).task.task_id
        except InsufficientCredits:
            return "refused"

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(submit, range(20)))

    assert answers.count("refused") == 17
    assert store.accounts.get(account.email).credits_balance == 0
    assert len(every_task(store)) == 3


@pytest.mark.threat(6)
def test_one_charge_when_the_same_request_races_itself(store):
    account = make_account(store, credits=100)

    with ThreadPoolExecutor(10) as pool:
        done = list(
            pool.map(
                lambda _: tasks.submit(store, account, "Same", now=NOW, idempotency_key="r-1").task.task_id, range(10)
            )
        )

    assert len(set(done)) == 1
    assert store.accounts.get(account.email).credits_balance == 90


def test_books_check_of_the_suite_notices_a_balance_changed_by_hand(store):
    """The check behind every stateful test must be able to fail."""
    from tests.support import assert_books_agree

    account = make_account(store, credits=30)
    store.updates.accounts.change(account, credits_balance=31)

    with pytest.raises(AssertionError):
        assert_books_agree(store)

    store.updates.accounts.change(account, credits_balance=30)


@pytest.mark.parametrize(
    "change", [{"frozen_at": NOW}, {"disabled_at": NOW}, {"deleted_at": NOW, "password_hash": None}]
)
def test_nothing_is_spent_when_the_account_closed_after_it_was_read(store, change):
    account = make_account(store, credits=50)
    store.updates.accounts.change(account, **change)

    with pytest.raises((AccountFrozen, NotSignedIn)):
        tasks.submit(store, account, "Too late", now=NOW)

    assert store.accounts.get(account.email).credits_balance == 50


def test_a_replay_on_a_frozen_account_is_the_first_task(store):
    account = make_account(store, credits=50)
    first = tasks.submit(store, account, "Once", now=NOW, idempotency_key="r-1")
    store.updates.accounts.change(account, frozen_at=NOW)

    again = tasks.submit(store, store.accounts.get(account.email), "Once", now=NOW, idempotency_key="r-1")

    assert again.task.task_id == first.task.task_id


def submit_one(store, account):
    return tasks.submit(store, account, "In flight", now=NOW, idempotency_key="r-1")


def submit_several(store, account):
    return tasks.submit_batch(store, account, ["In flight", "too"], now=NOW, idempotency_key="r-1")


@pytest.mark.parametrize("submit", [submit_one, submit_several])
def test_a_submit_in_flight_is_charged_when_a_sign_in_renews_the_hash_of_the_same_password(store, submit):
    account = make_account(store, credits=50, password_hash=Passwords(5).hash(PASSWORD))
    sign_in(store, Passwords(4), account.email, PASSWORD, now=NOW, kind="browser")
    other = submit_task(store, account.email)  # moves the balance, so that the first try finds it changed

    submit(store, account)

    assert store.accounts.get(account.email).password_hash != account.password_hash
    assert store.accounts.get(account.email).credits_balance < other.credits_remaining


@pytest.mark.threat(67)
@pytest.mark.parametrize("submit", [submit_one, submit_several])
@pytest.mark.parametrize("moved", [False, True], ids=["nothing else changed", "the balance moved"])
@pytest.mark.parametrize("end", ["password", "everywhere", "operator", "link", "disabled", "deleted"])
def test_a_submit_in_flight_is_refused_when_every_session_was_ended_meanwhile(store, submit, moved, end):
    passwords, now = Passwords(4), NOW
    session = Session("k" * 32, "browser", now, now)
    nonces = {"reset": "n" * 22}
    account = make_account(store, credits=50, sessions={session.key: session}, link_nonces=nonces)
    new = "quite another horse"
    {
        "password": lambda: change_password(store, passwords, account, PASSWORD, new, session, now=now),
        "everywhere": lambda: sign_out_everywhere(store, account),
        "operator": lambda: customers.end_sessions(store, "op@example.com", account.email, now=now),
        "link": lambda: store.updates.accounts.set_password(
            account, passwords.hash(new), used=(), nonce=("reset", "n" * 22), now=now
        ),
        "disabled": lambda: customers.disable(store, "op@example.com", account.email, "Why", now=now),
        "deleted": lambda: delete(store, passwords, account, PASSWORD, now=now),
    }[end]()
    if moved:
        make_operators(store)
        customers.adjust(store, "op@example.com", account.email, 5, "Gift", idempotency_key="a", limit=50, now=now)

    with pytest.raises(NotSignedIn):
        submit(store, account)

    assert every_task(store) == []


def submit_task(store, email):
    return tasks.submit(store, store.accounts.get(email), "Another", now=NOW)
