"""What posting an entry does to an account: balance, sequence, time, spending by day, throttle."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.accounts import Account
from app.domain.credits import (
    CLAWBACK,
    DAYS_OF_SPEND,
    OUT_OF_TIME,
    PROMO,
    SPEND,
    SUBMITS_A_MINUTE,
    TYPES,
    LedgerEntry,
    PostedEntry,
    dated,
    opening,
    post,
    spend_entry,
    task_refund_entry,
)
from app.domain.errors import AccountFrozen, BalanceUnexplained, InsufficientCredits, RateLimited
from app.domain.tasks import new_task, task_id_for
from tests.support import NOW

MOMENT, YEARS = timedelta(microseconds=1), timedelta(days=3650)
ADA = Account("ada@example.com", "acc_1", NOW, credits_balance=100)


def entry(amount: int, type: str = PROMO) -> LedgerEntry:
    return LedgerEntry("id", ADA.email, type, amount, "Words")


def test_posted_row_takes_the_next_place_and_the_new_balance():
    entry = LedgerEntry("spend#1", ADA.email, SPEND, -10, "Words", "task_1", "pi_1", "pi_2")

    posted, after = post(replace(ADA, ledger_sequence=7, version=3), entry, NOW)

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
    ("newest", "moment", "ahead_at"),
    [
        (None, NOW, None),
        (NOW - timedelta(days=1), NOW, None),
        (NOW, NOW + MOMENT, None),
        (NOW + OUT_OF_TIME - MOMENT, NOW + OUT_OF_TIME, None),
        (NOW + OUT_OF_TIME, NOW, NOW + OUT_OF_TIME + MOMENT),
        (NOW + YEARS, NOW, NOW + YEARS + MOMENT),
    ],
)
def test_the_opening_row_fills_what_older_rows_leave_and_follows_them(newest, moment, ahead_at):
    before = replace(ADA, credits_balance=2500, version=3)

    posted, after = opening(before, 1000, newest, NOW)

    words = "Brought forward: a balance of 2,500 credits"
    assert posted == PostedEntry(
        "opening#ada@example.com", ADA.email, "adjustment", 1500, words, moment, 2500, 1, ahead_at=ahead_at
    )
    happened = moment if ahead_at else None
    assert after == replace(
        before,
        ledger_sequence=1,
        folded_sequence=1,
        last_entry_at=ahead_at or moment,
        last_happened_at=happened,
        ahead_since=happened,
        version=4,
    )
    assert not posted.is_original
    assert replace(posted, sequence=0).is_original


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.integers(-50, 50)), max_size=30))
def test_balance_is_always_the_sum_of_what_was_posted(changes):
    account, rows = replace(ADA, credits_balance=0), []
    for type_, amount in changes:
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


@pytest.mark.threat(112)
def test_a_row_years_ahead_does_not_move_the_time_of_those_that_follow():
    _, ahead = post(ADA, entry(1), NOW + YEARS)
    first, after = post(ahead, entry(1), NOW + timedelta(days=2))
    second, later = post(after, entry(1), NOW + timedelta(days=1))  # of two right machines one may be a little behind
    third, last = post(later, entry(1), NOW + YEARS + timedelta(days=1))

    assert [row.timestamp for row in (first, second)] == [NOW + timedelta(days=2), NOW + timedelta(days=1)]
    assert [row.listed_at for row in (first, second)] == [NOW + YEARS + MOMENT, NOW + YEARS + 2 * MOMENT]
    assert (after.last_entry_at, after.last_happened_at) == (first.listed_at, first.timestamp)
    assert (ahead.ahead_since, after.ahead_since, later.ahead_since) == (None, first.timestamp, second.timestamp)
    assert (third.ahead_at, last.last_happened_at, last.ahead_since) == (None, None, second.timestamp)


@pytest.mark.threat(112)
def test_days_that_a_clock_ahead_has_written_fall_out_of_the_chart():
    _, ahead = post(ADA, entry(-10, SPEND), NOW + YEARS)
    _, after = post(ahead, entry(-10, SPEND), NOW)

    assert after.spend_by_day == {"2026-11-22": 10}


JUMPS = st.sampled_from([timedelta(0)] * 4 + [YEARS, -YEARS, timedelta(days=40), timedelta(days=-40)])
HISTORIES = st.lists(st.tuples(JUMPS, st.integers(0, 60 * 86_400), st.integers(-20, 40)), min_size=1, max_size=25)


@pytest.mark.threat(112)
@given(HISTORIES)
def test_whatever_clocks_say_each_row_lies_in_one_month_and_statements_add_up(history):
    """Each row is written by a machine whose clock is so far off, so many seconds after the one before."""
    account, rows, true = replace(ADA, credits_balance=0), [], NOW
    for off, seconds, amount in history:
        true += timedelta(seconds=seconds)
        with suppress(InsufficientCredits):
            posted, account = post(account, entry(amount), true + off)
            rows.append((posted, off, true))
    found = [*dated([row for row, _, _ in reversed(rows)], true)][::-1]

    assert [row.sequence for row in sorted(found, key=lambda row: row.listed_at)] == list(range(1, len(rows) + 1))
    assert len({row.listed_at for row in found}) == len(rows)
    assert [row.timestamp for row in found] == sorted(row.timestamp for row in found)
    assert all(row.timestamp <= true + OUT_OF_TIME for row in found)
    balance = 0
    for _, month in groupby(found, key=lambda row: f"{row.timestamp:%Y-%m}"):
        of_month = list(month)
        assert of_month[0].balance_after - of_month[0].amount == balance
        balance += sum(row.amount for row in of_month)
    assert balance == account.credits_balance
    if all(off >= timedelta(0) for _, off, _ in rows):  # then each has its time, or that of the next right row
        right = [(number, true) for number, (_, off, true) in enumerate(rows) if not off]
        for number, moment in right:
            assert abs(found[number].timestamp - moment) <= OUT_OF_TIME
        for number, row in enumerate(found):
            following = [moment for place, moment in right if place >= number]
            assert row.timestamp <= (following[0] if following else true) + OUT_OF_TIME


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
