"""How numbers, money and moments read on a page."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from app.domain import formatting

NOW = datetime(2026, 11, 22, 14, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "words"), [(0, "0"), (980, "980"), (1000, "1,000"), (1_234_567, "1,234,567"), (-420, "−420")]
)
def test_credits_read_with_thousands_and_a_real_minus(amount, words):
    assert formatting.credits(amount) == words


@pytest.mark.parametrize(("amount", "words"), [(1000, "+1,000"), (-10, "−10"), (0, "0")])
def test_movements_carry_their_sign(amount, words):
    assert formatting.signed_credits(amount) == words


@pytest.mark.parametrize(
    ("amount", "words"), [(0, "0 credits"), (1, "1 credit"), (-1, "−1 credit"), (980, "980 credits")]
)
def test_noun_follows_its_number(amount, words):
    assert formatting.count(amount, "credit") == words


def test_noun_takes_its_own_plural_when_given():
    assert formatting.count(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize(
    ("cents", "words"),
    [
        (0, "$0.00"),
        (5, "$0.05"),
        (1000, "$10.00"),
        (50_000, "$500.00"),
        (123_456_789, "$1,234,567.89"),
        (-1050, "−$10.50"),
    ],
)
def test_dollars_come_exactly_from_integer_cents(cents, words):
    assert formatting.dollars(cents) == formatting.money(cents, "usd") == words


@pytest.mark.parametrize(
    ("cents", "currency", "words"),
    [
        (860, "eur", "8.60 EUR"),
        (5, "EUR", "0.05 EUR"),
        (1_234_567, "jpy", "1,234,567 JPY"),
        (12_345_678, "kwd", "12,345.678 KWD"),
        (-860, "gbp", "−8.60 GBP"),
        (860, "", "8.60 in an unknown currency"),
    ],
)
def test_an_amount_is_told_in_its_own_currency(cents, currency, words):
    assert formatting.money(cents, currency) == words


@pytest.mark.parametrize(
    ("price_cents", "credits", "words"),
    [
        (1000, 1000, "1¢"),
        (5000, 5250, "0.95¢"),
        (10_000, 11_000, "0.91¢"),
        (50_000, 57_500, "0.87¢"),
        (3000, 2000, "1.5¢"),
    ],
)
def test_price_of_one_credit_is_rounded_to_a_hundredth_of_a_cent(price_cents, credits, words):
    assert formatting.cents_per_credit(price_cents, credits) == words


@pytest.mark.parametrize(
    ("balance", "words"),
    [
        (980, "about 98 tasks"),
        (10, "about 1 task"),
        (19, "about 1 task"),
        (9, "not enough for a task"),
        (-420, "not enough for a task"),
    ],
)
def test_balance_reads_as_whole_tasks(balance, words):
    assert formatting.about_tasks(balance, cost=10) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (45, "45 seconds"),
        (119, "119 seconds"),
        (121, "3 minutes"),
        (3600, "60 minutes"),
        (7201, "3 hours"),
    ],
)
def test_wait_is_never_too_short(seconds, words):
    assert formatting.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (440, "7 minutes 20 seconds"),
        (5220, "1 hour 27 minutes"),
        (7205, "2 hours"),
        (183_600, "2 days 3 hours"),
    ],
)
def test_what_something_took_is_told_in_its_two_largest_units(seconds, words):
    assert formatting.elapsed(seconds) == words


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=6), "6 days ago"),
        (timedelta(days=7), "15 Nov"),
        (timedelta(days=400), "18 Oct 2025"),
        (timedelta(seconds=-5), "just now"),
        (timedelta(minutes=-5), "in 5 minutes"),
    ],
)
def test_moment_reads_as_its_age(age, words):
    assert formatting.relative_time(NOW - age, NOW) == words


def test_times_are_told_in_utc_when_given_in_another_zone():
    moment = NOW.astimezone(timezone(timedelta(hours=-9)))

    assert formatting.iso_time(moment) == "2026-11-22T14:03:09Z"
    assert formatting.exact_time(moment) == "22 November 2026, 14:03 UTC"
    assert formatting.short_date(datetime(2026, 11, 22, 20, tzinfo=timezone(timedelta(hours=-9)))) == "23 Nov 2026"


def test_dates_and_months_read_in_words():
    assert formatting.short_date(date(2026, 3, 1)) == "1 Mar 2026"
    assert formatting.month_name("2026-11") == "November 2026"


def test_excerpt_keeps_a_short_text_on_one_line():
    assert formatting.excerpt("Summarise\n  the report") == "Summarise the report"


def test_excerpt_cuts_at_a_word_when_the_text_is_long():
    assert formatting.excerpt("one two three four", 12) == "one two…"


def test_excerpt_cuts_inside_a_word_that_fills_the_line():
    assert formatting.excerpt("a" * 50, 10) == "a" * 9 + "…"


def test_daily_spend_has_every_day_in_order_when_only_some_were_spent_on():
    days = formatting.daily_spend({"2026-11-22": 30, "2026-10-24": 10, "2026-10-23": 99}, today=date(2026, 11, 22))

    assert [day.day for day in days] == [date(2026, 10, 24) + timedelta(days=n) for n in range(30)]
    assert (days[0].credits, days[1].credits, days[-1].credits) == (10, 0, 30)


def test_daily_spend_is_all_zero_when_nothing_was_spent():
    assert {day.credits for day in formatting.daily_spend(None)} == {0}
