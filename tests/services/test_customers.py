"""Adjustments of a balance and other acts on accounts: explained, once, and large ones by two."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.domain.accounts import Session
from app.domain.credits import PostedEntry
from app.domain.errors import Forbidden, IdempotencyKeyReused, InvalidInput, NotFound, WrongState
from app.domain.proposals import Proposal
from app.services import books, customers
from tests.support import NOW, ledger, make_account, make_operators

OP, TWO = "op@example.com", "two@example.com"
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def operators(store):
    make_operators(store, OP, TWO)


@pytest.fixture
def account(store):
    return make_account(store, credits=100)


def adjust(
    store, amount, idempotency_key="r-1", reason="Goodwill", operator=OP, email="ada@example.com", limit=5000, now=NOW
):
    return customers.adjust(
        store, operator, email, amount, reason, idempotency_key=idempotency_key, limit=limit, now=now
    ).done


def acts(store, subject="ada@example.com"):
    return [(row.action, row.actor) for row in reversed(store.audit.page_of(subject, limit=50).items)]


@pytest.mark.threat(89)
def test_an_adjustment_is_booked_with_its_reason_when_it_is_small(store, account):
    entry = adjust(store, -30)

    assert (entry.amount, entry.balance_after, entry.type) == (-30, 70, "adjustment")
    assert entry.description == "Adjustment: Goodwill"
    assert store.accounts.get(account.email).credits_balance == 70
    (row,) = store.audit.page_of(account.email, limit=5).items
    assert (row.action, row.actor, row.reason) == ("credits.adjust", OP, "Goodwill")
    proposed = entry.transaction_id.removeprefix("adjust#")
    assert dict(row.before) == {"balance": 100}
    assert dict(row.after) == {
        "balance": 70,
        "correction": proposed,
        "amount": -30,
        "limit": 5000,
        "day": "2026-11-22",
        "counted": [OP],
    }


def test_an_adjustment_is_booked_once_when_it_is_repeated(store, account):
    first = adjust(store, 50)

    again = adjust(store, 50)
    with pytest.raises(IdempotencyKeyReused):
        adjust(store, 60)

    assert again == first
    assert store.accounts.get(account.email).credits_balance == 150
    assert len(acts(store)) == 1


@pytest.mark.parametrize("amount", [-80, -6000], ids=["booked", "proposed"])
def test_an_adjustment_gets_its_first_answer_when_it_is_repeated_on_a_drained_balance(store, amount):
    account = make_account(store, credits=6050)
    first = adjust(store, amount)
    left = store.accounts.get(account.email).credits_balance
    adjust(store, -left + 5, idempotency_key="r-2", operator=TWO, limit=10_000)

    again = adjust(store, amount)
    with pytest.raises(IdempotencyKeyReused):
        adjust(store, amount - 1)

    assert again == first
    assert store.accounts.get(account.email).credits_balance == 5


def test_adjustments_of_a_day_need_a_second_operator_when_together_they_pass_the_limit(store, account):
    booked = [adjust(store, amount, idempotency_key=f"r-{amount}") for amount in (3000, -2000)]
    proposed = adjust(store, 1, idempotency_key="r-1")
    other = adjust(store, 5000, idempotency_key="r-1", operator=TWO)
    tomorrow = adjust(store, 5000, idempotency_key="r-5", now=NOW + timedelta(days=1))

    assert [type(done) for done in (*booked, proposed, other, tomorrow)] == [
        *(PostedEntry, PostedEntry, Proposal, PostedEntry, PostedEntry)
    ]
    assert adjust(store, -2000, idempotency_key="r--2000") == booked[1]  # a repeat is no second adjustment
    customers.approve(store, TWO, proposed.adjustment_id, now=NOW)
    assert store.accounts.get(account.email).credits_balance == 100 + 1000 + 5000 + 5000 + 1
    assert books.check(store) == []


def test_what_is_approved_by_two_does_not_count_as_done_alone(store, account):
    proposed = adjust(store, 6000)
    customers.approve(store, TWO, proposed.adjustment_id, now=NOW)

    assert isinstance(adjust(store, 5000, idempotency_key="r-2"), PostedEntry)
    assert isinstance(adjust(store, 5000, idempotency_key="r-3", operator=TWO), PostedEntry)


def test_the_limit_of_a_day_holds_when_adjustments_race(store, account):
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: adjust(store, 1000, idempotency_key=f"r-{n}"), range(8)))

    assert [type(one) for one in done].count(PostedEntry) == 5
    assert len(store.proposals.list_waiting(limit=10).items) == 3
    assert store.accounts.get(account.email).credits_balance == 5100
    assert books.check(store) == []


def test_an_adjustment_is_booked_or_proposed_but_not_both_when_its_request_races_others(store, account):
    """Eight times the same four requests; each of them would be the one that passes the limit."""
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: adjust(store, 2000, idempotency_key=f"r-{n % 4}"), range(32)))

    waiting = {found.adjustment_id for found in store.proposals.list_waiting(limit=10).items}
    booked = {e.transaction_id.removeprefix("adjust#") for e in ledger(store, account.email) if e.type == "adjustment"}
    assert (len(booked), len(waiting), booked & waiting) == (2, 2, set())
    assert len(done) == 32


@pytest.mark.parametrize(("first", "second"), [(5000, 100), (100, 5000)], ids=["booked first", "proposed first"])
def test_a_request_is_booked_or_proposed_when_it_arrives_twice_at_the_edge_of_the_limit(
    store, account, monkeypatch, first, second
):
    """The second looks for the first before that has written anything."""
    answer = adjust(store, 2000, limit=first)
    look, looked = customers._first, []

    def too_early(store, repeat):
        looked.append(1)
        return look(store, repeat) if len(looked) > 1 else None

    monkeypatch.setattr(customers, "_first", too_early)
    again = adjust(store, 2000, limit=second)

    assert again == answer
    assert len(store.proposals.list_waiting(limit=10).items) == (first == 100)
    assert store.accounts.get(account.email).credits_balance == 100 + 2000 * (first == 5000)


def test_an_adjustment_is_booked_once_when_it_races_itself(store, account):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: adjust(store, 50), range(8)))

    assert store.accounts.get(account.email).credits_balance == 150


@pytest.mark.threat(26)
@pytest.mark.parametrize("amount", [-101, 0, True, 1.5, "10", None, 10_000_001])
def test_an_adjustment_is_refused_when_it_is_no_amount_or_goes_below_zero(store, account, amount):
    with pytest.raises(InvalidInput):
        adjust(store, amount)

    assert len(ledger(store, account.email)) == 1
    assert acts(store) == []


def test_an_adjustment_is_refused_when_two_together_would_go_below_zero(store, account):
    def take(number: int) -> str:
        try:
            adjust(store, -60, idempotency_key=f"r-{number}")
        except InvalidInput:
            return "refused"
        return "booked"

    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(take, range(4)))

    assert got.count("booked") == 1
    assert store.accounts.get(account.email).credits_balance == 40


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_an_adjustment_is_refused_when_it_gives_no_reason(store, account, reason):
    with pytest.raises(InvalidInput):
        adjust(store, 10, reason=reason)


def test_an_adjustment_is_refused_when_it_is_for_oneself_or_nobody(store, account):
    with pytest.raises(Forbidden):
        adjust(store, 10, operator=account.email)
    with pytest.raises(NotFound):
        adjust(store, 10, email="nobody@example.com")


def test_a_large_adjustment_waits_until_a_second_operator_approves(store, account):
    proposal = adjust(store, 6000)

    assert isinstance(proposal, Proposal)
    assert adjust(store, 6000) == proposal
    assert store.accounts.get(account.email).credits_balance == 100
    assert [found.amount for found in store.proposals.list_waiting(limit=10).items] == [6000]
    with pytest.raises(Forbidden):
        customers.approve(store, OP, proposal.adjustment_id, now=NOW)
    with pytest.raises(Forbidden):
        customers.approve(store, account.email, proposal.adjustment_id, now=NOW)

    entry = customers.approve(store, TWO, proposal.adjustment_id, now=LATER)

    assert entry.balance_after == 6100
    assert store.proposals.list_waiting(limit=10).items == []
    assert acts(store) == [("credits.propose", OP), ("credits.approve", TWO)]
    assert customers.approve(store, TWO, proposal.adjustment_id, now=NOW) == entry  # sent again
    make_operators(store, "three@example.com")
    with pytest.raises(WrongState):
        customers.approve(store, "three@example.com", proposal.adjustment_id, now=NOW)
    with pytest.raises(WrongState):
        customers.decline(store, TWO, proposal.adjustment_id, now=NOW)
    assert len(ledger(store, account.email)) == 2


def test_a_large_adjustment_is_decided_once_when_operators_race(store, account):
    proposal = adjust(store, 6000)
    make_operators(store, *(f"op{number}@example.com" for number in range(8)))

    def decide(number: int) -> str:
        act = customers.approve if number % 2 else customers.decline
        try:
            act(store, f"op{number}@example.com", proposal.adjustment_id, now=NOW)
        except WrongState:
            return "refused"
        return act.__name__

    with ThreadPoolExecutor(8) as pool:
        got = [word for word in pool.map(decide, range(8)) if word != "refused"]

    assert len(got) == 1
    assert store.accounts.get(account.email).credits_balance == (6100 if got == ["approve"] else 100)


def test_nothing_is_booked_when_a_large_adjustment_is_declined(store, account):
    proposal = adjust(store, -6000 if account.credits_balance > 6000 else 6000)

    customers.decline(store, OP, proposal.adjustment_id, now=NOW)

    with pytest.raises(WrongState):
        customers.approve(store, TWO, proposal.adjustment_id, now=NOW)
    assert len(ledger(store, account.email)) == 1


def test_a_disabled_account_has_no_session_left_until_it_is_enabled(store):
    session = Session("k" * 32, "browser", NOW, NOW)
    account = make_account(store, sessions={session.key: session})

    customers.disable(store, OP, account.email, "Chargebacks", now=NOW)
    customers.disable(store, OP, account.email, "Chargebacks", now=NOW)

    stored = store.accounts.get(account.email)
    assert (stored.disabled, dict(stored.sessions)) == (True, {})
    customers.enable(store, TWO, account.email, "Settled", now=LATER)
    assert not store.accounts.get(account.email).disabled
    assert acts(store) == [("account.disable", OP), ("account.enable", TWO)]
    with pytest.raises(Forbidden):
        customers.disable(store, account.email, account.email, "Myself", now=NOW)


def test_sessions_end_when_an_operator_ends_them(store):
    session = Session("k" * 32, "browser", NOW, NOW)
    account = make_account(store, sessions={session.key: session})

    customers.end_sessions(store, OP, account.email, now=NOW)

    assert dict(store.accounts.get(account.email).sessions) == {}
    assert acts(store) == [("account.end_sessions", OP)]


def test_a_search_finds_by_the_beginning_when_it_walks_the_table(store):
    for name in ("ada", "adam", "bob"):
        make_account(store, f"{name}@example.com")

    found = store.accounts.search("ada", limit=10)
    first = store.accounts.search("", limit=2)
    rest = store.accounts.search("", limit=2, cursor=first.next_cursor)

    assert sorted(account.email for account in found.items) == ["ada@example.com", "adam@example.com"]
    assert found.next_cursor is None
    assert len({account.email for account in [*first.items, *rest.items]}) == 4
