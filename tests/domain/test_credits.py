"""What posting an entry does to an account: balance, sequence, time, spending by day, throttle."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.accounts import Account
from app.domain.credits import (
    CLAWBACK,
    DAYS_OF_SPEND,
    PROMO,
    SPEND,
    SUBMITS_A_MINUTE,
    TYPES,
    LedgerEntry,
    PostedEntry,
    opening,
    post,
    spend_entry,
    task_refund_entry,
)
from app.domain.errors import AccountFrozen, BalanceUnexplained, InsufficientCredits, RateLimited
from app.domain.tasks import new_task, task_id_for
from tests.support import NOW

ADA = Account("ada@example.com", "acc_1", NOW, credits_balance=100)


def entry(amount: int, type: str = PROMO) -> LedgerEntry:
    return LedgerEntry("id", ADA.email, type, amount, "Words")


def test_posted_row_takes_the_next_place_and_the_new_balance():
    movement = LedgerEntry("spend#1", ADA.email, SPEND, -10, "Words", "task_1", "pi_1", "pi_2")

    posted, after = post(replace(ADA, ledger_sequence=7, version=3), movement, NOW)

    assert posted == PostedEntry(
        "spend#1", ADA.email, SPEND, -10, "Words", NOW, 90, 8, "task_1", payment_id="pi_1", stripe_payment_intent="pi_2"
    )
    assert after == replace(
        ADA,
        credits_balance=90,
        ledger_sequence=8,
        last_entry_at=NOW,
        version=4,
        spend_by_day={"2026-11-22": 10},
        submit_window="2026-11-22T12:00",
        submits_in_window=1,
    )


def test_kinds_and_limits_are_those_that_programs_were_told():
    """The kinds are also how rows are stored."""
    assert TYPES == ("purchase", "spend", "refund", "clawback", "reinstatement", "adjustment", "promo")
    assert (SUBMITS_A_MINUTE, DAYS_OF_SPEND) == (600, 30)


def test_a_frozen_account_takes_credits_and_spends_none():
    frozen = replace(ADA, frozen_at=NOW)

    with pytest.raises(AccountFrozen):
        post(frozen, entry(-10, SPEND), NOW)
    assert post(frozen, entry(10), NOW)[1].credits_balance == 110


@pytest.mark.parametrize("type_", TYPES)
def test_nothing_moves_when_no_row_explains_the_balance(type_):
    with pytest.raises(BalanceUnexplained):
        post(replace(ADA, unexplained="from before"), entry(10, type_), NOW)


@pytest.mark.parametrize(
    ("newest", "moment"),
    [
        (None, NOW),
        (NOW - timedelta(days=1), NOW),
        (NOW, NOW + timedelta(microseconds=1)),
        (NOW + timedelta(days=1), NOW + timedelta(days=1, microseconds=1)),
    ],
)
def test_the_opening_row_fills_what_older_rows_leave_and_follows_them(newest, moment):
    before = replace(ADA, credits_balance=2500, version=3)

    posted, after = opening(before, 1000, newest, NOW)

    words = "Brought forward: a balance of 2,500 credits"
    assert posted == PostedEntry("opening#ada@example.com", ADA.email, "adjustment", 1500, words, moment, 2500, 1)
    assert after == replace(before, ledger_sequence=1, last_entry_at=moment, version=4)
    assert not posted.is_original
    assert replace(posted, sequence=0).is_original


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.integers(-50, 50)), max_size=30))
def test_balance_is_always_the_sum_of_what_was_posted(movements):
    account, rows = replace(ADA, credits_balance=0), []
    for type_, amount in movements:
        try:
            posted, account = post(account, entry(amount, type_), NOW)
        except (InsufficientCredits, RateLimited):
            continue
        rows.append(posted)

    assert account.credits_balance == sum(row.amount for row in rows)
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        assert row.balance_after >= 0 or row.type == CLAWBACK or row.amount >= 0
    assert [row.timestamp for row in rows] == sorted({row.timestamp for row in rows})


@pytest.mark.parametrize("type_", [type_ for type_ in TYPES if type_ != CLAWBACK])
def test_nothing_but_a_clawback_goes_below_zero(type_):
    with pytest.raises(InsufficientCredits) as refusal:
        post(ADA, entry(-101, type_), NOW)

    assert refusal.value.details() == {"required": 101, "available": 100}
    assert post(ADA, entry(-101, CLAWBACK), NOW)[1].credits_balance == -1


def test_spending_stops_below_zero_and_a_purchase_counts_against_it():
    owing = replace(ADA, credits_balance=-50)

    with pytest.raises(InsufficientCredits, match="refunded or disputed"):
        post(owing, entry(-10, SPEND), NOW)
    assert [post(owing, entry(amount), NOW)[1].credits_balance for amount in (30, 0)] == [-20, -50]


def test_the_whole_balance_can_be_spent():
    assert post(replace(ADA, credits_balance=10), entry(-10, SPEND), NOW)[1].credits_balance == 0


def test_time_never_runs_backwards_within_an_account():
    account = replace(ADA, last_entry_at=NOW)

    behind, after = post(account, entry(1), NOW - timedelta(minutes=10))
    same, _ = post(after, entry(1), NOW)

    assert behind.timestamp == NOW + timedelta(microseconds=1)
    assert same.timestamp == NOW + timedelta(microseconds=2)


def test_spending_is_kept_by_day_and_old_days_fall_out():
    account = ADA
    for days in range(DAYS_OF_SPEND + 5):
        _, account = post(replace(account, credits_balance=100), entry(-10, SPEND), NOW + timedelta(days=days))

    assert post(account, entry(-5, SPEND), account.last_entry_at)[1].spend_by_day[max(account.spend_by_day)] == 15
    assert len(account.spend_by_day) == DAYS_OF_SPEND
    assert set(account.spend_by_day.values()) == {10}
    assert max(account.spend_by_day) == (NOW + timedelta(days=DAYS_OF_SPEND + 4)).date().isoformat()


def test_what_is_not_spent_is_not_counted_as_spending():
    _, after = post(ADA, entry(-10, CLAWBACK), NOW)

    assert (dict(after.spend_by_day), after.submits_in_window) == ({}, 0)


def test_submits_are_throttled_by_the_minute():
    account = replace(ADA, credits_balance=1_000_000)
    for _ in range(SUBMITS_A_MINUTE):
        _, account = post(account, entry(-10, SPEND), NOW)

    with pytest.raises(RateLimited) as refusal:
        post(account, entry(-10, SPEND), NOW + timedelta(seconds=20))

    assert refusal.value.retry_after_seconds == 40
    assert post(account, entry(-10, SPEND), NOW + timedelta(seconds=60))[1].submits_in_window == 1


def test_entries_of_a_task_are_named_after_it():
    task = new_task(ADA.email, "Words " * 50, "r-1", NOW)

    spend, refund = spend_entry(task), task_refund_entry(task, "rejected")

    beginning = "Words Words Words Words Words Words Words Words Words Words…"
    assert spend == LedgerEntry(
        f"spend#{task.task_id}", ADA.email, "spend", -10, f"Task: {beginning}", task_id=task.task_id
    )
    assert refund == LedgerEntry(
        f"refund#{task.task_id}", ADA.email, "refund", 10, f"Refund, rejected: {beginning}", task_id=task.task_id
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("x" * 58 + " " + "y" * 9, "x" * 58 + "…"),
        (" several\n\n lines\tof words ", "several lines of words"),
    ],
)
def test_a_description_is_one_line_of_at_most_60_characters(text, shown):
    assert spend_entry(new_task(ADA.email, text, "r-1", NOW)).description == f"Task: {shown}"


def test_task_id_follows_from_owner_and_key():
    same = [task_id_for("ada@example.com", "r-1") for _ in range(2)]

    assert same[0] == same[1]
    assert len({same[0], task_id_for("bob@example.com", "r-1"), task_id_for("ada@example.com", "r-2")}) == 3
