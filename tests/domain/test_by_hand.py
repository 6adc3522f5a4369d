"""Value made by hand: what counts, whose count it goes to, and who may stand for it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.accounts import Account
from app.domain.by_hand import Hand, are_one, hand_of, hands_of, is_generous, is_in_good_standing
from tests.support import NOW

OP = Account("op@example.com", "acc_1", NOW, role="admin", confirmed_at=NOW)


def test_what_comes_and_what_goes_adds_up_within_a_day():
    assert Hand("op").with_amount(300, NOW).with_amount(-200, NOW) == Hand("op", "2026-11-22", 500)


def test_counting_begins_anew_when_the_day_does():
    hand = Hand("op").with_amount(300, NOW)

    assert hand.with_amount(1, NOW + timedelta(days=1)) == Hand("op", "2026-11-23", 1)


def test_the_count_of_a_day_stands_when_a_late_request_comes_from_the_day_before():
    hand = Hand("op").with_amount(300, NOW)

    assert hand.with_amount(1, NOW - timedelta(days=1)) == Hand("op", "2026-11-22", 301)


def test_a_shell_has_one_count_whatever_name_it_gives():
    assert hands_of("op@example.com") == ("op@example.com",)
    assert hands_of("op@example.com", on_command_line=True) == ("op@example.com", "command line")
    assert hands_of("command line") == hands_of("night shift", on_command_line=True) == ("command line",)


@pytest.mark.parametrize(
    "lost", [{"role": "customer"}, {"confirmed_at": None}, {"disabled_at": NOW}, {"deleted_at": NOW}], ids=str
)
def test_who_is_no_proven_operator_stands_for_nothing(lost):
    assert is_in_good_standing(OP)
    assert not is_in_good_standing(replace(OP, **lost))
    assert not hand_of(replace(OP, **lost)).in_good_standing


def test_an_operators_count_is_what_its_row_says():
    row = replace(OP, by_hand_on="2026-11-22", by_hand=300)

    assert hand_of(row) == Hand("op@example.com", "2026-11-22", 300, True, row)


def test_names_are_one_person_when_their_addresses_are():
    assert are_one("op@example.com", "o.p+second@example.com")
    assert are_one("command line", "command line")
    assert not are_one("command line", "op@example.com")
    assert not are_one("", "op@example.com")


@pytest.mark.parametrize(
    ("credits", "paid", "so"), [(100, 50, False), (101, 50, True), (2, 1, False), (3, 1, True), (10**7, 0, False)]
)
def test_a_payment_is_not_worth_more_than_two_credits_for_its_smallest_unit(credits, paid, so):
    assert is_generous(credits, paid) is so
