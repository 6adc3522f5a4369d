"""The books: what differs is found, what never reached us is repaired, and what is owed is counted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.data.codec import encode_item
from app.domain.errors import AccountFrozen
from app.domain.payments import RefundFact
from app.services import books, payments, tasks
from tests.services.test_payments import paid, record
from tests.support import NOW, ledger, make_account


@pytest.fixture
def store(empty_store):
    """Without the check at the end: these tests break the books on purpose."""
    return empty_store


@pytest.fixture
def account(store):
    """A customer with a purchase, two tasks and a partial refund behind them."""
    account = make_account(store, credits=100)
    record(store, paid())
    for number in range(2):
        tasks.submit(store, store.get_account(account.email), f"Task {number}", now=NOW)
    record(store, RefundFact("pi_1", "re_1", 300, "succeeded"))
    return store.get_account(account.email)


def found(store) -> set[str]:
    return {difference.what for difference in books.check(store)}


def ledger_key(transaction_id: str) -> dict:
    return {"TableName": "ImpacterAGI_Transactions", "Key": {"transaction_id": {"S": transaction_id}}}


def test_nothing_differs_when_the_books_were_kept(store, account):
    assert books.check(store) == []


@pytest.mark.threat(27)
def test_a_balance_changed_by_hand_is_found(store, account):
    store.update_account(account.email, credits_balance=account.credits_balance + 1)

    assert "balance and sum of the ledger" in found(store)
    assert "balance and last balance_after" in found(store)


def test_a_missing_row_is_found(store, account):
    store.client.delete_item(**ledger_key(ledger(store, account.email)[1].transaction_id))

    assert {"sequence numbers", "balance and sum of the ledger"} <= found(store)


def test_a_duplicated_row_is_found(store, account):
    row = store.client.get_item(**ledger_key("purchase#cs_1"))["Item"] | encode_item({"transaction_id": "copy"})
    store.client.put_item(TableName="ImpacterAGI_Transactions", Item=row)

    assert {"sequence numbers", "credits of the payment"} <= found(store)


def test_a_task_without_a_spend_is_found(store, account):
    spend = next(entry for entry in ledger(store, account.email) if entry.type == "spend")
    store.client.delete_item(**ledger_key(spend.transaction_id))

    assert "spend of the task" in found(store)


def test_a_spend_without_a_task_is_found(store, account):
    spend = next(entry for entry in ledger(store, account.email) if entry.type == "spend")
    store.client.delete_item(TableName="ImpacterAGI_Tasks", Key={"task_id": {"S": spend.task_id}})

    assert found(store) == {"task of the ledger row"}


def test_a_wrong_running_balance_is_found(store, account):
    row = store.client.get_item(**ledger_key("purchase#cs_1"))["Item"] | encode_item({"balance_after": 7})
    store.client.put_item(TableName="ImpacterAGI_Transactions", Item=row)

    assert found(store) == {"running balance at 2"}


def test_a_wrong_balance_is_found_when_the_customer_keeps_spending(store, account):
    store.update_account(account.email, credits_balance=5000)

    def spend():
        tasks.submit(store, store.get_account(account.email), "Meanwhile", now=NOW)

    assert "balance and sum of the ledger" in {difference.what for difference in books.check(store, again=spend)}


def test_a_missing_last_row_is_found(store, account):
    store.update_account(account.email, ledger_sequence=account.ledger_sequence + 1)

    assert found(store) == {"sequence numbers"}


def test_a_cancelled_task_without_its_refund_is_found(store, account):
    task = next(iter(store.every_task()))
    store._update("Tasks", {"task_id": task.task_id}, set={"status": "cancelled"})

    assert found(store) == {"refund of the task"}


def test_a_purchase_without_its_payment_is_found(store, account):
    store.client.delete_item(TableName="ImpacterAGI_Payments", Key={"payment_id": {"S": "pi_1"}})

    assert found(store) == {"payment of the ledger rows"}


def test_rows_of_an_account_that_is_gone_are_found(store, account):
    store.client.delete_item(TableName="ImpacterAGI_Users", Key={"email": {"S": account.email}})

    assert "account of the ledger rows" in found(store)


def test_a_difference_does_not_count_when_a_second_look_does_not_find_it(store, account):
    balance = account.credits_balance
    store.update_account(account.email, credits_balance=balance + 1)

    assert books.check(store, again=lambda: store.update_account(account.email, credits_balance=balance)) == []


@pytest.mark.threat(27)
def test_spending_stops_on_an_account_whose_books_differ_until_it_is_lifted(store, account):
    store.update_account(account.email, credits_balance=account.credits_balance + 1)
    assert books.freeze(store, books.check(store), now=NOW) == [account.email]

    with pytest.raises(AccountFrozen):
        tasks.submit(store, store.get_account(account.email), "One more", now=NOW)

    record(store, paid(2))  # a purchase still counts
    books.unfreeze(store, account.email, actor="op@example.com", reason="looked at it", now=NOW)
    assert tasks.submit(store, store.get_account(account.email), "One more", now=NOW)
    assert [row.action for row in store.list_audit_of(account.email, limit=5).items] == ["account.unfreeze"]


class Listed:
    """Stripe's lists, as the gateway hands them on."""

    def __init__(self, sessions=(), refunds=(), disputes=()):
        self.sessions, self.refunds, self.disputes = list(sessions), list(refunds), list(disputes)

    def list_sessions(self, created_from):
        yield from self.sessions

    def list_refunds(self, created_from):
        yield from self.refunds

    def list_disputes(self, created_from):
        yield from self.disputes


