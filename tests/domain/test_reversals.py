"""Money that went back: amounts in their currency, Stripe's newest word, single refunds and the charge's sum as one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import payments
from app.domain.payments import (
    Amount,
    ChargeRefundedFact,
    DisputeFact,
    PaymentRecord,
    RefundFact,
    SessionFact,
    charged_cents,
    held_share,
    held_sums,
    merge,
    refunded_share,
    refunded_sums,
    says_more,
    target,
    unknown_currencies,
)

PAYMENT = "pi_1"
EUR = {"eur": 860}  # what $10.00 was to the payer


def paid(**fields) -> SessionFact:
    return replace(SessionFact(PAYMENT, "cs_1", PAYMENT, "paid", 1000, 1000, "usd", "ada@example.com"), **fields)


def refund(cents: int, status: str = "succeeded", *, of: str = "re_1", currency: str = "usd", **fields) -> RefundFact:
    return RefundFact(PAYMENT, of, cents, status, currency=currency, **fields)


def charge(cents: int, told: int = 0, currency: str = "usd", **fields) -> ChargeRefundedFact:
    return ChargeRefundedFact(PAYMENT, cents, currency=currency, told=told, **fields)


def dispute(cents: int, status: str = "needs_response", *, of: str = "dp_1", currency: str = "usd", **fields):
    return DisputeFact(PAYMENT, of, cents, status, currency=currency, **fields)


def record_of(*facts) -> PaymentRecord:
    record = PaymentRecord(PAYMENT)
    for fact in facts:
        record = merge(record, fact)
    return record


def left(*facts) -> int:
    """Whole credits of the thousand, the same in whatever order the facts come and however often."""
    record = record_of(*facts)
    for order in permutations(facts):
        assert record_of(*order, *order[:2]) == record
    return target(record)


# Amounts in their currency


@pytest.mark.parametrize(
    ("facts", "credits"),
    [
        ([dispute(1000)], 0),
        ([dispute(250)], 750),
        ([dispute(860, currency="eur")], 0),  # nobody told what it was in euro
        ([dispute(1, currency="eur")], 0),
        ([dispute(0, currency="eur")], 1000),
        ([dispute(860, currency="eur", charged=EUR)], 0),
        ([dispute(430, currency="eur", charged=EUR)], 500),
        ([dispute(430, currency="eur", charged={"usd": 1000})], 0),
        ([dispute(430, currency="eur"), charge(0, charged=EUR)], 500),
        ([dispute(860, "won", currency="eur")], 1000),
        ([dispute(860, "warning_needs_response", currency="eur")], 1000),
        ([dispute(430, currency="eur", charged=EUR), dispute(250, of="dp_2")], 250),
        ([dispute(430, currency="eur", charged=EUR), refund(500)], 0),
        ([refund(344, currency="eur")], 0),
        ([refund(344, currency="eur"), charge(0, charged=EUR)], 600),
        ([refund(344, "failed", currency="eur")], 1000),
        ([refund(344, currency="eur", charged=EUR), refund(600, of="re_2")], 0),
        ([refund(344, currency="eur", charged=EUR), charge(400)], 600),  # one refund, told in two currencies
        ([charge(344, currency="eur")], 0),
        ([charge(344, currency="eur", charged=EUR)], 600),
        ([refund(300, currency="")], 700),  # rows of before currencies were kept
        ([dispute(300, currency="")], 700),
        ([charge(300, currency="")], 700),
    ],
)
def test_a_share_is_taken_of_the_charge_in_the_same_currency(facts, credits):
    assert left(paid(), *facts) == credits


def test_the_payers_own_amount_counts_when_the_session_named_it():
    assert left(paid(charged=EUR), dispute(430, currency="eur")) == 500


def test_what_a_session_cost_comes_before_what_others_say_of_it():
    record = record_of(paid(), charge(0, charged={"usd": 900, "eur": 860}), charge(0, charged={"eur": 850}))

    assert {name: charged_cents(record, name) for name in ("", "usd", "eur", "gbp")} == {
        "": 1000, "usd": 1000, "eur": 860, "gbp": 0,
    }  # fmt: skip


def test_the_charge_counts_when_the_session_named_no_amount():
    facts = [paid(total_cents=0), refund(400)]

    assert left(*facts) == 0
    assert left(*facts, charge(0, charged={"usd": 1000})) == 600
    assert left(paid(total_cents=0), refund(400, currency=""), charge(0, charged={"usd": 1000})) == 600


def test_a_payment_in_another_currency_that_was_credited_by_hand_goes_back_by_its_share():
    idr = replace(record_of(paid(credits=0, currency="idr", total_cents=160_000, parked_reason="odd")), granted=650)

    assert target(merge(idr, refund(80_000, currency="idr"))) == 325
    assert target(merge(idr, refund(500, currency="usd"))) == 0
    assert target(merge(merge(idr, refund(500)), charge(0, charged={"usd": 1000}))) == 325


@settings(max_examples=300, deadline=None)
@given(
    total=st.integers(1, 10**8),
    granted=st.integers(0, 10**8),
    cuts=st.lists(st.integers(1, 10**8), max_size=6),
)
def test_refunds_of_all_that_was_paid_leave_exactly_nothing_whatever_the_parts(total, granted, cuts):
    places = sorted({0, total, *(cut % total for cut in cuts)})
    parts = [b - a for a, b in pairwise(places)]
    record = record_of(paid(credits=granted, total_cents=total))
    steps = [target(record)]
    for number, part in enumerate(parts):
        record = merge(record, refund(part, of=f"re_{number}"))
        steps.append(target(record))

    assert steps[-1] == 0
    assert steps == sorted(steps, reverse=True)
    assert all(isinstance(step, int) and 0 <= step <= granted for step in steps)


# The newest word


@pytest.mark.parametrize(
    ("facts", "credits"),
    [
        ([dispute(1000, told=1), dispute(600, told=2)], 400),
        ([dispute(600, told=1), dispute(1000, told=2)], 0),
        ([dispute(1000, told=1), dispute(600, told=1)], 400),  # within one second the lower
        ([dispute(1000, told=0), dispute(600, told=1)], 400),  # a row of before times were kept
        ([dispute(1000, told=1), dispute(600, "under_review", told=2)], 400),
        ([dispute(1000, "under_review", told=1), dispute(600, told=2)], 400),
        ([dispute(600, "lost", told=2), dispute(1000, "under_review", told=3)], 400),  # final statuses win
        ([dispute(1000, "lost", told=2), dispute(600, "appeal_under_review", told=3)], 400),
        ([dispute(1000, "won", told=2), dispute(600, "lost", told=3)], 1000),
        ([dispute(1000, "warning_closed", told=2), dispute(600, told=1)], 400),
        ([dispute(860, told=1, currency="eur"), dispute(250, told=2)], 750),
        ([dispute(250, told=1), dispute(860, told=2, currency="eur")], 0),
        ([refund(600, told=1), refund(300, told=2)], 700),
        ([refund(300, "pending", told=1), refund(600, told=2)], 400),
        ([refund(300, "failed", told=1), refund(600, "succeeded", told=2)], 1000),
        ([refund(300, "canceled", told=1), refund(600, "failed", told=1)], 1000),
        ([refund(300, "canceled", told=1), refund(600, "succeeded", told=2)], 1000),
        ([charge(600, 1), charge(300, 2)], 700),
        ([charge(600, 2), charge(300, 2)], 400),  # within one second each refund raised it
        ([charge(600, 0), charge(300, 2)], 700),
    ],
)
def test_stripes_newest_word_replaces_an_amount_in_whatever_order_it_comes(facts, credits):
    assert left(paid(), *facts) == credits


WORDS = st.lists(
    st.one_of(
        st.builds(
            refund,
            st.integers(0, 900),
            st.sampled_from(sorted(payments.REFUND_RANK)),
            of=st.sampled_from(["re_1", "re_2"]),
            currency=st.sampled_from(["", "usd", "eur"]),
            told=st.integers(0, 3),
            made=st.integers(0, 3),
        ),
        st.builds(
            dispute,
            st.integers(0, 900),
            st.sampled_from(sorted(payments.DISPUTE_RANK)),
            of=st.sampled_from(["dp_1", "dp_2"]),
            currency=st.sampled_from(["", "usd", "eur"]),
            told=st.integers(0, 3),
        ),
        st.builds(
            charge,
            st.integers(0, 900),
            st.integers(0, 3),
            st.sampled_from(["", "usd", "eur"]),
            charged=st.sampled_from([{}, {"usd": 1000}, {"eur": 860}, {"eur": 850, "gbp": 5}]),
            receipt_url=st.sampled_from([None, "a", "b"]),
        ),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=500, deadline=None)
@given(words=WORDS, data=st.data())
def test_any_words_join_to_the_same_record_in_any_order_and_repetition(words, data):
    """Also words that contradict each other, of one second or of none."""
    other = data.draw(st.permutations([*words, *data.draw(st.lists(st.sampled_from(words), max_size=4))]))

    record = record_of(paid(), *words)

    assert record_of(*other, paid()) == record
    assert 0 <= target(record) <= 1000
    assert refunded_share(record) >= 0


# Single refunds and the charge's sum


@dataclass
class Truth:
    """A payment as Stripe would tell of it: each refund told singly and by the charge's sum of that moment."""

    refunds: dict[str, tuple[int, int]] = field(default_factory=dict)  # amount, when it was made
    undone: dict[str, int] = field(default_factory=dict)
    singles: list[RefundFact] = field(default_factory=list)
    sums: list[ChargeRefundedFact] = field(default_factory=list)

    def make(self, cents: int, at: int, status: str) -> None:
        of = f"re_{len(self.refunds)}"
        self.refunds[of] = cents, at
        self.singles.append(refund(cents, status, of=of, told=at, made=at))
        self.sums.append(charge(self.stands, at, charged={"usd": 1000}))

    def undo(self, of: str, at: int, status: str) -> None:
        cents, made = self.refunds[of]
        self.undone[of] = at
        self.singles.append(refund(cents, status, of=of, told=at, made=made))

    def tell_again(self, of: str, at: int) -> None:
        cents, made = self.refunds[of]
        self.singles.append(refund(cents, "failed" if of in self.undone else "succeeded", of=of, told=at, made=made))

    @property
    def stands(self) -> int:
        return sum(cents for of, (cents, _) in self.refunds.items() if of not in self.undone)

    @property
    def credits(self) -> int:
        return 1000 - self.stands


