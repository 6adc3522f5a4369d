"""Value made by hand: one limit a day for each operator over all accounts and means, and two operators above it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.data.transaction import Writes
from app.domain.codes import PromotionalCode
from app.domain.credits import PostedEntry
from app.domain.errors import Forbidden, IdempotencyKeyReused, InvalidInput, WrongState
from app.domain.proposals import Proposal
from app.services import books, codes, customers, parked
from app.services.payments import Outcome
from tests.services.test_payments import paid, record
from tests.support import NOW, ledger, make_account, make_operators

OP, TWO, ADA = "op@example.com", "two@example.com", "ada@example.com"
LIMIT = 5000

pytestmark = pytest.mark.threat(105)


@pytest.fixture(autouse=True)
def people(store):
    make_operators(store, OP, TWO)
    make_account(store, ADA, credits=100)


def adjust(store, amount, idempotency_key="r-1", *, operator=OP, email=ADA, limit=LIMIT, now=NOW, **more):
    return customers.adjust(
        store, operator, email, amount, "Gift", idempotency_key=idempotency_key, limit=limit, now=now, **more
    ).done


def make_code(store, credits=100, uses=10, *, name="SPRING-2026", operator=OP, now=NOW, **more):
    terms = {"credits_each": credits, "max_uses": uses, "expires_at": NOW + timedelta(days=30), "limit": LIMIT}
    return codes.create(store, name, created_by=operator, now=now, **(terms | more))


def park(store, number=1, cents=100_000):
    record(store, paid(number, parked_reason="odd", credits=0, total_cents=cents, email=None))
    return f"pi_{number}"


def credit(store, payment_id, credits, *, operator=OP, email=ADA, **more):
    who = {"actor": operator, "reason": "Wrote to us", "limit": LIMIT, "now": NOW}
    return parked.credit(store, payment_id, email=email, credits=credits, **(who | more))


def waiting(store):
    return store.proposals.list_waiting(limit=50).items


def approve(store, found, operator=TWO, now=NOW):
    return customers.approve(store, operator, found.adjustment_id, now=now)


def balance(store, email=ADA):
    return store.accounts.get(email).credits_balance


def test_what_one_operator_makes_adds_up_over_accounts_and_means(store):
    make_account(store, "bob@example.com", credits=3000)

    done = [
        adjust(store, 1000),
        adjust(store, -1000, "r-2", email="bob@example.com"),
        make_code(store, 100, 10),
        credit(store, park(store), 2000),
        adjust(store, 1, "r-3"),
        make_code(store, 1, 1, name="ONE-MORE"),
        credit(store, park(store, 2), 1),
    ]

    kinds = [PostedEntry, PostedEntry, PromotionalCode, Outcome, Proposal, Proposal, Proposal]
    assert [type(one) for one in done] == kinds
    assert [found.kind for found in sorted(waiting(store), key=lambda found: found.kind)] == [
        "code",
        "correction",
        "payment",
    ]
    assert balance(store) == 100 + 1000 + 2000
    assert isinstance(adjust(store, LIMIT, "r-4", now=NOW + timedelta(days=1)), PostedEntry)
    assert books.check(store) == []


def test_switching_a_code_off_gives_nothing_back_that_day(store):
    make_code(store, 500, 10)
    codes.disable(store, "SPRING-2026", actor=OP, reason="Mistake", now=NOW)

    assert isinstance(adjust(store, 1), Proposal)


@pytest.mark.parametrize("means", ["adjustment", "code", "payment"])
def test_what_waits_is_booked_when_a_second_operator_approves(store, means):
    propose = {
        "adjustment": lambda: adjust(store, 6000),
        "code": lambda: make_code(store, 1000, 10, note="Fair"),
        "payment": lambda: credit(store, park(store), 6000),
    }[means]
    proposal = propose()
    assert isinstance(proposal, Proposal)
    assert (balance(store), store.codes.find("SPRING-2026")) == (100, None)
    with pytest.raises(Forbidden):
        approve(store, proposal, OP)

    approve(store, proposal, now=NOW + timedelta(hours=1))

    assert waiting(store) == []
    assert balance(store) == (100 if means == "code" else 6100)
    if means == "code":
        made = store.codes.find("SPRING-2026")
        assert (made.worth, made.created_by, made.approved_by, made.note) == (10_000, OP, TWO, "Fair")
    approve(store, proposal)  # sent again
    assert balance(store) == (100 if means == "code" else 6100)
    rows = [(row.action, row.actor) for row in reversed(store.audit.page_of(proposal.subject, limit=9).items)]
    prefix, done = {
        "adjustment": ("credits", "credits.approve"),
        "code": ("code", "code.create"),
        "payment": ("payment", "payment.credit"),
    }[means]
    assert rows == [(f"{prefix}.propose", OP), (done, TWO)]
    assert books.check(store) == []


@pytest.mark.parametrize("means", ["adjustment", "code", "payment"])
def test_nothing_is_booked_when_what_waits_is_declined(store, means):
    propose = {
        "adjustment": lambda: adjust(store, 6000),
        "code": lambda: make_code(store, 1000, 10),
        "payment": lambda: credit(store, park(store), 6000),
    }[means]
    proposal = propose()

    customers.decline(store, TWO, proposal.adjustment_id, now=NOW)

    with pytest.raises(WrongState):
        approve(store, proposal)
    assert (balance(store), store.codes.find("SPRING-2026")) == (100, None)


def test_a_proposal_is_one_when_its_request_is_repeated(store):
    payment = park(store)
    for _ in range(2):
        make_code(store, 1000, 10, idempotency_key="c-1")
        credit(store, payment, 6000, idempotency_key="p-1")

    assert len(waiting(store)) == 2
    with pytest.raises(IdempotencyKeyReused):
        make_code(store, 1000, 11, idempotency_key="c-1")
    with pytest.raises(IdempotencyKeyReused):
        credit(store, payment, 6001, idempotency_key="p-1")


@pytest.mark.parametrize("lost", ["role", "confirmed_at", "disabled_at", "deleted_at"])
@pytest.mark.parametrize("means", ["adjustment", "code", "payment"])
def test_nothing_is_approved_when_one_of_the_two_is_no_operator_any_more(store, means, lost):
    propose = {
        "adjustment": lambda: adjust(store, 6000),
        "code": lambda: make_code(store, 1000, 10),
        "payment": lambda: credit(store, park(store), 6000),
    }[means]
    proposal = propose()
    loss = {lost: {"role": "customer", "confirmed_at": None}.get(lost, NOW)}

    store.updates.accounts.change(store.accounts.get(OP), **loss)
    with pytest.raises(WrongState, match="no operator any more"):
        approve(store, proposal)
    store.updates.accounts.change(
        store.accounts.get(OP), role="admin", confirmed_at=NOW, disabled_at=None, deleted_at=None
    )
    store.updates.accounts.change(store.accounts.get(TWO), **loss)
    with pytest.raises(Forbidden):
        approve(store, proposal)

    assert (balance(store), store.codes.find("SPRING-2026")) == (100, None)
    assert waiting(store) == [proposal]


@pytest.mark.parametrize("who", [OP, TWO])
@pytest.mark.parametrize("means", ["adjustment", "code", "payment"])
def test_a_demotion_between_the_look_and_the_booking_wins(store, monkeypatch, means, who):
    """Both operators' rows are conditions of the transaction: what was read a moment ago decides nothing."""
    propose = {
        "adjustment": lambda: adjust(store, 6000),
        "code": lambda: make_code(store, 1000, 10),
        "payment": lambda: credit(store, park(store), 6000),
    }[means]
    proposal = propose()
    before_commit(monkeypatch, lambda: store.updates.accounts.change(store.accounts.get(who), role="customer"))

    with pytest.raises((WrongState, Forbidden)):
        approve(store, proposal)

    assert (balance(store), store.codes.find("SPRING-2026")) == (100, None)
    assert waiting(store) == [proposal]