def session(number: int, **fields) -> dict:
    return {
        "id": f"cs_{number}",
        "status": "complete",
        "mode": "payment",
        "payment_status": "paid",
        "payment_intent": f"pi_{number}",
        "currency": "usd",
        "amount_subtotal": 1000,
        "amount_total": 1000,
        "livemode": False,
        "customer_details": {"email": f"buyer{number}@example.com"},
        "metadata": {},
    } | fields


def reconcile(store, stripe, **options):
    return books.reconcile(store, stripe, since=NOW - timedelta(days=30), livemode=False, now=NOW, **options)


@pytest.mark.threat(48)
def test_ten_withheld_webhooks_are_repaired_and_a_second_run_changes_nothing(store):
    stripe = Listed(
        sessions=[session(n) for n in range(10)] + [session(99, status="open"), session(98, status="expired")],
        refunds=[{"id": "re_1", "payment_intent": "pi_3", "amount": 400, "status": "succeeded"}],
        disputes=[{"id": "dp_1", "payment_intent": "pi_4", "amount": 1000, "status": "needs_response"}],
    )

    first = reconcile(store, stripe)
    again = reconcile(store, stripe)

    assert first.looked_at == 12
    assert sum(moved for _, _, moved in first.missing) == 10_000 - 400 - 1000
    assert again.missing == []
    assert store.get_account("buyer3@example.com").credits_balance == 600
    assert store.get_account("buyer4@example.com").credits_balance == 0
    assert books.check(store) == []


def test_a_dry_run_tells_what_is_missing_and_records_nothing(store):
    result = reconcile(store, Listed(sessions=[session(1)]), dry_run=True)

    assert result.missing == [("pi_1", "session", 1000)]
    assert store.find_account("buyer1@example.com") is None


def test_a_webhook_after_the_reconciliation_changes_nothing(store):
    reconcile(store, Listed(sessions=[session(1)]))

    record(store, paid(1, email="buyer1@example.com"))

    assert store.get_account("buyer1@example.com").credits_balance == 1000


def test_a_payment_that_stripe_does_not_list_is_told(store):
    record(store, paid(5))

    assert reconcile(store, Listed()).unknown_to_stripe == ["pi_5"]


def test_liability_is_what_the_ledger_says_at_that_moment(store):
    make_account(store, credits=100)
    make_account(store, "owing@example.com", credits=-30)
    payments.record_fact(store, paid(1, email="late@example.com"), now=NOW + timedelta(days=1))

    today = books.liability(store, at=NOW)
    later = books.liability(store, at=NOW + timedelta(days=2))

    assert (today.owed_to_customers, today.owed_by_customers, today.accounts) == (100, 30, 2)
    assert later.owed_to_customers == 1100


def test_what_is_unspent_of_each_payment_is_told_first_in_first_out(store):
    account = make_account(store)
    record(store, paid(1), paid(2))
    for number in range(30):
        tasks.submit(store, store.get_account(account.email), f"Task {number}", now=NOW)

    assert books.unspent_by_payment(ledger(store, account.email)) == {"pi_1": 700, "pi_2": 1000}

    record(store, RefundFact("pi_2", "re_1", 250, "succeeded"))
    assert books.unspent_by_payment(ledger(store, account.email)) == {"pi_1": 700, "pi_2": 750}


def test_unspent_is_nothing_when_a_refund_took_what_was_spent_already(store):
    account = make_account(store)
    record(store, paid(1))
    for number in range(100):
        tasks.submit(store, store.get_account(account.email), f"Task {number}", now=NOW)
    record(store, RefundFact("pi_1", "re_1", 1000, "succeeded"))

    assert books.unspent_by_payment(ledger(store, account.email)) == {"pi_1": 0}