@st.composite
def stories(draw, *, same_second: bool) -> Truth:
    """Refunds, failures and repeats as time goes by; with `same_second` several within one."""
    truth, now = Truth(), 100
    for _ in range(draw(st.integers(1, 8))):
        now += draw(st.integers(0 if same_second else 1, 2))
        alive = sorted(truth.refunds.keys() - truth.undone.keys())
        room = 1000 - truth.stands
        step = draw(st.sampled_from(["make", "make", "undo", "again"]))
        if step == "make" and room:
            truth.make(draw(st.integers(1, min(room, 400))), now, draw(st.sampled_from(["pending", "succeeded"])))
        elif step == "undo" and alive:
            truth.undo(draw(st.sampled_from(alive)), now, draw(st.sampled_from(["failed", "canceled"])))
        elif step == "again" and truth.refunds:
            truth.tell_again(draw(st.sampled_from(sorted(truth.refunds))), now)
    return truth


def shuffled(data, facts: list) -> list:
    again = data.draw(st.lists(st.sampled_from(facts), max_size=3)) if facts else []
    return data.draw(st.permutations([*facts, *again]))


@settings(max_examples=500, deadline=None)
@given(truth=stories(same_second=True), data=st.data())
def test_the_ledger_is_right_when_all_was_told_in_any_order(truth, data):
    facts = shuffled(data, [paid(), *truth.singles, *truth.sums])

    assert target(record_of(*facts)) == truth.credits


