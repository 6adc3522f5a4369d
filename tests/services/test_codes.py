"""Promotional codes: once an account, never beyond the cap."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.domain.errors import InvalidInput
from app.services import codes
from tests.support import NOW, ledger, make_account


def make_code(store, name="SPRING-2026", **fields):
    details = {"credits_each": 50, "max_uses": 3, "expires_at": NOW + timedelta(days=1)} | fields
    return codes.create(store, name, created_by="op@example.com", now=NOW, **details)


def test_redeeming_adds_a_promo_row_when_the_code_is_good(store):
    account = make_account(store)
    make_code(store)

    assert codes.redeem(store, account, " spring-2026 ", now=NOW) == 50

    assert [(e.type, e.amount) for e in ledger(store, account.email)] == [("promo", 50)]
    assert store.find_code("SPRING-2026").uses == 1


def test_redeeming_is_refused_when_the_account_had_it(store):
    account = make_account(store)
    make_code(store)
    codes.redeem(store, account, "SPRING-2026", now=NOW)

    with pytest.raises(InvalidInput, match="already"):
        codes.redeem(store, account, "SPRING-2026", now=NOW)

    assert store.get_account(account.email).credits_balance == 50
    assert store.find_code("SPRING-2026").uses == 1


@pytest.mark.parametrize(
    ("fields", "later", "words"),
    [({}, timedelta(days=2), "expired"), ({"max_uses": 1}, timedelta(), "used up")],
)
def test_redeeming_is_refused_when_the_code_is_over(store, fields, later, words):
    make_code(store, **fields)
    codes.redeem(store, make_account(store, "first@example.com"), "SPRING-2026", now=NOW)

    with pytest.raises(InvalidInput, match=words):
        codes.redeem(store, make_account(store), "SPRING-2026", now=NOW + later)


def test_redeeming_is_refused_when_the_code_is_unknown_or_off(store):
    account = make_account(store)
    make_code(store)
    codes.disable(store, "SPRING-2026", actor="op@example.com", reason="leaked", now=NOW + timedelta(seconds=1))

    for name in ("SPRING-2026", "NOTHING-LIKE-IT", "x", "", "<script>", "A" * 100):
        with pytest.raises(InvalidInput):
            codes.redeem(store, account, name, now=NOW)

    assert [row.action for row in store.list_audit_of("SPRING-2026", limit=10).items] == ["code.disable", "code.create"]


def test_the_cap_is_exact_when_many_accounts_race(store):
    make_code(store, max_uses=5)
    accounts = [make_account(store, f"a{number}@example.com") for number in range(16)]

    def redeem(account):
        try:
            return codes.redeem(store, account, "SPRING-2026", now=NOW)
        except InvalidInput:
            return 0

    with ThreadPoolExecutor(16) as pool:
        added = list(pool.map(redeem, accounts))

    assert sum(added) == 250
    assert store.find_code("SPRING-2026").uses == 5


def test_one_account_gets_it_once_when_it_races_itself(store):
    account = make_account(store)
    make_code(store, max_uses=100)

    def redeem(_):
        try:
            return codes.redeem(store, account, "SPRING-2026", now=NOW)
        except InvalidInput:
            return 0

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(redeem, range(10))) == 50

    assert store.find_code("SPRING-2026").uses == 1


@pytest.mark.parametrize(
    "fields",
    [{"credits_each": 0}, {"credits_each": 10**9}, {"max_uses": 0}, {"expires_at": NOW}, {"name": "no"}],
)
def test_a_code_is_not_made_when_its_terms_make_no_sense(store, fields):
    with pytest.raises(InvalidInput):
        make_code(store, **fields)


def test_a_code_is_not_made_twice(store):
    make_code(store)

    with pytest.raises(InvalidInput, match="already"):
        make_code(store)
