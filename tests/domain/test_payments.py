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
    Amount,
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
        ([paid(5250, 5000), RefundFact(PAYMENT, "re_1", 333, "succeeded")], 4901),  # never less than what is left
        ([paid(1000, 0)], 1000),
        ([paid(1000, 0), RefundFact(PAYMENT, "re_1", 1, "succeeded")], 0),
        ([paid(1000, 0), DisputeFact(PAYMENT, "dp_1", 1, "lost")], 0),
        ([RefundFact(PAYMENT, "re_1", 400, "succeeded"), paid()], 600),
    ],
)
def test_target_is_what_was_granted_less_what_went_back(facts, expected):
    credits = target(record_of(*facts))

    assert (credits, type(credits)) == (expected, int)


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


@pytest.mark.parametrize("rank", [payments.SESSION_RANK, payments.REFUND_RANK, payments.DISPUTE_RANK])
def test_one_of_two_states_always_wins(rank):
    """Were two of the same rank, the one that came first would stay."""
    assert len(set(rank.values())) == len(rank)


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


# What Stripe says, read


SOLD = {"account_id": "acc_1", "account_email": "Ada@Example.com", "credits": "5250", "price_cents": "5000"}
SESSION = {
    "id": "cs_1",
    "payment_intent": "pi_1",
    "payment_status": "paid",
    "mode": "payment",
    "livemode": False,
    "currency": "USD",
    "amount_subtotal": 5000,
    "amount_total": 5400,
    "customer": "cus_1",
    "customer_details": {"email": "Payer@Example.com"},
    "metadata": SOLD,
}
BOUGHT = SessionFact(
    "pi_1", "cs_1", "pi_1", "paid", 5250, 5400, "usd", "payer@example.com", "acc_1", "ada@example.com", "cus_1"
)
UNPAID = SessionFact("pi_1", "cs_1", "pi_1", "unpaid")


def told(kind: str, thing: dict, at: object = None):
    return fact_of_event(event(kind, thing) | {"created": at}, livemode=False)


@pytest.mark.parametrize(
    ("kind", "fields", "fact"),
    [
        ("completed", {}, BOUGHT),
        ("async_payment_succeeded", {}, BOUGHT),
        ("completed", {"payment_intent": {"id": "pi_1"}, "customer": {"id": "cus_1"}}, BOUGHT),  # expanded
        ("completed", {"payment_intent": None}, replace(BOUGHT, payment_id="cs_1", payment_intent=None)),
        ("completed", {"payment_status": "no_payment_required", "amount_total": 0}, replace(BOUGHT, total_cents=0)),
        ("completed", {"payment_status": "unpaid"}, UNPAID),
        ("async_payment_failed", {"payment_status": "unpaid"}, replace(UNPAID, state="failed")),
        ("async_payment_failed", {}, replace(UNPAID, state="failed")),
    ],
)
def test_a_session_is_read_whole_when_stripe_tells_of_one(kind, fields, fact):
    assert told(f"checkout.session.{kind}", SESSION | fields) == fact


def test_the_address_of_the_checkout_counts_when_the_payer_typed_none():
    fact = told("checkout.session.completed", SESSION | {"customer_details": None, "customer_email": "bo@example.com"})

    assert fact.email == "bo@example.com"


def test_credits_come_from_the_total_when_there_is_no_subtotal():
    """So did API versions without one."""
    session = SESSION | {"metadata": {}, "amount_total": 1000}
    del session["amount_subtotal"]

    fact = told("checkout.session.completed", session)

    assert (fact.credits, type(fact.credits), fact.parked_reason) == (1000, int, None)


@pytest.mark.parametrize("odd", [None, [], "text", 5])
def test_a_session_is_kept_when_its_parts_are_of_another_shape(odd):
    fact = told("checkout.session.completed", SESSION | {"metadata": odd, "customer_details": odd, "customer": odd})

    assert (fact.account_id, fact.email, fact.parked_reason) == (None, None, "no usable e-mail address")


@pytest.mark.parametrize("data", [None, [], "text"])
def test_invalid_payload_when_an_event_holds_nothing(data):
    with pytest.raises(InvalidPayload):
        fact_of_event({"type": "refund.created", "data": data}, livemode=False)


def test_no_credits_are_named_when_the_amounts_are_missing():
    fact = told("checkout.session.completed", SESSION | {"amount_subtotal": None, "amount_total": None, "currency": ""})

    assert (fact.credits, fact.total_cents, fact.currency) == (0, 0, "")
    assert fact.parked_reason == "paid in an unknown currency, not in usd"


def test_a_currency_is_cut_when_it_is_none():
    assert told("checkout.session.completed", SESSION | {"currency": "x" * 1000}).currency == "x" * 10