@pytest.mark.parametrize("means", ["adjustment", "code", "payment", "proposal"])
def test_a_demotion_wins_over_what_one_would_make_alone(store, monkeypatch, means):
    act = {
        "adjustment": lambda: adjust(store, 10),
        "code": lambda: make_code(store, 1, 1),
        "payment": lambda: credit(store, "pi_1", 10),
        "proposal": lambda: adjust(store, 9999),
    }[means]
    park(store)
    before_commit(monkeypatch, lambda: store.updates.accounts.change(store.accounts.get(OP), role="customer"))

    with pytest.raises(Forbidden):
        act()

    assert (balance(store), store.codes.find("SPRING-2026"), waiting(store)) == (100, None, [])
    assert store.payments.find("pi_1").is_parked


def before_commit(monkeypatch, rival):
    """The rival acts once, after everything was read and before the first write."""
    commit = Writes.commit

    def late(writes):
        monkeypatch.setattr(Writes, "commit", commit)
        rival()
        commit(writes)

    monkeypatch.setattr(Writes, "commit", late)


@pytest.mark.parametrize("means", ["adjustment", "code", "payment"])
def test_the_limit_holds_when_another_act_is_booked_between_the_look_and_the_booking(store, monkeypatch, means):
    """Another account, another means, the same day: only the one counter knows of both."""
    make_account(store, "bob@example.com")
    act = {
        "adjustment": lambda: adjust(store, 3000),
        "code": lambda: make_code(store, 300, 10),
        "payment": lambda: credit(store, "pi_1", 3000),
    }[means]
    park(store)
    adjust(store, 1, "r-0")
    before_commit(monkeypatch, lambda: adjust(store, 3000, "r-9", email="bob@example.com"))

    assert isinstance(act(), Proposal)

    assert balance(store, "bob@example.com") == 3000
    assert (balance(store), store.codes.find("SPRING-2026")) == (101, None)
    assert books.check(store) == []


