"""What each ledger row of a payment moved in money: exact to the cent, or not said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.credits import PostedEntry
from app.domain.payments import (
    NOTHING,
    ChargeRefundedFact,
    DisputeFact,
    Fact,
    PaymentRecord,
    RefundFact,
    entry_for,
    kept_cents,
    merge,
    settled,
)
from app.domain.statement import Money, Statement, StatementRow, money_moved
from tests.support import NOW

EMAIL = "ada@example.com"
PAID = PaymentRecord("pi_1", "cs_1", "pi_1", "paid", granted=1000, total_cents=1000, currency="usd")


def told(record: PaymentRecord, *facts: Fact) -> tuple[PaymentRecord, list[PostedEntry]]:
    """The record after each fact, and the rows that settled it."""
    rows: list[PostedEntry] = []
    for fact in (None, *facts):
        record = merge(record, fact) if fact else record
        entry = entry_for(record, EMAIL)
        if entry:
            row = PostedEntry(entry.transaction_id, EMAIL, entry.type, entry.amount, entry.description, NOW, 0, 1)
            rows.append(row)
        record = settled(record, entry, EMAIL)
    return record, rows


def moved(record: PaymentRecord, *facts: Fact) -> list[tuple[int, int | None]]:
    """Credits and cents of each row."""
    record, rows = told(record, *facts)
    money = money_moved(record, rows)
    return [(row.amount, found.cents if (found := money[row.transaction_id]) else None) for row in rows]


def refund(number: int, cents: int, status: str = "succeeded", currency: str = "") -> RefundFact:
    return RefundFact("pi_1", f"re_{number}", cents, status, told=number, made=number, currency=currency)


@pytest.mark.parametrize(
    ("record", "facts", "rows"),
    [
        (PAID, [], [(1000, 1000)]),
        (PAID, [refund(1, 250)], [(1000, 1000), (-250, -250)]),
        (PAID, [refund(1, 250), refund(2, 333)], [(1000, 1000), (-250, -250), (-333, -333)]),
        (PAID, [refund(1, 1000)], [(1000, 1000), (-1000, -1000)]),
        (PAID, [refund(1, 250), refund(2, 250, "failed"), refund(1, 250, "failed")],
         [(1000, 1000), (-250, -250), (250, 250)]),
        (PAID, [DisputeFact("pi_1", "dp_1", 1000, "needs_response"), DisputeFact("pi_1", "dp_1", 1000, "won")],
         [(1000, 1000), (-1000, -1000), (1000, 1000)]),
        (PAID, [ChargeRefundedFact("pi_1", 400, told=9)], [(1000, 1000), (-400, -400)]),
    ],
)  # fmt: skip
def test_each_row_has_the_money_that_moved_for_it(record, facts, rows):
    assert moved(record, *facts) == rows


def test_money_is_not_rounded_with_the_credits():
    """5,500 credits for $49.99: a refund of $10.01 takes 1,101 of them back."""
    pack = replace(PAID, granted=5500, total_cents=4999)

    assert moved(pack, refund(1, 1001), refund(2, 3998)) == [(5500, 4999), (-1101, -1001), (-4399, -3998)]


def test_a_payment_of_very_many_refunds_is_known_as_they_follow_one_another():
    cents = [2**number for number in range(1, 9)] + [37, 41]
    facts = [refund(number, amount) for number, amount in enumerate(cents, 1)]

    assert moved(PAID, *facts) == [(1000, 1000), *((-amount, -amount) for amount in cents)]


def test_with_a_tax_on_top_a_cent_is_not_a_credit():
    taxed = replace(PAID, total_cents=1190)

    assert moved(taxed, refund(1, 595), refund(2, 119)) == [(1000, 1190), (-500, -595), (-100, -119)]


def test_a_refund_in_another_currency_is_told_in_that_of_the_payment():
    record = replace(PAID, charged={"eur": 860})

    assert moved(record, refund(1, 430, currency="eur")) == [(1000, 1000), (-500, -500)]


def test_what_was_refunded_before_it_was_credited_is_taken_off():
    record = merge(PAID, refund(1, 250))

    assert moved(record) == [(750, 750)]


def test_what_no_word_of_stripes_explains_is_not_guessed():
    assert kept_cents(merge(PAID, refund(1, 250)), 300) is None
    record, rows = told(PAID, refund(1, 250), refund(2, 250))
    forgotten = replace(record, refunds={}, charge_refunded=NOTHING)  # as if Stripe had never told
    assert list(money_moved(forgotten, rows).values()) == [Money(1000, "usd"), None, None]


def test_two_refunds_that_explain_the_same_credits_by_other_money_say_nothing():
    """With so few credits for so much money, one credit is many cents."""
    record = replace(
        PAID, granted=10, total_cents=1000, refunds=merge(merge(PAID, refund(1, 205)), refund(2, 210)).refunds
    )

    assert kept_cents(replace(record, applied=6), 8) is None


def test_sums_are_by_currency_and_apart_from_what_went_back():
    def row(kind: str, money: Money | None) -> StatementRow:
        return StatementRow(PostedEntry("t", EMAIL, kind, 1, "x", NOW, 1, 1), "x", money)

    usd = [row("purchase", Money(1000, "usd")), row("clawback", Money(-250, "usd")), row("purchase", Money(500, "usd"))]
    found = Statement("2026-11", [*usd, row("purchase", Money(900, "jpy")), row("spend", None)], 0, 0, 0, 0, True)

    assert found.paid == [Money(900, "jpy"), Money(1500, "usd")]
    assert found.paid_back == [Money(-250, "usd")]
    assert not found.money_unknown
    assert Statement("2026-11", [row("purchase", None)], 0, 0, 0, 0, True).money_unknown