@pytest.mark.parametrize(
    ("subtotal", "total", "parked"),
    [
        (50, 50, False),
        (49, 50, True),
        (99_999_999, 199_999_998, False),
        (100_000_000, 99_999_999, True),
        (99_999_999, 199_999_999, True),
        (1000, 0, False),  # a full discount
        (1000, -1, True),
    ],
)
def test_parked_when_an_amount_is_beyond_what_stripe_can_charge(subtotal, total, parked):
    fact = told(
        "checkout.session.completed",
        SESSION | {"metadata": {}, "amount_subtotal": subtotal, "amount_total": total},
    )

    assert bool(fact.parked_reason) is parked


@pytest.mark.parametrize(
    ("credits", "parked"),
    [
        ("1", False),
        ("99999999999", False),
        ("0", True),
        ("-5250", True),
        ("five", True),
        ("", True),
        (None, True),
        ("٥٢٥٠", True),
        ("5" * 12, True),
        ("5" * 5000, True),  # longer than Python reads
    ],
)
def test_parked_when_the_pack_names_no_whole_number_of_credits(credits, parked):
    fact = told("checkout.session.completed", SESSION | {"metadata": SOLD | {"credits": credits}})

    assert bool(fact.parked_reason) is parked


@pytest.mark.parametrize("livemode", [True, False])
def test_test_mode_is_assumed_when_a_session_does_not_name_its_mode(livemode):
    session = {name: value for name, value in SESSION.items() if name != "livemode"}
    told = event("checkout.session.completed", session)

    assert bool(fact_of_event(told, livemode=livemode).parked_reason) is livemode