def test_the_first_two_acts_of_a_day_both_count_when_they_meet(store, monkeypatch):
    make_account(store, "bob@example.com")
    before_commit(monkeypatch, lambda: adjust(store, 3000, "r-9", email="bob@example.com"))

    assert isinstance(adjust(store, 3000), Proposal)
    assert store.accounts.get(OP).by_hand == 3000


def test_the_limit_of_a_day_holds_when_adjustments_of_many_accounts_race(store):
    emails = [f"a{number}@example.com" for number in range(20)]
    for email in emails:
        make_account(store, email)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda email: adjust(store, 1000, email, email=email), emails))

    assert [type(one) for one in done].count(PostedEntry) == 5
    assert sum(balance(store, email) for email in emails) == LIMIT
    assert len(waiting(store)) == 15
    assert store.accounts.get(OP).by_hand == LIMIT
    assert books.check(store) == []


def test_an_operators_own_account_is_never_served(store):
    second = make_account(store, "o.p+private@example.com")
    payment = park(store)

    for email in (OP, second.email):
        with pytest.raises(Forbidden):
            adjust(store, 10, email=email)
        with pytest.raises(Forbidden):
            credit(store, payment, 10, email=email)
        proposal = adjust(store, 6000, email, operator=TWO, email=email)
        with pytest.raises(Forbidden):
            approve(store, proposal, OP)
    wished = credit(store, payment, 6000, operator=TWO, email=OP)
    with pytest.raises(Forbidden):
        approve(store, wished, OP)

    assert (balance(store, OP), balance(store, second.email)) == (0, 0)


def test_two_addresses_of_one_person_are_no_two_operators(store):
    make_operators(store, "op+second@example.com")
    proposal = adjust(store, 6000)

    with pytest.raises(Forbidden):
        approve(store, proposal, "op+second@example.com")

    assert balance(store) == 100


def test_who_made_a_code_or_agreed_to_it_does_not_redeem_it(store):
    approve(store, make_code(store, 1000, 10))
    make_account(store, "op+private@example.com")

    for email in (OP, TWO, "op+private@example.com"):
        with pytest.raises(InvalidInput, match="Who made a code"):
            codes.redeem(store, store.accounts.get(email), "SPRING-2026", now=NOW)
        assert balance(store, email) == 0
    assert codes.redeem(store, store.accounts.get(ADA), "SPRING-2026", now=NOW).credits == 1000


def test_a_payment_is_credited_beyond_its_worth_by_two_only(store):
    payment = park(store, cents=50)

    proposal = credit(store, payment, 101)

    assert isinstance(proposal, Proposal)
    assert balance(store) == 100
    with pytest.raises(InvalidInput):
        credit(store, payment, 10_000_001)
    assert isinstance(credit(store, payment, 100), Outcome)
    with pytest.raises(WrongState):
        approve(store, proposal)  # it is credited: what waited is for nothing
    assert balance(store) == 200


def test_the_command_line_has_one_count_whatever_name_it_gives(store):
    shell = {"on_command_line": True}
    adjust(store, 2000, operator="command line", **shell)
    make_code(store, 100, 20, operator="night shift", **shell)
    adjust(store, 1000, "r-2", operator=OP, **shell)

    assert isinstance(adjust(store, 1, "r-3", operator="day shift", **shell), Proposal)
    assert isinstance(adjust(store, 1, "r-4", operator=TWO, **shell), Proposal)
    assert isinstance(adjust(store, 4000, "r-5", operator=OP), PostedEntry)  # signed in; the 1,000 count here, too
    assert isinstance(adjust(store, 1, "r-6", operator=OP), Proposal)
    with pytest.raises(Forbidden):
        adjust(store, 1, "r-7", operator="nobody@example.com", **shell)
    assert books.check(store) == []


def test_a_proposal_of_the_command_line_waits_for_an_operator(store):
    proposal = adjust(store, 6000, operator="command line", on_command_line=True)

    with pytest.raises(Forbidden):
        approve(store, proposal, "command line")
    approve(store, proposal)

    assert balance(store) == 6100
    assert books.check(store) == []


def test_what_two_agreed_on_does_not_count_as_made_alone(store):
    approve(store, make_code(store, 1000, 10))
    approve(store, adjust(store, 6000))

    assert isinstance(adjust(store, LIMIT, "r-2"), PostedEntry)
    assert isinstance(adjust(store, LIMIT, "r-3", operator=TWO), PostedEntry)
    assert len(ledger(store, ADA)) == 4
