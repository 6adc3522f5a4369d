"""Finding a customer: by any part of the address, by the id of anything of theirs, in as many calls however many."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from app.data.base import MAX_KEY_BYTES
from app.data.codec import encode_item, item_size
from app.data.migrations import MIGRATIONS, Migrations
from app.domain.credits import PURCHASE, LedgerEntry, post
from app.domain.payments import PaymentRecord
from app.domain.reversals import Amount
from app.domain.search_keys import MOST_PLACES, keys_of_address
from app.services import accounts, customer_search, tasks
from app.services.doctor import store as of_the_store
from app.services.links import SET_PASSWORD, Links
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, calls_made, make_account

ADA = "ada.lovelace@sums.example"


def found(store, words, **more):
    return [account.email for account in customer_search.search(store, words, **{"limit": 10} | more).accounts]


def keys_in(store) -> set[tuple[str, str]]:
    return {(row["part"], row["place"]) for row in store._scan("SearchKeys")}


@pytest.fixture
def ada(store):
    return make_account(store, ADA, credits=100)


@pytest.mark.parametrize(
    "words", ["ada", "lovelace", "ce@su", "sums.ex", "ple", ADA, "  ADA.Love ", "Ａｄａ", "lovélace", "@sums.example"]
)
def test_any_part_of_an_address_finds_its_account(store, ada, words):
    make_account(store, "bob@other.test")

    assert found(store, words) == [ADA]


@pytest.mark.parametrize("words", ["adx", "lovelace ada", "ada.lovelace@sums.example.com", "e\nada", "%", "☃☃☃"])
def test_nothing_is_found_by_what_no_address_holds_and_it_says_what_was_searched(store, ada, words):
    nothing = customer_search.search(store, words, limit=10)

    assert (nothing.accounts, nothing.things) == ([], [])
    assert "addresses that contain" in nothing.searched or "at least 3 characters" in nothing.searched


def test_letters_of_a_domain_in_another_script_find_it(store):
    make_account(store, "ada@bücher.example")

    assert found(store, "BÜCH") == found(store, "buch") == ["ada@bücher.example"]


def test_an_address_that_repeats_the_words_is_found_once(store):
    make_account(store, "anana.ana@ana.example")
    make_account(store, "bana@na.example")

    assert sorted(found(store, "ana")) == ["anana.ana@ana.example", "bana@na.example"]


@pytest.mark.parametrize("words", ["x" * 64, "mail", "far-away", "test"])
def test_a_longer_address_than_most_is_found_by_the_beginnings_of_its_words(store, words):
    long = f"{'x' * 64}@{'mail.' * 12}{'y' * 40}.far-away.test"
    make_account(store, long)

    assert found(store, words) == [long]
    assert len(keys_of_address(long, long)) <= MOST_PLACES


def test_a_page_takes_as_many_calls_however_many_accounts_there_are(store, monkeypatch):
    few = [f"few{number}@rare.test" for number in range(3)]
    for email in [*few, *(f"many{number:02}@common.test" for number in range(40))]:
        make_account(store, email)

    made = []
    for words in ("@rare", "@common"):
        with calls_made(monkeypatch) as counted:
            customer_search.search(store, words, limit=10)
        made.append(list(counted))
    assert made[0] == made[1]
    assert sorted(made[0]) == ["BatchGetItem", "Query"]


def test_pages_show_each_account_once_and_end(store):
    every = {f"many{number:02}@common.test" for number in range(23)}
    for email in every:
        make_account(store, email)

    seen: list[str] = []
    cursor = None
    while True:
        page = customer_search.search(store, "common", limit=10, cursor=cursor)
        seen += [account.email for account in page.accounts]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 23
    assert set(seen) == every


def test_an_address_costs_two_units_for_each_of_its_places():
    """By the rules of AWS: a unit for each begun KB of a row, twice that in a transaction."""
    address = "name.surname@mail.test"

    sizes = [item_size(encode_item(asdict(key))) for key in keys_of_address(address, address)]

    assert (len(address), sum(2 * -(-size // 1024) for size in sizes)) == (22, 40)


def test_the_keys_of_two_long_addresses_fit_into_one_transaction_and_each_into_its_row():
    long = f"{'x' * 64}@{'ü.' * 60}example"
    keys = keys_of_address(long, long) + keys_of_address(f"y{long}", long)

    assert len(set(keys)) <= 88
    assert max(len(key.place.encode()) for key in keys) < MAX_KEY_BYTES


def bought(store, account):
    record = PaymentRecord(
        "pi_1",
        session_id="cs_test_1",
        payment_intent="pi_1",
        customer_id="cus_1",
        state="paid",
        granted=500,
        total_cents=500,
        currency="usd",
        user_email=account.email,
        applied=500,
        entries=1,
        refunds={"re_1": Amount(5, "pending", "usd")},
        disputes={"dp_1": Amount(5, "won", "usd")},
    )
    entry = LedgerEntry("purchase#cs_test_1", account.email, PURCHASE, 500, "Bought", payment_id="pi_1")
    posted, after = post(account, entry, NOW)
    with store.transaction() as tx:
        tx.payments.save(None, record, NOW)
        tx.ledger.append_once(posted)
        tx.accounts.move_balance(account, after)
    return record


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        *((name, "payment") for name in ("pi_1", "cs_test_1", "re_1", "dp_1", "cus_1")),
        ("https://dashboard.stripe.com/acct_1/payments/pi_1", "payment"),
        ("purchase#cs_test_1", "ledger"),
        ("account", "account"),
        ("task", "task"),
        ("http://dashboard.test/admin/tasks/task", "task"),
    ],
)
def test_an_id_leads_to_the_customer_and_to_the_very_thing(store, ada, words, kind):
    make_account(store, "bob@other.test")
    bought(store, ada)
    task = tasks.submit(store, store.accounts.get(ADA), "Add up", now=NOW).task
    words = words.replace("account", ada.account_id) if kind == "account" else words
    words = f"{words.removesuffix('task')}{task.task_id}" if kind == "task" else words

    page = customer_search.search(store, f" {words} ", limit=10)

    (thing,) = page.things
    assert (thing.kind, thing.owner) == (kind, ADA)
    assert [account.email for account in page.accounts] == [ADA]
    assert (thing.payment_id, thing.task_id) == {
        "payment": ("pi_1", None),
        "ledger": ("pi_1", None),
        "task": (None, task.task_id),
        "account": (None, None),
    }[kind]


def test_an_id_that_stripe_tells_later_leads_to_its_payment(store, ada):
    record = bought(store, ada)
    later = replace(record, version=1, created_at=NOW, refunds={**record.refunds, "re_2": Amount(1, "failed", "usd")})
    with store.transaction() as tx:
        tx.payments.save(replace(record, version=1, created_at=NOW), later, NOW)

    assert [thing.thing_id for thing in customer_search.search(store, "re_2", limit=10).things] == ["pi_1"]


def test_an_id_that_is_not_kept_says_where_to_look(store, ada):
    page = customer_search.search(store, "ch_3PabcDEF", limit=10)

    assert (page.accounts, page.things) == ([], [])
    assert "The ids of charges are not kept: open it in Stripe" in page.searched


def test_a_deleted_account_leaves_no_key_and_is_found_again_when_it_comes_back(store, config):
    account = make_account(store, ADA)
    make_account(store, "bob@sums.example")
    of_bob = {key for key in keys_in(store) if "bob@" in key[1]}

    accounts.delete(store, Passwords(4), account, PASSWORD, now=NOW)

    assert keys_in(store) == of_bob
    assert found(store, "lovelace") == []
    assert found(store, ADA) == [ADA]  # the tombstone, by its whole address

    links = Links(config.jwt_secrets, "http://dashboard.test")
    gone = store.accounts.get(ADA)
    with store.transaction() as tx:
        tx.accounts.change_settings(gone, link_nonces={SET_PASSWORD: "n"})
    token = links.url(store.accounts.get(ADA), SET_PASSWORD).rpartition("/")[2]
    accounts.set_password(store, Passwords(4), links, token, "another pass phrase", purpose=SET_PASSWORD, now=NOW)
    assert found(store, "lovelace") == [ADA]


def test_keys_follow_the_addresses_of_an_account_and_go_with_it(store, ada):
    new = "countess@sums.example"
    with store.transaction() as tx:
        tx.accounts.change_settings(store.accounts.get(ADA), still="searched_by", searched_by=(ADA, new))

    assert found(store, "countess") == found(store, "lovelace") == found(store, "sums.example") == [ADA]

    newer = "enchantress@sums.example"
    with store.transaction() as tx:
        tx.accounts.change_settings(store.accounts.get(ADA), still="searched_by", searched_by=(ADA, newer))
    assert (found(store, "countess"), found(store, "enchantress")) == ([], [ADA])

    accounts.delete(store, Passwords(4), store.accounts.get(ADA), PASSWORD, now=NOW)
    assert keys_in(store) == set()


def test_accounts_and_payments_of_before_are_found_once_they_are_migrated(store, ada):
    bought(store, ada)
    written = keys_in(store)
    for part, place in written:
        store.client.delete_item(
            TableName=store.prefix + "SearchKeys", Key={"part": {"S": part}, "place": {"S": place}}
        )
    for table, key, name in (("Users", {"email": ADA}, "searched_by"), ("Payments", {"payment_id": "pi_1"}, "keyed")):
        store._update_row(table, key, remove=[name])
    migrations = Migrations(store.client, store.prefix)
    assert [migrations.count(migration) for migration in MIGRATIONS[1:3]] == [1, 1]
    assert "any part of their address" in " ".join(map(str, store.pending_migrations()))

    for migration in MIGRATIONS[1:3]:
        migrations.run(migration, NOW)

    assert keys_in(store) == written
    assert found(store, "lovelace") == [ADA]
    assert [migrations.count(migration) for migration in MIGRATIONS[1:3]] == [0, 0]


def test_doctor_names_what_is_not_found_yet(store, config):
    patient = type("Patient", (), {"store": store, "config": config})()
    sentences = [finding.sentence for finding in of_the_store.migrations(patient)]

    assert any("any part of their address" in sentence for sentence in sentences)