@settings(max_examples=500, deadline=None)
@given(truth=stories(same_second=False), data=st.data())
def test_the_ledger_is_right_after_the_single_refunds_when_sums_are_missing(truth, data):
    sums = data.draw(st.lists(st.sampled_from(truth.sums))) if truth.sums else []
    facts = shuffled(data, [paid(), *truth.singles, *sums])

    assert target(record_of(*facts)) == truth.credits


@settings(max_examples=500, deadline=None)
@given(truth=stories(same_second=False), data=st.data())
def test_the_ledger_is_right_after_the_charges_sum_when_single_refunds_are_missing(truth, data):
    """Of what happened since that sum nobody but the single refunds can tell, and of when nobody but the first word."""
    if not truth.sums:
        return
    since = truth.sums[-1].told
    later = [
        word for word in truth.singles if word.told > since and truth.undone.get(word.refund_id, word.told) > since
    ]
    earlier = [word for word in truth.singles if word.told <= since]
    some = data.draw(st.lists(st.sampled_from(earlier))) if earlier else []
    sums = data.draw(st.lists(st.sampled_from(truth.sums)))
    facts = shuffled(data, [paid(), truth.sums[-1], *later, *some, *sums])

    assert target(record_of(*facts)) == truth.credits


def test_a_third_refund_is_taken_back_when_the_charge_alone_tells_of_it():
    first, failed = refund(300, of="re_1", told=1, made=1), refund(300, "failed", of="re_2", told=3, made=2)
    told = [paid(), first, charge(300, 1), charge(600, 2), failed]
    assert left(*told) == 700

    assert left(*told, charge(600, 4)) == 400
    assert left(*told, refund(300, of="re_3", told=4, made=4)) == 400
    assert left(*told[:-1], charge(600, 4), refund(300, of="re_3", told=4, made=4)) == 400