REFUND = {"id": "re_1", "payment_intent": "pi_1", "amount": 500, "status": "succeeded"}
DISPUTE = {"id": "dp_1", "payment_intent": "pi_1", "amount": 500, "status": "lost"}
CHARGE = {"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 500, "receipt_url": "https://pay.example/r"}


@pytest.mark.parametrize(
    ("kind", "thing", "fact"),
    [
        *((f"refund.{word}", REFUND, RefundFact("pi_1", "re_1", 500, "succeeded")) for word in ("created", "updated")),
        ("refund.failed", REFUND | {"status": "failed"}, RefundFact("pi_1", "re_1", 500, "failed")),
        ("refund.created", REFUND | {"status": None}, RefundFact("pi_1", "re_1", 500, "pending")),
        ("refund.created", REFUND | {"payment_intent": {"id": "pi_1"}}, RefundFact("pi_1", "re_1", 500, "succeeded")),
        ("refund.created", REFUND | {"amount": 0}, RefundFact("pi_1", "re_1", 0, "succeeded")),
        ("refund.created", REFUND | {"amount": 10**12}, RefundFact("pi_1", "re_1", 10**12, "succeeded")),
        ("refund.created", REFUND | {"amount": 10**12 + 1}, None),
        ("refund.created", REFUND | {"id": "r" * 255}, RefundFact("pi_1", "r" * 255, 500, "succeeded")),
        ("refund.created", REFUND | {"id": "r" * 256}, None),
        ("refund.created", REFUND | {"id": "r"}, RefundFact("pi_1", "r", 500, "succeeded")),
        *(
            (f"charge.dispute.{word}", DISPUTE, DisputeFact("pi_1", "dp_1", 500, "lost"))
            for word in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
        ),
        (
            "charge.dispute.created",
            DISPUTE | {"payment_intent": {"id": "pi_1"}},
            DisputeFact("pi_1", "dp_1", 500, "lost"),
        ),
        ("charge.refunded", CHARGE, ChargeRefundedFact("pi_1", 500, "https://pay.example/r")),
        ("refund.created", REFUND | {"currency": "EUR"}, RefundFact("pi_1", "re_1", 500, "succeeded", currency="eur")),
        ("refund.created", REFUND | {"created": 7}, RefundFact("pi_1", "re_1", 500, "succeeded", made=7)),
        ("refund.created", REFUND | {"created": "7"}, RefundFact("pi_1", "re_1", 500, "succeeded")),
        (
            "charge.dispute.created",
            DISPUTE | {"currency": "eur", "charge": {"id": "ch_1", "amount": 1000, "currency": "USD"}},
            DisputeFact("pi_1", "dp_1", 500, "lost", currency="eur", charged={"usd": 1000}),
        ),
        (
            "refund.created",
            REFUND | {"charge": {"id": "ch_1", "amount": 860, "currency": "eur"}},
            RefundFact("pi_1", "re_1", 500, "succeeded", charged={"eur": 860}),
        ),
        (
            "charge.refunded",
            CHARGE | {"amount": 1000, "currency": "usd"},
            ChargeRefundedFact("pi_1", 500, CHARGE["receipt_url"], currency="usd", charged={"usd": 1000}),
        ),
        (
            "charge.refunded",
            CHARGE | {"presentment_details": {"presentment_amount": 860, "presentment_currency": "EUR"}},
            ChargeRefundedFact("pi_1", 500, CHARGE["receipt_url"], charged={"eur": 860}),
        ),
        ("charge.refunded", CHARGE | {"receipt_url": 5}, ChargeRefundedFact("pi_1", 500, None)),
        (
            "charge.refunded",
            CHARGE | {"payment_intent": {"id": "pi_1"}, "receipt_url": None},
            ChargeRefundedFact("pi_1", 500),
        ),
        *(("refund.created", REFUND | {name: None}, None) for name in ("id", "payment_intent", "amount")),
        *(("charge.dispute.created", DISPUTE | {name: None}, None) for name in DISPUTE),
        *(("charge.refunded", CHARGE | {name: None}, None) for name in ("payment_intent", "amount_refunded")),
    ],
)
def test_money_that_went_back_is_read_when_stripe_tells_of_it(kind, thing, fact):
    assert told(kind, thing) == fact


@pytest.mark.parametrize(
    ("amount", "currency", "charged"),
    [
        (860, "eur", {"eur": 860}),
        (0, "eur", {}),
        (None, "eur", {}),
        ("860", "eur", {}),
        (860, "", {}),
        (860, None, {}),
        (860, "e" * 11, {}),
        (860, "é00", {}),
        (860, "éur", {}),
        (860, "eu1", {}),
    ],
)
def test_what_was_charged_is_kept_when_it_names_an_amount_and_a_currency(amount, currency, charged):
    details = {"presentment_amount": amount, "presentment_currency": currency}
    session = SESSION | {"presentment_details": details}

    assert told("checkout.session.completed", session).charged == charged
    assert told("charge.refunded", CHARGE | {"amount": amount, "currency": currency}).charged == charged


@pytest.mark.parametrize("odd", [None, [], "text", 5])
def test_no_charge_is_known_when_it_was_not_expanded(odd):
    assert told("checkout.session.completed", SESSION | {"presentment_details": odd}).charged == {}
    assert told("charge.dispute.created", DISPUTE | {"charge": odd}).charged == {}


@pytest.mark.parametrize(
    ("created", "at"), [(1700000000, 1700000000), (0, 0), (-5, 0), ("1700000000", 0), (None, 0), (True, 0), (1.5, 0)]
)
def test_a_word_has_stripes_time_when_it_names_one(created, at):
    refund, charge, dispute = (
        told(kind, thing, created)
        for kind, thing in (("refund.updated", REFUND), ("charge.refunded", CHARGE), ("charge.dispute.closed", DISPUTE))
    )

    assert (refund.told, refund.made, charge.told, dispute.told) == (at, 0, at, at)
    assert told("refund.created", REFUND, created).made == at
    assert told("refund.created", REFUND | {"created": 5}, created).made == 5


@pytest.mark.parametrize(
    ("kind", "status", "left"),
    [
        *(("refund", status, 500) for status in ("requires_action", "pending", "succeeded")),
        *(("refund", status, 1000) for status in ("failed", "canceled")),
        *(("dispute", f"warning_{status}", 1000) for status in ("needs_response", "under_review", "closed")),
        *(("dispute", status, 500) for status in ("needs_response", "under_review", "lost")),
        *(("dispute", f"appeal_{status}", 500) for status in ("needs_response", "under_review")),
        *(("dispute", status, 1000) for status in ("prevented", "won")),
    ],
)
def test_every_status_that_stripe_names_counts_as_money_gone_or_not(kind, status, left):
    name, thing = {"refund": ("refund.updated", REFUND), "dispute": ("charge.dispute.updated", DISPUTE)}[kind]

    assert target(record_of(paid(), told(name, thing | {"status": status}))) == left


@pytest.mark.parametrize(
    ("kind", "thing"), [("refund.created", REFUND), ("charge.refunded", CHARGE), ("charge.dispute.created", DISPUTE)]
)
def test_a_fact_says_so_when_it_is_of_the_other_mode(kind, thing):
    live, test = (event(kind, thing) | {"livemode": mode} for mode in (True, False))
    unnamed = {name: value for name, value in test.items() if name != "livemode"}

    for same, other, mode in ((live, test, True), (test, live, False), (unnamed, test, True)):
        fact = fact_of_event(same, livemode=mode)
        assert not fact.wrong_mode
        assert fact_of_event(other, livemode=mode) == replace(fact, wrong_mode=True)


# What a record keeps


def test_the_record_keeps_what_the_session_said_when_it_is_told_first():
    assert merge(PaymentRecord(PAYMENT), BOUGHT) == PaymentRecord(
        PAYMENT,
        session_id="cs_1",
        payment_intent="pi_1",
        state="paid",
        granted=5250,
        total_cents=5400,
        currency="usd",
        payer_email="payer@example.com",
        customer_id="cus_1",
    )


def test_what_was_told_first_stands_when_a_second_session_says_otherwise():
    other = SessionFact(PAYMENT, "cs_2", "pi_2", "paid", 9, 9, "eur", "eve@example.com", customer_id="cus_2")

    assert record_of(BOUGHT, other) == record_of(BOUGHT)


def test_a_payment_stays_paid_when_it_is_told_of_as_unpaid_later():
    states = [replace(UNPAID, state="failed"), UNPAID, BOUGHT, UNPAID]

    assert [record_of(*states[:count]).state for count in range(5)] == ["unknown", "failed", "failed", "paid", "paid"]


def test_a_record_is_parked_until_it_is_decided_or_proves_to_be_ours():
    odd = replace(BOUGHT, credits=0, parked_reason="not ours")
    parked = record_of(odd, UNPAID)

    assert (parked.is_parked, parked.parked_reason, parked.granted, parked.total_cents) == (True, "not ours", 0, 5400)
    assert replace(parked, resolution="refunding").is_parked
    assert not replace(parked, resolution="refunded").is_parked
    assert not replace(parked, granted=1).is_parked
    assert not record_of(BOUGHT).is_parked
    assert not PaymentRecord(PAYMENT).is_parked
    assert merge(parked, BOUGHT) == record_of(BOUGHT)
    decided = replace(parked, resolution="refunded")
    assert merge(decided, BOUGHT) == decided, "what was decided by hand is not granted by itself"


def test_a_refund_of_nothing_is_kept_as_nothing():
    record = record_of(RefundFact(PAYMENT, "re_1", 0, "pending"), DisputeFact(PAYMENT, "dp_1", 0, "lost"))

    assert (record.refunds, record.disputes) == ({"re_1": Amount(0, "pending")}, {"dp_1": Amount(0, "lost")})


def test_a_receipt_is_kept_when_a_later_charge_names_none():
    first, none, newer = (ChargeRefundedFact(PAYMENT, cents, url) for cents, url in ((1, "a"), (2, None), (3, "b")))

    orders = [none], [first, none], [first, newer], [newer, none, first]
    assert [record_of(*facts).receipt_url for facts in orders] == [None, "a", "b", "b"]


# What the ledger is told


def test_the_entry_says_what_happened_when_a_payment_moves_credits():
    record, words = record_of(BOUGHT), "a payment of $54.00"
    rows = []
    for fact in (
        None,
        RefundFact(PAYMENT, "re_1", 540, "succeeded"),
        RefundFact(PAYMENT, "re_1", 540, "failed"),
        DisputeFact(PAYMENT, "dp_1", 5400, "needs_response"),
    ):
        record = merge(record, fact) if fact else record
        entry = entry_for(record, "ada@example.com")
        record = settled(record, entry, "ada@example.com")
        rows.append((entry.transaction_id, entry.type, entry.amount, entry.description))
        assert (entry.user_email, entry.payment_id, entry.stripe_payment_intent) == ("ada@example.com", PAYMENT, "pi_1")

    assert rows == [
        ("purchase#cs_1", "purchase", 5250, "Bought 5,250 credits for $54.00"),
        ("clawback#pi_1#2", "clawback", -525, f"Taken back: {words} was refunded"),
        ("reinstatement#pi_1#3", "reinstatement", 525, f"Given back: a refund failed or a dispute was won for {words}"),
        ("clawback#pi_1#4", "clawback", -5250, f"Taken back: {words} was disputed"),
    ]
    assert (record.applied, record.entries, record.user_email) == (0, 4, "ada@example.com")


def test_the_purchase_says_so_when_part_of_it_went_back_before():
    record = record_of(BOUGHT, RefundFact(PAYMENT, "re_1", 2700, "succeeded"))

    entry = entry_for(record, "ada@example.com")

    assert (entry.type, entry.amount) == ("purchase", 2625)
    assert entry.description == "Bought 5,250 credits for $54.00, less what was refunded or disputed"


def test_a_purchase_is_named_after_the_payment_when_no_session_is_known():
    record = PaymentRecord(PAYMENT, granted=1, total_cents=1)

    assert entry_for(record, "ada@example.com").transaction_id == "purchase#pi_1"


def test_the_record_names_an_owner_once_when_nothing_is_owed():
    nobody = settled(PaymentRecord(PAYMENT), None, "ada@example.com")

    assert (nobody.user_email, nobody.applied, nobody.entries) == ("ada@example.com", 0, 0)
    assert settled(nobody, None, "eve@example.com").user_email == "ada@example.com"
