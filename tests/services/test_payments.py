"""Payments: credited exactly once, taken back exactly, whatever the order, the repetition and the concurrency.

PAYMENT_HISTORIES says how many random histories go through the store: 200 by default, for the rules alone are driven by
1,000 in tests/domain; more before a release (PAYMENT_HISTORIES=5000 scripts/test tests/services/test_payments.py).
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.credits import CLAWBACK, LedgerEntry, post
from app.domain.errors import InsufficientCredits
from app.domain.payments import ChargeRefundedFact, DisputeFact, RefundFact, SessionFact, merge, target
from app.domain.payments import PaymentRecord as Record
from app.services import books, parked, payments, tasks
from app.services.accounts import delete, sign_in, sign_up
from app.services.passwords import Passwords
from tests.domain.test_payments import histories
from tests.support import NOW, PASSWORD, all_mails, event, ledger, make_account, make_operators, session_event

PASSWORDS = Passwords(4)
HISTORIES = int(os.environ.get("PAYMENT_HISTORIES", "200"))


def paid(number: int | str = 1, email: str = "ada@example.com", **fields) -> SessionFact:
    fact = SessionFact(f"pi_{number}", f"cs_{number}", f"pi_{number}", "paid", 1000, 1000, "usd", email)
    return replace(fact, **fields)


def record(store, *facts):
    for fact in facts:
        outcome = payments.record_fact(store, fact, now=NOW)
    return outcome


def balance(store, email: str = "ada@example.com") -> int:
    return store.accounts.get(email).credits_balance


def test_a_payment_makes_the_account_when_the_payer_has_none(store):
    payments.handle_event(store, session_event(" Ada@Example.COM "), livemode=False, now=NOW)

    row = store._get("Users", {"email": "ada@example.com"})
    assert row["account_id"].startswith("acc_"), "as it was written: reading would mend it"
    account = store.accounts.get("ada@example.com")
    assert (account.credits_balance, account.password_hash, account.confirmed) == (1000, None, False)
    assert [(e.type, e.amount) for e in ledger(store, account.email)] == [("purchase", 1000)]
    (mail,) = all_mails(store)
    assert (mail.kind, mail.to, mail.context["credits"]) == ("welcome", "ada@example.com", 1000)
    assert "set_password" in account.link_nonces


def test_a_payment_adds_to_the_account_when_there_is_one(store):
    make_account(store, credits=50)

    record(store, paid(customer_id="cus_1"))

    account = store.accounts.get("ada@example.com")
    assert (account.credits_balance, account.stripe_customer_id) == (1050, "cus_1")
    assert [mail.kind for mail in all_mails(store)] == ["receipt"]


def test_a_payment_counts_once_when_it_is_told_again(store):
    event = session_event()
    for _ in range(3):
        payments.handle_event(store, event, livemode=False, now=NOW)
    payments.handle_event(
        store, event | {"id": "evt_other", "type": "checkout.session.async_payment_succeeded"}, livemode=False, now=NOW
    )

    assert balance(store) == 1000
    assert len(ledger(store, "ada@example.com")) == len(all_mails(store)) == 1


def test_a_session_counts_once_when_it_comes_under_two_payment_ids(store):
    record(store, paid(), paid(payment_id="cs_1", payment_intent=None))

    assert balance(store) == 1000


@pytest.mark.threat(28)
def test_a_payment_counts_once_when_twelve_deliveries_race(store):
    event = session_event()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: payments.handle_event(store, event, livemode=False, now=NOW), range(12)))

    assert balance(store) == 1000
    assert len(all_mails(store)) == 1


@pytest.mark.threat(44)
def test_both_count_when_two_first_purchases_of_one_payer_race(store):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: record(store, paid(n)), (1, 2)))

    assert balance(store) == 2000


@pytest.mark.threat(4)
def test_nothing_is_lost_when_purchases_and_spends_race(store):
    account = make_account(store, credits=100)

    def act(number: int):
        if number % 2:
            return record(store, paid(number))
        return tasks.submit(store, account, f"Task {number}", now=NOW)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(act, range(20)))

    assert balance(store) == 100 + 10 * 1000 - 10 * 10


def test_a_refund_before_its_purchase_is_kept_and_the_purchase_grants_the_net(store):
    record(store, RefundFact("pi_1", "re_1", 400, "succeeded"))

    record(store, paid())

    assert balance(store) == 600
    assert [e.type for e in ledger(store, "ada@example.com")] == ["purchase"]


def test_nothing_is_granted_when_everything_was_refunded_before(store):
    outcome = record(store, RefundFact("pi_1", "re_1", 1000, "succeeded"), paid(customer_id="cus_1"))

    assert (outcome.record.granted, outcome.moved, balance(store)) == (1000, 0, 0)
    account = store.accounts.get("ada@example.com")
    assert "set_password" in account.link_nonces, "there is an account all the same, and its owner is told"
    assert account.stripe_customer_id == "cus_1"
    assert [(mail.kind, mail.context["credits"]) for mail in all_mails(store)] == [("welcome", 0)]

    record(store, RefundFact("pi_1", "re_1", 1000, "failed"))

    assert balance(store) == 1000


def test_an_unpaid_session_grants_when_its_money_arrives(store):
    unpaid = session_event(session="cs_9", payment_status="unpaid")
    later = session_event(session="cs_9", type="checkout.session.async_payment_succeeded")
    for told in (unpaid, unpaid, later, unpaid, later):
        payments.handle_event(store, told, livemode=False, now=NOW)

    assert balance(store) == 1000
    assert [mail.kind for mail in all_mails(store)] == ["welcome"]


def test_nothing_is_granted_when_the_delayed_payment_fails(store):
    make_account(store)
    for kind, status in (("completed", "unpaid"), ("async_payment_failed", "unpaid")):
        event = session_event(session="cs_9", payment_status=status, type=f"checkout.session.{kind}")
        payments.handle_event(store, event, livemode=False, now=NOW)

    assert balance(store) == 0
    assert store.payments.find("pi_cs_9").state == "failed"


@pytest.mark.threat(32)
def test_spending_stops_below_zero_and_a_purchase_lifts_it(store):
    account = make_account(store)
    record(store, paid())
    for number in range(100):
        tasks.submit(store, store.accounts.get(account.email), f"Task {number}", now=NOW)

    record(store, RefundFact("pi_1", "re_1", 1000, "succeeded"))

    assert balance(store) == -1000
    with pytest.raises(InsufficientCredits, match="refunded or disputed"):
        tasks.submit(store, store.accounts.get(account.email), "One more", now=NOW)
    record(store, paid(2), paid(3))
    assert tasks.submit(store, store.accounts.get(account.email), "One more", now=NOW).credits_remaining == 990


@pytest.mark.threat(32)
def test_a_dispute_holds_and_a_won_one_gives_back_exactly_what_was_held(store):
    make_account(store)
    record(store, paid(), DisputeFact("pi_1", "dp_1", 1000, "needs_response"))
    assert balance(store) == 0

    record(store, DisputeFact("pi_1", "dp_1", 1000, "won"), DisputeFact("pi_1", "dp_1", 1000, "under_review"))

    assert balance(store) == 1000
    assert [(e.type, e.amount) for e in ledger(store, "ada@example.com")] == [
        ("purchase", 1000),
        ("clawback", -1000),
        ("reinstatement", 1000),
    ]


@pytest.mark.threat(38)
@pytest.mark.parametrize(
    "fields", [{"email": None}, {"currency": "idr"}, {"mode": "setup"}, {"livemode": True}, {"amount_subtotal": 1}]
)
def test_a_payment_that_is_not_plainly_ours_is_parked(store, fields):
    payments.handle_event(store, session_event(session="cs_5", **fields), livemode=False, now=NOW)

    (parked,) = store.payments.list_parked(limit=10).items
    assert parked.parked_reason
    assert list(store.accounts.every()) == []
    assert all_mails(store) == []


def test_the_account_is_found_by_our_own_id_when_another_address_paid(store):
    account = make_account(store)
    sold = {"account_id": account.account_id, "account_email": account.email, "credits": "1000", "price_cents": "1000"}

    payments.handle_event(store, session_event("work@example.com", metadata=sold), livemode=False, now=NOW)

    assert balance(store) == 1000
    assert store.accounts.find("work@example.com") is None


def test_the_account_is_found_by_its_stripe_customer_when_the_address_is_new(store):
    make_account(store, stripe_customer_id="cus_7")

    payments.handle_event(store, session_event("work@example.com", customer="cus_7"), livemode=False, now=NOW)

    assert balance(store) == 1000


def test_a_client_reference_alone_names_nobody(store):
    account = make_account(store)

    event = session_event("payer@example.com", client_reference_id=account.account_id)
    payments.handle_event(store, event, livemode=False, now=NOW)

    assert balance(store) == 0
    assert balance(store, "payer@example.com") == 1000


@pytest.mark.threat(45)
def test_a_strangers_password_is_ended_when_the_owner_of_the_address_pays(store):
    stranger = sign_up(store, PASSWORDS, "ada@example.com", PASSWORD, now=NOW, kind="browser")

    record(store, paid())

    account = store.accounts.get("ada@example.com")
    assert account.credits_balance == 1000
    assert account.password_hash is None
    assert account.live_session(stranger.session_id, NOW) is None
    assert {mail.kind for mail in all_mails(store)} == {"confirm", "welcome"}


def test_the_session_stays_when_the_purchase_was_made_signed_in(store):
    signed_in = sign_up(store, PASSWORDS, "ada@example.com", PASSWORD, now=NOW, kind="browser")
    account = signed_in.account

    record(store, paid(account_id=account.account_id, account_email=account.email))

    assert store.accounts.get(account.email).live_session(signed_in.session_id, NOW)
    assert sign_in(store, PASSWORDS, account.email, PASSWORD, now=NOW, kind="browser")


def test_two_hundred_racing_deliveries_on_twenty_payments_are_exact(store):
    make_account(store)
    facts = []
    for number in range(20):
        payment = f"pi_{number}"
        facts += [
            paid(number),
            paid(number),
            replace(paid(number), state="unpaid", credits=0, total_cents=0),
            RefundFact(payment, "re_1", 100 + number, "succeeded"),
            RefundFact(payment, "re_1", 100 + number, "pending"),
            RefundFact(payment, "re_2", 50, "failed"),
            ChargeRefundedFact(payment, 100 + number),
            DisputeFact(payment, "dp_1", 300, "needs_response"),
            DisputeFact(payment, "dp_1", 300, "won" if number % 2 else "lost"),
            DisputeFact(payment, "dp_1", 300, "under_review"),
        ]
    random.Random(7).shuffle(facts)  # a fixed shuffle; the threads do the rest

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda fact: record(store, fact), facts))

    expected = sum(1000 - (100 + n) - (0 if n % 2 else 300) for n in range(20))
    assert len(facts) == 200
    assert balance(store) == expected


@pytest.mark.long
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_histories_leave_exact_books_on_an_isolated_store(store, data):
    facts = data.draw(histories())
    facts = data.draw(st.permutations(facts + data.draw(st.lists(st.sampled_from(facts), max_size=3))))
    number = _Counter.next()
    payment, email = f"pi_h{number}", f"h{number}@example.com"
    expected = Record(payment)

    for fact in facts:
        fact = replace(fact, payment_id=payment)
        if isinstance(fact, SessionFact):
            fact = replace(fact, session_id=f"cs_h{number}", payment_intent=payment, email=email)
        expected = merge(expected, fact)
        outcome = record(store, fact)
        account = store.accounts.find(email)
        if account:
            assert account.credits_balance == target(expected) == outcome.record.applied

    rows = list(store.ledger.every_of(email))
    assert sum(row.amount for row in rows) == target(expected) == balance(store, email)


class _Counter:
    number = 0

    @classmethod
    def next(cls) -> int:
        cls.number += 1
        return cls.number


def test_a_second_payment_id_of_a_credited_session_is_parked_for_an_operator(store):
    record(store, paid(), paid(payment_id="cs_1", payment_intent=None), paid(payment_id="cs_1", payment_intent=None))

    (aside,) = store.payments.list_parked(limit=10).items
    assert aside.payment_id == "cs_1"
    assert aside.parked_reason == "its session stands in the ledger under another payment"
    assert balance(store) == 1000


def test_what_was_told_is_kept_when_the_account_it_was_bought_for_is_gone(store):
    record(store, paid(account_id="acc_gone", account_email="gone@example.com", email=None))

    (parked,) = store.payments.list_parked(limit=10).items
    assert (parked.payment_intent, parked.session_id, parked.total_cents) == ("pi_1", "cs_1", 1000)
    assert (parked.granted, parked.parked_reason) == (0, "the account that it was bought for is gone")


def test_a_refund_takes_all_when_nobody_knows_the_amount(store):
    record(store, paid(total_cents=0))
    assert balance(store) == 1000

    record(store, RefundFact("pi_1", "re_1", 400, "succeeded"))

    assert balance(store) == 0


@pytest.mark.parametrize("refunded", [0, 1000])
def test_a_password_proven_in_the_last_moment_stays(store, refunded):
    """The mailbox is confirmed between what the webhook read and what it writes, also when nothing of it is left."""
    if refunded:
        record(store, RefundFact("pi_1", "re_1", refunded, "succeeded"))
    signed_in = sign_up(store, PASSWORDS, "ada@example.com", PASSWORD, now=NOW, kind="browser")
    read = store.payments.find_with_account

    def read_then_confirm(payment_id, email):
        known = read(payment_id, email)
        store.payments.find_with_account = read
        store.updates.accounts.change(store.accounts.get("ada@example.com"), confirmed_at=NOW)
        return known

    store.payments.find_with_account = read_then_confirm
    record(store, paid())

    account = store.accounts.get("ada@example.com")
    assert account.password_hash
    assert account.live_session(signed_in.session_id, NOW)
    assert account.credits_balance == 1000 - refunded


def after_the_next_read(store, act) -> None:
    """`act` happens between what a webhook has read and what it writes."""
    read = store.payments.find_with_account

    def read_then_act(payment_id, email):
        known = read(payment_id, email)
        store.payments.find_with_account = read
        act()
        return known

    store.payments.find_with_account = read_then_act


@pytest.mark.threat(45)
def test_a_payment_meets_the_deletion_of_its_account_and_its_owner_comes_back_to_the_credits(store):
    account = make_account(store)
    after_the_next_read(store, lambda: delete(store, PASSWORDS, account, PASSWORD, now=NOW))

    record(store, paid(customer_id="cus_1"))
    record(store, paid(customer_id="cus_1"))

    tombstone = store.accounts.get(account.email)
    assert tombstone.deleted_at is not None
    assert (tombstone.credits_balance, tombstone.password_hash, tombstone.stripe_customer_id) == (1000, None, None)
    assert tombstone.link_nonces["set_password"]
    assert len(ledger(store, account.email)) == 1


@pytest.mark.threat(45)
def test_a_guests_payment_meets_a_sign_up_under_its_address(store):
    """Who was quicker to sign up has proven nothing: the password and the session end, the payer gets the link."""
    after_the_next_read(store, lambda: sign_up(store, PASSWORDS, "ada@example.com", PASSWORD, now=NOW, kind="browser"))

    record(store, paid())

    account = store.accounts.get("ada@example.com")
    assert (account.credits_balance, account.password_hash, account.sessions) == (1000, None, {})
    assert account.link_nonces["set_password"]


@pytest.mark.threat(39)
@pytest.mark.parametrize("kind", ["refund.created", "charge.refunded", "charge.dispute.created"])
def test_an_event_of_the_wrong_mode_is_taken_back_only_from_a_payment_that_is_known(store, kind):
    """An operator credited it by hand: what is refunded of it later must not stay with the customer."""
    thing = {"id": "x_1", "payment_intent": "pi_cs_5", "amount": 400, "amount_refunded": 400}
    told = event(kind, thing | {"status": "lost" if "dispute" in kind else "succeeded"}) | {"livemode": True}
    payments.handle_event(store, told, livemode=False, now=NOW)
    assert store.payments.find("pi_cs_5") is None

    payments.handle_event(store, session_event(session="cs_5", livemode=True), livemode=False, now=NOW)
    make_operators(store)
    who = {"reason": "Paid in the sandbox by us", "actor": "op@example.com", "limit": 5000, "now": NOW}
    parked.credit(store, "pi_cs_5", email="ada@example.com", credits=1000, **who)
    for _ in range(2):
        payments.handle_event(store, told, livemode=False, now=NOW)

    assert balance(store) == 600
    assert [(e.type, e.amount) for e in ledger(store, "ada@example.com")] == [("purchase", 1000), ("clawback", -400)]
    assert books.check(store) == []


@pytest.mark.threat(39)
def test_a_refund_of_the_wrong_mode_counts_once_when_it_races_the_decision(store):
    payments.handle_event(store, session_event(session="cs_5", livemode=True), livemode=False, now=NOW)
    refund = {"id": "re_1", "payment_intent": "pi_cs_5", "amount": 250, "status": "succeeded"}
    told = event("refund.created", refund) | {"livemode": True}
    make_operators(store)
    who = {"reason": "Ours", "actor": "op@example.com", "limit": 5000, "now": NOW}
    acts = [lambda: payments.handle_event(store, told, livemode=False, now=NOW)] * 6
    acts.insert(3, lambda: parked.credit(store, "pi_cs_5", email="ada@example.com", credits=1000, **who))

    with ThreadPoolExecutor(7) as pool:
        list(pool.map(lambda act: act(), acts))

    assert balance(store) == 750
    assert books.check(store) == []


def test_a_repeat_writes_nothing(store):
    """Neither of a credited payment, nor of a parked one, nor of one that was set aside."""
    for fact in (
        paid(),
        paid(2, credits=0, parked_reason="odd"),
        paid(payment_id="cs_1", payment_intent=None),
        DisputeFact("pi_1", "dp_1", 1000, "lost"),
    ):
        record(store, fact)
        stands = store.payments.find(fact.payment_id)

        again = record(store, fact)

        assert (again.record, again.moved) == (stands, 0)
        assert store.payments.find(fact.payment_id) == stands


def test_what_was_credited_stays_when_its_next_row_stands_in_the_ledger_already(store):
    """It cannot, but if it does a payment must not turn into one that nothing was granted for."""
    record(store, paid())
    account = store.accounts.get("ada@example.com")
    posted, after = post(account, LedgerEntry("clawback#pi_1#2", account.email, CLAWBACK, -1, "Not ours"), NOW)
    with store.transaction() as tx:
        tx.ledger.append_once(posted)
        tx.accounts.move_balance(account, after)
    stands = store.payments.find("pi_1")

    outcome = record(store, RefundFact("pi_1", "re_1", 400, "succeeded"))

    assert outcome.record == stands == store.payments.find("pi_1")
    assert balance(store) == 999


def test_parked_once_when_two_deliveries_race(store):
    record(store, paid())
    second = paid(payment_id="cs_1", payment_intent=None)
    read, reads = store.payments.find_with_account, []

    def read_then_lose(payment_id, email):
        known = read(payment_id, email)
        reads.append(payment_id)
        if len(reads) == 2:  # the one that setting aside is decided on
            record(store, second)
        return known

    store.payments.find_with_account = read_then_lose
    record(store, second)

    assert store.payments.find("cs_1").version == 1
    assert balance(store) == 1000


def test_the_stripe_customer_stays_when_the_account_pays_as_another_one(store):
    make_account(store, stripe_customer_id="cus_1")

    record(store, paid(customer_id="cus_2"))

    assert store.accounts.get("ada@example.com").stripe_customer_id == "cus_1"


@pytest.mark.threat(45)
@pytest.mark.parametrize("fields", [{}, {"account_id": "acc_other", "account_email": "gone@example.com"}])
@pytest.mark.parametrize("links", [{"reset": "r", "set_password": "s"}, {"reset": "r"}])
def test_a_strangers_password_is_ended_when_nobody_is_signed_in_with_it(store, fields, links):
    make_account(store, confirmed_at=None, link_nonces=links)

    record(store, paid(customer_id="cus_1", **fields))

    account = store.accounts.get("ada@example.com")
    assert (account.password_hash, account.stripe_customer_id) == (None, "cus_1")
    assert account.link_nonces.items() >= links.items(), "links that are out stay good"
    assert account.link_nonces["set_password"]


def test_the_stripe_customer_is_kept_when_everything_was_refunded_before(store):
    make_account(store, credits=50)

    record(store, RefundFact("pi_1", "re_1", 1000, "succeeded"), paid(customer_id="cus_1"))

    account = store.accounts.get("ada@example.com")
    assert (account.credits_balance, account.stripe_customer_id) == (50, "cus_1")


@pytest.mark.threat(44)
@pytest.mark.parametrize("refunded", [0, 1000])
def test_credited_to_the_account_that_its_payer_made_in_the_last_moment(store, refunded):
    if refunded:
        record(store, RefundFact("pi_1", "re_1", refunded, "succeeded"))
    read = store.payments.find_with_account

    def read_then_sign_up(payment_id, email):
        known = read(payment_id, email)
        store.payments.find_with_account = read
        make_account(store, credits=50)
        return known

    store.payments.find_with_account = read_then_sign_up
    outcome = record(store, paid())

    assert (outcome.moved, balance(store)) == (1000 - refunded, 1050 - refunded)


def test_the_payment_stays_its_owners_when_another_address_is_named_later(store):
    make_account(store, stripe_customer_id="cus_1")
    told = paid(email="work@example.com", customer_id="cus_1", payment_id="cs_1", payment_intent=None)
    record(store, told)

    record(store, replace(told, payment_intent="pi_1"))

    assert balance(store) == 1000
    assert store.payments.find("cs_1").payment_intent == "pi_1"
    assert store.accounts.find("work@example.com") is None


def test_what_is_still_owed_goes_to_the_owner_when_another_address_is_named(store):
    make_account(store, stripe_customer_id="cus_1")
    make_account(store, "work@example.com")
    told = paid(email="work@example.com")
    known = record(store, replace(told, customer_id="cus_1", email="new@example.com")).record
    with store.transaction() as tx:  # as if its last row had not been written
        stands = store.payments.find("pi_1")
        tx.payments.save(stands, replace(known, applied=900), NOW)

    record(store, told)

    assert (balance(store), balance(store, "work@example.com")) == (1100, 0)


def test_what_went_back_is_kept_when_the_account_is_gone(store):
    with store.transaction() as tx:
        tx.payments.save(None, merge(Record("pi_1", user_email="gone@example.com", applied=1000), paid()), NOW)

    outcome = record(store, RefundFact("pi_1", "re_1", 400, "succeeded"))

    assert (outcome.moved, store.payments.find("pi_1").refunds["re_1"].cents) == (0, 400)
    assert list(store.ledger.every()) == []


def test_nobody_is_asked_for_when_the_stripe_customer_is_unknown(moto_store):
    record(moto_store, paid(customer_id="cus_new"))

    assert balance(moto_store) == 1000


def test_a_password_stays_when_its_purchase_is_told_of_again_with_more(store):
    record(store, paid())
    store.updates.accounts.change(store.accounts.get("ada@example.com"), password_hash="set since")

    record(store, paid(customer_id="cus_1"))

    account = store.accounts.get("ada@example.com")
    assert (account.password_hash, account.stripe_customer_id) == ("set since", None)
    assert store.payments.find("pi_1").customer_id == "cus_1"


# Amounts in their currency, and the newest word


def tell(store, kind: str, at: int, **thing) -> int:
    """An event about pi_cs_9 as Stripe sends it, made in second `at`: what is then on the account."""
    told = event(kind, {"payment_intent": "pi_cs_9"} | thing) | {"created": 1_800_000_000 + at}
    payments.handle_event(store, told, livemode=False, now=NOW)
    return balance(store)


@pytest.fixture
def bought(store):
    """$10.00 for 1,000 credits."""
    payments.handle_event(store, session_event(session="cs_9"), livemode=False, now=NOW)
    return store


@pytest.mark.threat(32)
def test_a_dispute_in_another_currency_holds_all_until_the_charge_is_known_in_it(bought):
    dispute = {"id": "du_1", "currency": "eur", "status": "needs_response"}
    assert tell(bought, "charge.dispute.created", 1, **dispute, amount=860) == 0
    assert tell(bought, "charge.dispute.created", 1, **dispute, amount=860) == 0
    assert tell(bought, "charge.dispute.updated", 2, **dispute, amount=430) == 0

    charge = {"id": "ch_1", "amount": 1000, "currency": "usd"}
    charge["presentment_details"] = {"presentment_amount": 860, "presentment_currency": "eur"}
    assert tell(bought, "charge.dispute.updated", 3, **dispute, amount=430, charge=charge) == 500

    assert tell(bought, "charge.dispute.closed", 4, **dispute | {"status": "won"}, amount=430) == 1000
    assert books.check(bought) == []


@pytest.mark.threat(32)
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1, 0)])
def test_a_dispute_holds_the_newest_amount_in_whatever_order_it_is_told(bought, order):
    words = [("charge.dispute.created", 1, 1000), ("charge.dispute.updated", 2, 600)]
    for kind, at, amount in (words[place] for place in order):
        tell(bought, kind, at, id="du_1", currency="usd", status="needs_response", amount=amount)

    assert balance(bought) == 400


@pytest.mark.threat(32)
def test_a_third_refund_is_taken_back_after_a_failed_one_when_the_charge_alone_tells_of_it(bought):
    def refunded(at, cents):
        return tell(bought, "charge.refunded", at, id="ch_1", amount=1000, currency="usd", amount_refunded=cents)

    def refund(kind, at, name, status="succeeded", made=0):
        thing = {"id": name, "amount": 300, "currency": "usd", "status": status, "created": 1_800_000_000 + made}
        return tell(bought, f"refund.{kind}", at, **thing)

    assert (refund("created", 1, "re_1", made=1), refunded(1, 300)) == (700, 700)
    assert (refund("created", 2, "re_2", made=2), refunded(2, 600)) == (400, 400)
    assert refund("failed", 3, "re_2", "failed", made=2) == 700

    assert refunded(4, 600) == 400, "what Stripe took off its sum for the failed one is there again"
    assert refund("created", 4, "re_3", made=4) == 400
    assert refunded(2, 600) == 400
    assert [e.amount for e in ledger(bought, "ada@example.com")] == [1000, -300, -300, 300, -300]
    assert books.check(bought) == []


def test_a_row_of_before_currencies_and_times_were_kept_is_read_on(bought):
    tell(bought, "refund.created", 1, id="re_1", currency="usd", amount=300, status="succeeded")
    old = {"re_1": {"cents": 300, "status": "succeeded"}}, {"du_1": {"cents": 200, "status": "under_review"}}
    bought._update(
        "Payments",
        {"payment_id": "pi_cs_9"},
        set={"refunds": old[0], "disputes": old[1], "charge_refunded_cents": 300},
        remove=["charged", "charge_refunded_told", "charge_refunded_currency"],
    )

    assert (
        tell(bought, "charge.dispute.updated", 2, id="du_1", currency="usd", amount=100, status="needs_response") == 600
    )
    assert tell(bought, "refund.failed", 3, id="re_1", currency="usd", amount=300, status="failed", created=1) == 900


def test_each_refund_has_a_mail_of_its_own(bought):
    for number, cents in enumerate((300, 200)):
        tell(bought, "refund.created", number, id=f"re_{number}", currency="usd", amount=cents, status="succeeded")

    mails = [mail for mail in all_mails(bought) if mail.kind == "payment_refunded"]
    assert sorted((mail.context["credits"], mail.context["balance"]) for mail in mails) == [(200, 500), (300, 700)]
    assert all((mail.context["total_cents"], mail.context["currency"]) == (1000, "usd") for mail in mails)


@pytest.mark.threat(32)
def test_the_newest_amount_is_held_when_the_older_word_is_written_in_between(bought):
    """Two workers: the one with the newer word has read, then the other writes the older one."""
    dispute = {"id": "du_1", "currency": "usd", "status": "needs_response"}
    read = bought.payments.find

    def then_lose(payment_id):
        known = read(payment_id)
        bought.payments.find = read
        tell(bought, "charge.dispute.created", 1, **dispute, amount=1000)
        return known

    bought.payments.find = then_lose

    assert tell(bought, "charge.dispute.updated", 2, **dispute, amount=600) == 400
    assert [e.amount for e in ledger(bought, "ada@example.com")] == [1000, -1000, 400]


@pytest.mark.parametrize(("kind", "warned"), [("refund.created", ["refund.created"]), ("invoice.paid", [])])
def test_a_warning_names_the_type_when_an_event_of_ours_cannot_be_read(store, caplog, kind, warned):
    outcome = payments.handle_event(store, event(kind, {"id": "x_1"}), livemode=False, now=NOW)

    assert outcome.record is None
    assert [(line.message, line.type) for line in caplog.records] == [
        ("a Stripe event says nothing that is known here", kind) for kind in warned
    ]


@pytest.mark.threat(114)
def test_it_rings_when_what_cannot_be_read_is_about_a_payment_of_ours(bought, caplog):
    def rings(kind: str, **fields) -> list[str]:
        caplog.clear()
        tell(bought, kind, 1, **fields)
        return [line.payment_id for line in caplog.records if getattr(line, "alert", "") == "webhook"]

    unheard_of = {"id": "dp_1", "amount": 1000, "status": "of_next_year"}
    assert rings("charge.dispute.created", **unheard_of, payment_intent="pi_cs_9") == ["pi_cs_9"]
    assert rings("charge.dispute.created", **unheard_of, payment_intent="pi_of_a_shop") == []
    assert rings("charge.refunded", id="ch_1", payment_intent="pi_cs_9", amount_refunded=None) == ["pi_cs_9"]


def test_the_log_says_what_a_payment_did(store, caplog):
    caplog.set_level("INFO", "app.services.payments")
    kept = ("message", "payment_id", "reason", "credits", "email", "alert")

    record(
        store,
        RefundFact("pi_1", "re_1", 400, "succeeded"),
        paid(),
        paid(),
        paid(2, credits=0, parked_reason="odd"),
        paid(2, credits=0, parked_reason="odd"),
        RefundFact("pi_2", "re_1", 400, "succeeded"),
        paid(payment_id="cs_1", payment_intent=None),
        paid(payment_id="cs_1", payment_intent=None),
        RefundFact("pi_9", "re_1", 400, "succeeded", wrong_mode=True),
    )

    lines = [{name: getattr(line, name) for name in kept if hasattr(line, name)} for line in caplog.records]
    assert lines == [
        {"message": "credits moved by a payment", "payment_id": "pi_1", "credits": 600, "email": "a***@example.com"},
        {"message": "payment parked", "payment_id": "pi_2", "reason": "odd", "alert": "parked"},
        {"message": "payment already in the ledger", "payment_id": "cs_1"},
        {"message": "payment parked", "payment_id": "cs_1", "reason": payments.RECORDED_TWICE, "alert": "parked"},
        {"message": "payment already in the ledger", "payment_id": "cs_1"},
        {"message": "an event of the wrong mode for a payment that is not known here"},
    ]
