"""Promotional codes: how one is written, and until when it counts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.accounts import Account
from app.domain.codes import (
    PromotionalCode,
    check_confirmed,
    check_redeemable,
    check_redeemer,
    normalise_code,
    promo_entry,
)
from app.domain.credits import PROMO, LedgerEntry
from app.domain.errors import AddressUnconfirmed, InvalidInput
from app.domain.people import person_mark
from tests.support import NOW

CODE = PromotionalCode("SPRING-2026", 50, 3, NOW + timedelta(days=1), NOW, "op@example.com")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(" spring-2026\n", "SPRING-2026"), ("SPR ING", "SPRING"), ("abc12", "ABC12"), ("a" * 40, "A" * 40)],
)
def test_one_form_of_a_code(typed, kept):
    assert normalise_code(typed) == kept


@pytest.mark.parametrize("typed", ["", None, "abcd", "a" * 41, "-spring", "spring-", "spring!", "späring", 5])
def test_refused_when_it_is_no_code(typed):
    with pytest.raises(InvalidInput, match="5 to 40 letters, digits and dashes") as refusal:
        normalise_code(typed)

    assert refusal.value.field == "code"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "There is no such code"),
        (replace(CODE, disabled=True), "There is no such code"),
        (replace(CODE, expires_at=NOW), "has expired"),
        (replace(CODE, uses=3), "has been used up"),
    ],
)
def test_refused_when_a_code_does_not_count(code, words):
    with pytest.raises(InvalidInput, match=words) as refusal:
        check_redeemable(code, NOW)

    assert refusal.value.field == "code"


def test_a_code_counts_up_to_its_last_use_and_moment():
    code = replace(CODE, uses=2, expires_at=NOW + timedelta(microseconds=1))

    assert check_redeemable(code, NOW) is code


def test_the_entry_is_the_same_when_one_person_redeems_a_code_twice():
    entry = promo_entry(CODE, Account("ada.l@example.com", "acc_1", NOW))
    again = promo_entry(CODE, Account("a.dal+fair@example.com", "acc_2", NOW))

    assert entry == LedgerEntry(
        f"promo#SPRING-2026#{person_mark('adal@example.com')}",
        "ada.l@example.com",
        PROMO,
        50,
        "Redeemed the code SPRING-2026",
    )
    assert entry.transaction_id == again.transaction_id


def test_refused_when_the_address_is_not_confirmed_or_the_code_is_ones_own():
    ada = Account("ada@example.com", "acc_1", NOW, confirmed_at=NOW)
    check_confirmed(ada)
    check_redeemer([CODE.created_by], ada)

    with pytest.raises(AddressUnconfirmed):
        check_confirmed(replace(ada, confirmed_at=None))
    for maker in ("op@example.com", "o.p+me@example.com"):
        with pytest.raises(InvalidInput, match="Who made a code"):
            check_redeemer([CODE.created_by], replace(ada, email=maker))
    with pytest.raises(InvalidInput, match="Who made a code"):
        check_redeemer([CODE.created_by, ada.email], ada)