@pytest.mark.parametrize(
    ("facts", "credits"),
    [
        # a failure counts as later than a sum of the same second, or of no known time
        ([charge(300, 5), refund(300, "failed", told=5, made=5)], 1000),
        ([charge(300), refund(300, "failed")], 1000),
        ([charge(300), refund(300, "failed", told=5, made=4)], 1000),
        ([charge(300, 5), refund(300, "failed", told=4, made=3)], 700),
        ([charge(300, 5), refund(300, "failed")], 700),  # a row of before times were kept
        # but what took its place in that second counts once it is told
        ([charge(300, 5), refund(300, "failed", told=5, made=4), refund(300, of="re_2", told=5, made=5)], 700),
        ([charge(300, 5), refund(300, "failed", told=5, made=4), refund(300, of="re_2", told=4, made=4)], 700),
        (
            [
                *(charge(500, 5), refund(200, "failed", told=5, made=4)),
                *(refund(200, of="re_2", told=3, made=3), refund(200, of="re_3", told=4, made=4)),
            ],
            600,
        ),
        # a refund that the sum has no room for any more must have failed
        ([refund(300, told=1, made=1), charge(200, 5)], 800),
        ([charge(500, 5), refund(300, told=6, made=1), refund(300, of="re_2", told=3, made=2)], 500),
        (
            [
                *(charge(500, 5), refund(200, "failed", told=6, made=4)),
                *(refund(300, of="re_2", told=3, made=3), refund(300, of="re_3", told=3, made=3)),
            ],
            700,
        ),
        ([refund(300, told=6, made=1), charge(200, 5)], 700),
        ([refund(300, told=5, made=5), charge(200, 5)], 700),
        # without knowing when it was made, it is one that the sum knew
        ([refund(300, told=4), charge(300, 5)], 700),
        # made after the sum
        ([charge(300, 5), refund(200, told=6, made=6)], 500),
        ([charge(300, 5), refund(200, told=6, made=6), refund(100, of="re_2", told=7, made=7)], 400),
        ([charge(300, 5), refund(200, "failed", told=7, made=6)], 700),
        ([charge(300), refund(200, told=6, made=6)], 700),
        # in a currency that cannot be compared it is within the sum, or all
        ([charge(300, 5), refund(200, told=5, made=5, currency="eur")], 700),
        ([charge(300, 5), refund(200, told=5, made=1, currency="eur")], 700),
        ([charge(300, 5), refund(200, told=6, made=6, currency="eur")], 0),
        ([charge(300, 5), refund(200, told=6, currency="eur")], 0),
        ([charge(300, 5), refund(200, "failed", told=6, made=5, currency="eur")], 1000),
    ],
)
def test_single_refunds_and_the_charges_sum_are_one_truth(facts, credits):
    assert left(paid(), *facts) == credits


# What is read of it


@pytest.mark.threat(104)
@pytest.mark.parametrize("times", [(0, 0, 0), (50, 60, 100)])
@pytest.mark.parametrize(
    ("failed", "credits"), [((), 0), ((333,), 0), ((333, 500), 0), ((333, 667), 1000), ((1000,), 1000)]
)
def test_a_refund_that_failed_gives_back_no_part_that_nobody_can_measure(failed, credits, times):
    """What was paid is not known: whatever is left of the charge's sum takes all, as it did before times were kept."""
    made, told, undone = times
    facts = [paid(total_cents=0), charge(1000, told)]
    facts += [refund(cents, "failed", of=f"re_{number}", made=made, told=undone) for number, cents in enumerate(failed)]

    assert left(*facts) == credits


def test_a_refund_that_failed_in_a_currency_of_its_own_was_all_of_it():
    """What was paid is not known, nor how one amount compares with the other."""
    assert left(paid(total_cents=0), charge(1000), refund(333, "failed", currency="eur")) == 1000


