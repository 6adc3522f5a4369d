"""How much of an account one operator moves alone in a day."""

from dataclasses import replace
from datetime import timedelta

from app.domain.accounts import Account
from app.domain.corrections import alone_today, tally
from tests.support import NOW

ADA = Account("ada@example.com", "acc_1", NOW)


def corrected(account: Account, operator: str, amount: int, now=NOW) -> Account:
    return replace(account, **tally(account, operator, amount, now))


def test_what_comes_and_what_goes_adds_up_within_a_day():
    account = corrected(corrected(ADA, "op", 300), "op", -200)

    assert alone_today(account, "op", -1, NOW) == 501


def test_each_operator_is_counted_alone():
    account = corrected(corrected(ADA, "op", 300), "two", 50)

    assert account.corrected_by == {"op": 300, "two": 50}
    assert alone_today(account, "three", 7, NOW) == 7


def test_counting_begins_anew_when_the_day_does():
    tomorrow = NOW + timedelta(days=1)
    account = corrected(corrected(ADA, "op", 300), "two", 5, tomorrow)

    assert alone_today(account, "op", 1, tomorrow) == 1
    assert (account.corrected_on, account.corrected_by) == ("2026-11-23", {"two": 5})


def test_the_count_of_a_day_stands_when_a_late_request_comes_from_the_day_before():
    account = corrected(ADA, "op", 300, NOW)
    yesterday = NOW - timedelta(days=1)

    assert alone_today(account, "op", 1, yesterday) == 301
    assert alone_today(corrected(account, "op", 1, yesterday), "op", 1, NOW) == 302
