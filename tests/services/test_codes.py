"""Promotional codes: once an account, never beyond the cap."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.data.transaction import Writes
from app.domain.errors import AddressUnconfirmed, InvalidInput
from app.services import accounts, books, codes
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, in_another_worker, ledger, make_account, make_operators


def make_code(store, name="SPRING-2026", **fields):
    details = {"credits_each": 50, "max_uses": 3, "expires_at": NOW + timedelta(days=1)} | fields
    make_operators(store)
    return codes.create(store, name, **({"created_by": "op@example.com", "limit": 10**9, "now": NOW} | details))


def test_redeeming_adds_a_promo_row_when_the_code_is_good(store):
    account = make_account(store)
    make_code(store)

    assert codes.redeem(store, account, " spring-2026 ", now=NOW).credits == 50

    assert [(e.type, e.amount) for e in ledger(store, account.email)] == [("promo", 50)]
    assert store.codes.find("SPRING-2026").uses == 1


def test_redeeming_is_refused_when_the_account_had_it(store):
    account = make_account(store)
    make_code(store)
    codes.redeem(store, account, "SPRING-2026", now=NOW)

    with pytest.raises(InvalidInput, match="already"):
        codes.redeem(store, account, "SPRING-2026", now=NOW)

    assert store.accounts.get(account.email).credits_balance == 50
    assert store.codes.find("SPRING-2026").uses == 1


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

    assert [row.action for row in store.audit.page_of("SPRING-2026", limit=10).items] == ["code.disable", "code.create"]


def test_the_cap_is_exact_when_many_accounts_race(store):
    make_code(store, max_uses=5)
    accounts = [make_account(store, f"a{number}@example.com") for number in range(16)]

    def redeem(account):
        try:
            return codes.redeem(store, account, "SPRING-2026", now=NOW).credits
        except InvalidInput:
            return 0

    with ThreadPoolExecutor(16) as pool:
        added = list(pool.map(redeem, accounts))

    assert sum(added) == 250
    assert store.codes.find("SPRING-2026").uses == 5


def test_one_account_gets_it_once_when_it_races_itself(store):
    account = make_account(store)
    make_code(store, max_uses=100)

    def redeem(_):
        try:
            return codes.redeem(store, account, "SPRING-2026", now=NOW).credits
        except InvalidInput:
            return 0

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(redeem, range(10))) == 50

    assert store.codes.find("SPRING-2026").uses == 1


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


def rival_before_commit(monkeypatch, act):
    """`act` happens once, after the code and the account were read and before anything is written."""
    in_another_worker(monkeypatch)
    commit = Writes.commit

    def late(writes):
        monkeypatch.setattr(Writes, "commit", commit)
        act()
        commit(writes)

    monkeypatch.setattr(Writes, "commit", late)


def test_a_code_that_is_switched_off_after_it_was_read_gives_nothing(store, monkeypatch):
    account = make_account(store)
    make_code(store)
    off = {"actor": "op@example.com", "reason": "leaked", "now": NOW}
    rival_before_commit(monkeypatch, lambda: codes.disable(store, "SPRING-2026", **off))

    with pytest.raises(InvalidInput, match="no such code"):
        codes.redeem(store, account, "SPRING-2026", now=NOW)

    assert ledger(store, account.email) == []
    assert store.codes.find("SPRING-2026").uses == 0


@pytest.mark.parametrize(
    ("changed", "added"),
    [({"credits": 7}, 7), ({"expires_at": "2026-11-22T11:59:59.000000Z"}, None), ({"uses": 3}, None)],
    ids=["credits", "expiry", "uses"],
)
def test_a_code_counts_as_it_is_when_it_is_booked_not_as_it_was_read(store, monkeypatch, changed, added):
    account = make_account(store)
    make_code(store)
    rival_before_commit(monkeypatch, lambda: store._update("RedeemCodes", {"code": "SPRING-2026"}, set=changed))

    if added is None:
        with pytest.raises(InvalidInput):
            codes.redeem(store, account, "SPRING-2026", now=NOW)
    else:
        assert codes.redeem(store, account, "SPRING-2026", now=NOW).credits == added

    assert [entry.amount for entry in ledger(store, account.email)] == ([added] if added else [])
    assert store.accounts.get(account.email).credits_balance == (added or 0)


def test_nothing_is_redeemed_while_the_address_is_unconfirmed(store):
    make_code(store, max_uses=50)
    strangers = [make_account(store, f"a{number}@example.com", confirmed_at=None) for number in range(5)]

    for account in strangers:
        with pytest.raises(AddressUnconfirmed):
            codes.redeem(store, account, "SPRING-2026", now=NOW)
    store.updates.accounts.change(store.accounts.get("a1@example.com"), confirmed_at=NOW)

    assert codes.redeem(store, store.accounts.get("a1@example.com"), "SPRING-2026", now=NOW).credits == 50
    assert store.codes.find("SPRING-2026").uses == 1


def test_nothing_is_redeemed_by_an_account_that_is_deleted_meanwhile(store, monkeypatch):
    account = make_account(store)
    make_code(store)
    gone = lambda: accounts.delete(store, Passwords(4), account, PASSWORD, now=NOW)  # noqa: E731
    rival_before_commit(monkeypatch, gone)

    with pytest.raises(AddressUnconfirmed):
        codes.redeem(store, account, "SPRING-2026", now=NOW)

    assert store.accounts.get(account.email).credits_balance == 0


OTHERS = ["ada.lovelace+fair@gmail.com", "AdaLovelace@gmail.com", "a.da.lovelace@googlemail.com"]


@pytest.mark.parametrize("other", OTHERS)
def test_a_person_redeems_a_code_once_whatever_accounts_they_have(store, other):
    make_code(store)
    first, second = make_account(store, "ada.lovelace@gmail.com"), make_account(store, other.lower())

    assert codes.redeem(store, first, "SPRING-2026", now=NOW).credits == 50
    with pytest.raises(InvalidInput, match="already"):
        codes.redeem(store, second, "SPRING-2026", now=NOW)
    make_code(store, "AUTUMN-2026")
    assert codes.redeem(store, second, "AUTUMN-2026", now=NOW).credits == 50

    assert store.codes.find("SPRING-2026").uses == 1


def test_one_person_gets_it_once_when_their_accounts_race(store):
    make_code(store, max_uses=100)
    people = [make_account(store, f"ada+{number}@example.com") for number in range(10)]

    def redeem(account):
        try:
            return codes.redeem(store, account, "SPRING-2026", now=NOW).credits
        except InvalidInput:
            return 0

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(redeem, people)) == 50

    assert store.codes.find("SPRING-2026").uses == 1


def test_one_person_gets_it_once_when_another_account_is_quicker_by_a_moment(store, monkeypatch):
    make_code(store)
    first, second = make_account(store, "ada+1@example.com"), make_account(store, "ada+2@example.com")
    rival_before_commit(monkeypatch, lambda: codes.redeem(store, second, "SPRING-2026", now=NOW))

    with pytest.raises(InvalidInput, match="already"):
        codes.redeem(store, first, "SPRING-2026", now=NOW)

    assert store.codes.find("SPRING-2026").uses == 1
    assert ledger(store, first.email) == []


def test_an_account_that_comes_back_under_its_address_has_had_its_code(store):
    account = make_account(store)
    make_code(store)
    codes.redeem(store, account, "SPRING-2026", now=NOW)
    accounts.delete(store, Passwords(4), account, PASSWORD, now=NOW)
    store.updates.accounts.change(
        store.accounts.get(account.email), deleted_at=None, confirmed_at=NOW, account_id="acc_another"
    )

    with pytest.raises(InvalidInput, match="already"):
        codes.redeem(store, store.accounts.get(account.email), "SPRING-2026", now=NOW)


def test_a_redemption_from_before_persons_were_counted_still_counts(store):
    account = make_account(store)
    make_code(store)
    codes.redeem(store, account, "SPRING-2026", now=NOW)
    (entry,) = ledger(store, account.email)
    row = store.client.get_item(
        TableName="ImpacterAGI_Transactions", Key={"transaction_id": {"S": entry.transaction_id}}
    )["Item"]
    store.client.delete_item(TableName="ImpacterAGI_Transactions", Key={"transaction_id": row["transaction_id"]})
    row["transaction_id"] = {"S": f"promo#SPRING-2026#{account.account_id}"}
    store.client.put_item(TableName="ImpacterAGI_Transactions", Item=row)

    with pytest.raises(InvalidInput, match="already"):
        codes.redeem(store, store.accounts.get(account.email), "SPRING-2026", now=NOW)
    assert books.check(store) == []
