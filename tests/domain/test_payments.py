"""Facts that join: any order and any repetition of a payment's events ends in the same state, and the books hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import credits, payments
from app.domain.accounts import Account
from app.domain.errors import InvalidPayload
from app.domain.payments import (
    ChargeRefundedFact,
    DisputeFact,
    PaymentRecord,
    RefundFact,
    SessionFact,
    entry_for,
    fact_of_event,
    merge,
    settled,
    target,
)
from tests.support import NOW, event, session_event

PAYMENT = "pi_1"


def paid(credits: int = 1000, cents: int = 1000) -> SessionFact:
    return SessionFact(PAYMENT, "cs_1", PAYMENT, "paid", credits, cents, "usd", "ada@example.com")


def record_of(*facts) -> PaymentRecord:
    record = PaymentRecord(PAYMENT)
    for fact in facts:
        record = merge(record, fact)
    return record


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([paid()], 1000),
        ([replace(paid(), state="unpaid", credits=0)], 0),
        ([paid(), RefundFact(PAYMENT, "re_1", 1000, "succeeded")], 0),
        ([paid(), RefundFact(PAYMENT, "re_1", 333, "succeeded")], 667),
        ([paid(), RefundFact(PAYMENT, "re_1", 300, "succeeded"), RefundFact(PAYMENT, "re_2", 300, "pending")], 400),
        ([paid(), RefundFact(PAYMENT, "re_1", 300, "succeeded"), RefundFact(PAYMENT, "re_1", 300, "failed")], 1000),
        ([paid(), RefundFact(PAYMENT, "re_1", 300, "failed"), RefundFact(PAYMENT, "re_1", 300, "succeeded")], 1000),
        ([paid(), ChargeRefundedFact(PAYMENT, 250)], 750),
        ([paid(), ChargeRefundedFact(PAYMENT, 250), RefundFact(PAYMENT, "re_1", 250, "succeeded")], 750),
        ([paid(), ChargeRefundedFact(PAYMENT, 250), RefundFact(PAYMENT, "re_1", 250, "failed")], 1000),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "needs_response")], 0),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "under_review")], 0),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "lost")], 0),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "won")], 1000),
        ([paid(), DisputeFact(PAYMENT, "dp", 1000, "won"), DisputeFact(PAYMENT, "dp", 1000, "needs_response")], 1000),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "won"), DisputeFact(PAYMENT, "dp_1", 1000, "lost")], 1000),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "lost"), DisputeFact(PAYMENT, "dp_1", 1000, "under_review")], 0),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "appeal_under_review")], 0),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "warning_needs_response")], 1000),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "warning_closed")], 1000),
        ([paid(), DisputeFact(PAYMENT, "dp_1", 1000, "prevented")], 1000),
        ([paid(), RefundFact(PAYMENT, "re_1", 600, "succeeded"), DisputeFact(PAYMENT, "dp_1", 1000, "lost")], 0),
        ([paid(5250, 5000), RefundFact(PAYMENT, "re_1", 2500, "succeeded")], 2625),
        ([paid(1000, 1080), RefundFact(PAYMENT, "re_1", 1080, "succeeded")], 0),
        ([paid(1000, 0)], 1000),
        ([RefundFact(PAYMENT, "re_1", 400, "succeeded"), paid()], 600),
    ],
)
def test_target_is_what_was_granted_less_what_went_back(facts, expected):
    assert target(record_of(*facts)) == expected


REFUNDS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 1500), st.sampled_from(sorted(payments.REFUND_RANK))), max_size=4
)
DISPUTES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 1500), st.sampled_from(sorted(payments.DISPUTE_RANK))), max_size=4
)


@st.composite
def histories(draw) -> list:
    """All that Stripe might say of one payment: each id keeps its amount, statuses come as they like."""
    granted, total = draw(st.sampled_from([(1000, 1000), (5250, 5000), (1000, 1083), (1000, 0), (7, 50)]))
    facts: list = [paid(granted, total)]
    if draw(st.booleans()):
        facts.append(replace(paid(0, 0), state="unpaid"))
    amounts: dict[str, int] = {}
    for number, cents, status in draw(REFUNDS):
        refund = f"re_{number}"
        facts.append(RefundFact(PAYMENT, refund, amounts.setdefault(refund, cents), status))
    for number, cents, status in draw(DISPUTES):
        dispute = f"dp_{number}"
        facts.append(DisputeFact(PAYMENT, dispute, amounts.setdefault(dispute, cents), status))
    if draw(st.booleans()):
        facts.append(ChargeRefundedFact(PAYMENT, draw(st.integers(0, 1500))))
    return facts


def facts_only(record: PaymentRecord) -> PaymentRecord:
    return replace(record, applied=0, entries=0, user_email=None)


def play(facts: list) -> tuple[PaymentRecord, Account]:
    """Settle each fact as it arrives, and hold the books to I1, I2, I4 and I5 after every step."""
    record = PaymentRecord(PAYMENT)
    account = Account("ada@example.com", "acc_1", NOW)
    rows: list = []
    for fact in facts:
        record = merge(record, fact)
        entry = entry_for(record, account.email) if record.granted else None
        record = settled(record, entry, account.email)
        if entry is not None:
            before = list(rows)
            posted, account = credits.post(account, entry, NOW)
            rows.append(posted)
            assert rows[:-1] == before
        assert account.credits_balance == sum(row.amount for row in rows) == record.applied
        assert not record.granted or record.delta == 0
        assert len({row.transaction_id for row in rows}) == len(rows)
        assert sum(row.type == "purchase" for row in rows) <= 1
        assert 0 <= account.credits_balance <= record.granted
        if rows:
            assert rows[-1].balance_after == account.credits_balance
            assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    return record, account


@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_any_order_and_repetition_of_a_payments_events_ends_in_the_same_state(data):
    facts = data.draw(histories())
    repeats = data.draw(st.lists(st.sampled_from(facts), max_size=5))
    shuffled = data.draw(st.permutations(facts + repeats))

    record, account = play(facts)
    again, same_account = play(list(shuffled))

    assert facts_only(again) == facts_only(record)
    assert same_account.credits_balance == account.credits_balance == target(record)


@settings(max_examples=300, deadline=None)
@given(histories())
def test_merging_a_fact_again_changes_nothing(facts):
    record = record_of(*facts)

    for fact in facts:
        assert merge(record, fact) == record


def test_parked_when_the_session_is_not_plainly_ours():
    def reason(**fields):
        fact = fact_of_event(session_event(**fields), livemode=False)
        assert isinstance(fact, SessionFact)
        return fact.parked_reason

    assert reason() is None
    assert reason(currency="idr") == "paid in idr, not in usd"
    assert reason(mode="subscription") == "not a one-time payment"
    assert reason(livemode=True) == "test and live mode do not match"
    assert reason(email=None) == "no usable e-mail address"
    assert reason(payment_status="odd") == "Stripe gave no known payment status"
    for cents in (0, -5, None, "1000", 1, True, 10**12):
        assert reason(amount_subtotal=cents) == "the amount is missing or out of range"
    sold = {"account_id": "acc_1", "account_email": "ada@example.com", "credits": "5250", "price_cents": "5000"}
    assert reason(metadata=sold) == "the amount and the pack that was sold disagree"
    assert reason(metadata=sold, amount_subtotal=5000) is None


def test_credits_are_those_of_the_pack_when_this_app_sold_it():
    sold = {"account_id": "acc_1", "account_email": "ada@example.com", "credits": "5250", "price_cents": "5000"}

    fact = fact_of_event(session_event(cents=5000, metadata=sold), livemode=False)

    assert (fact.credits, fact.total_cents, fact.account_id) == (5250, 5000, "acc_1")


def test_credits_come_from_the_subtotal_when_tax_was_added():
    fact = fact_of_event(session_event(cents=1000, amount_total=1083), livemode=False)

    assert (fact.credits, fact.total_cents) == (1000, 1083)


@pytest.mark.parametrize("kind", ["customer.created", "invoice.paid", "checkout.session.expired", "", 7, None, []])
def test_nothing_is_said_when_the_event_is_of_another_type(kind):
    assert fact_of_event(event(kind, {"id": "x"}), livemode=False) is None


def test_nothing_is_said_when_the_event_is_of_a_connected_account():
    assert fact_of_event(session_event() | {"account": "acct_1"}, livemode=False) is None


@pytest.mark.parametrize("thing", [None, [], "cs_1", {}, {"id": 5}, {"id": ""}, {"id": "\x00"}])
def test_invalid_payload_when_the_session_has_no_id(thing):
    with pytest.raises(InvalidPayload):
        fact_of_event(event("checkout.session.completed", thing), livemode=False)


@pytest.mark.parametrize(
    "thing",
    [
        {"id": "re_1", "payment_intent": "pi_1", "amount": "5", "status": "succeeded"},
        {"id": "re_1", "payment_intent": None, "amount": 5, "status": "succeeded"},
        {"id": "re_1", "payment_intent": "pi_1", "amount": 5, "status": ["succeeded"]},
        {"id": [], "payment_intent": {}, "amount": -5, "status": "new"},
    ],
)
def test_nothing_is_said_when_a_refund_cannot_be_read(thing):
    assert fact_of_event(event("refund.created", thing), livemode=False) is None
    assert fact_of_event(event("charge.dispute.created", thing), livemode=False) is None


def test_a_refund_of_the_other_mode_is_ignored():
    refund = {"id": "re_1", "payment_intent": "pi_1", "amount": 5, "status": "succeeded"}

    assert fact_of_event(event("refund.created", refund) | {"livemode": True}, livemode=False) is None