def test_sums_are_told_by_currency():
    record = record_of(
        paid(), refund(300), refund(200, "failed", of="re_2"), refund(344, of="re_3", currency="eur"), charge(500, 5),
        dispute(100), dispute(60, of="dp_2", currency="eur"), dispute(9, "won", of="dp_3", currency="gbp"),
    )  # fmt: skip

    assert refunded_sums(record) == {"eur": 344, "usd": 500}
    assert held_sums(record) == {"eur": 60, "usd": 100}
    assert unknown_currencies(record) == ["eur"]
    assert (refunded_share(record), held_share(record)) == (Fraction(1, 2), Fraction(11, 10))
    assert refunded_sums(record_of(paid(), refund(300, currency=""))) == {"usd": 300}
    assert unknown_currencies(record_of(paid(), refund(300, currency=""), dispute(9, "won", currency="gbp"))) == []


@pytest.mark.parametrize(
    ("facts", "refunds", "disputes"),
    [
        ([], {}, {}),
        ([charge(300, 5)], {"usd": 300}, {}),
        ([charge(300, 5, "")], {"usd": 300}, {}),
        ([charge(258, 5, "eur")], {"eur": 258}, {}),
        ([charge(300, 5), refund(100, made=6, told=6, currency="eur")], {"eur": 100, "usd": 300}, {}),
        ([refund(1)], {"usd": 1}, {}),
        ([dispute(9, currency="")], {}, {"usd": 9}),
        ([dispute(1), dispute(2, of="dp_2")], {}, {"usd": 3}),
    ],
)
def test_what_went_back_is_read_where_only_some_of_it_was_told(facts, refunds, disputes):
    record = record_of(paid(), *facts)

    assert (refunded_sums(record), held_sums(record)) == (refunds, disputes)


def test_what_cannot_be_compared_is_all_and_no_more():
    assert refunded_share(record_of(paid(), refund(200, currency="eur"))) == 1
    assert refunded_share(record_of(paid(), charge(200, 5, "eur"))) == 1
    assert held_share(record_of(paid(), dispute(200, currency="eur"))) == 1


def test_more_is_said_when_it_is_more_than_the_same_word_at_a_later_time():
    known = record_of(paid(), refund(300, told=1, made=1), dispute(100, told=1), charge(300, 1))

    def more(fact) -> bool:
        return says_more(known, merge(known, fact))

    assert not more(refund(300, told=9, made=1))
    assert not more(refund(300, told=9, made=1, currency=""))
    assert not more(dispute(100, told=9))
    assert not more(charge(300, 9))
    assert more(refund(300, "failed", told=9, made=1))
    assert more(refund(200, told=9, made=1))
    assert more(dispute(100, "won", told=9))
    assert more(dispute(100, told=9, currency="eur"))
    assert more(charge(400, 9))
    assert more(paid(customer_id="cus_1"))


def test_more_is_said_of_a_payment_that_moves_no_credits():
    """Of one that is parked or not known yet the words alone tell."""
    known = record_of(refund(300, told=1, made=1), dispute(100, told=1), charge(300, 1))

    def more(fact) -> bool:
        return says_more(known, merge(known, fact))

    again = refund(300, told=9, made=1), dispute(100, told=9), charge(300, 9)
    assert [more(fact) for fact in again] == [False] * 3
    lower = refund(200, told=9, made=1), dispute(90, told=9), charge(200, 9)
    assert [more(fact) for fact in lower] == [True] * 3
    assert [more(replace(fact, currency="eur")) for fact in again] == [True] * 3
    assert more(refund(300, "failed", told=9, made=1))
    assert more(dispute(100, "under_review", told=9))


def test_more_is_said_when_a_currency_is_named_that_is_not_the_payments_own():
    known = record_of(paid(parked_reason="odd", currency="eur"), refund(300, currency=""), dispute(9, currency=""))

    assert not says_more(known, merge(known, refund(300, told=9, currency="eur")))
    assert not says_more(known, merge(known, dispute(9, told=9, currency="eur")))
    assert says_more(known, merge(known, refund(300, told=9, currency="usd")))
    assert says_more(known, merge(known, dispute(9, told=9, currency="usd")))


def test_a_record_keeps_the_newest_words_with_their_currency_and_times():
    record = record_of(
        refund(300, "pending", told=4, made=3),
        refund(300, "failed", told=6, made=3, currency="eur"),
        refund(300, "failed", told=5, made=2, currency="eur"),
        dispute(100, told=7),
        charge(300, 8),
        charge(200, 7),
    )

    assert record.refunds == {"re_1": Amount(300, "failed", "eur", told=6, made=2, undone=5)}
    assert record.disputes == {"dp_1": Amount(100, "needs_response", "usd", told=7)}
    assert record.charge_refunded == Amount(300, currency="usd", told=8)
