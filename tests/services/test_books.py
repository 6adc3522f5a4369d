"""The books: what differs is found, what never reached us is repaired, and what is owed is counted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.data.codec import encode_item
from app.domain.clock import utcnow
from app.domain.errors import AccountFrozen, WrongState
from app.domain.payments import DisputeFact, RefundFact
from app.domain.sales import GUEST, MARK
from app.services import books, codes, customers, operators, parked, payments, tasks
from tests.services.test_payments import paid, record
from tests.support import NOW, ledger, make_account, make_operators


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
        tasks.submit(store, store.accounts.get(account.email), f"Task {number}", now=NOW)
    record(store, RefundFact("pi_1", "re_1", 300, "succeeded"))
    return store.accounts.get(account.email)


def found(store) -> set[str]:
    return {difference.what for difference in books.check(store)}


def ledger_key(transaction_id: str) -> dict:
    return {"TableName": "ImpacterAGI_Transactions", "Key": {"transaction_id": {"S": transaction_id}}}


def test_nothing_differs_when_the_books_were_kept(store, account):
    assert books.check(store) == []


@pytest.mark.threat(27)
def test_a_balance_changed_by_hand_is_found(store, account):
    store.updates.accounts.change(account, credits_balance=account.credits_balance + 1)

    assert "balance and sum of the ledger" in found(store)
    assert "balance and last balance_after" in found(store)


def test_a_missing_row_is_found(store, account):
    store.client.delete_item(**ledger_key(ledger(store, account.email)[1].transaction_id))

    assert {"sequence numbers", "balance and sum of the ledger"} <= found(store)


def test_a_duplicated_row_is_found(store, account):
    row = store.client.get_item(**ledger_key("purchase#cs_1"))["Item"] | encode_item({"transaction_id": "copy"})
    store.client.put_item(TableName="ImpacterAGI_Transactions", Item=row)

    assert {"sequence numbers", "credits of the payment"} <= found(store)


@pytest.mark.parametrize("place", [{"S": "2"}, {"N": "2.5"}, {"NULL": True}])
def test_a_row_beside_the_others_whose_place_is_no_number_is_found(store, account, place):
    row = store.client.get_item(**ledger_key(ledger(store, account.email)[1].transaction_id))["Item"]
    row |= {"transaction_id": {"S": "adjust#beside"}, "sequence": place, "amount": {"N": "900"}}
    store.client.put_item(TableName="ImpacterAGI_Transactions", Item=row)

    assert ("adjust#beside", "place in the ledger", account.email) in {
        (one.subject, one.what, one.email) for one in books.check(store)
    }


ODD_NUMBERS = [
    ("Transactions", "amount"),
    ("Transactions", "balance_after"),
    ("Payments", "granted"),
    ("Payments", "applied"),
    ("Payments", "total_cents"),
    ("Tasks", "credits_spent"),
    ("Users", "credits_balance"),
    ("Users", "ledger_sequence"),
]


@pytest.mark.parametrize("odd", [{"N": "2.5"}, {"S": "a few"}, {"N": "9" * 30}], ids=["part", "words", "long"])
@pytest.mark.parametrize(("table", "attribute"), ODD_NUMBERS)
def test_an_odd_number_is_a_finding_and_ends_no_check(store, account, table, attribute, odd):
    name = f"ImpacterAGI_{table}"
    (key,) = (key["AttributeName"] for key in store.client.describe_table(TableName=name)["Table"]["KeySchema"])
    row = next(
        row for row in store.client.scan(TableName=name)["Items"] if attribute in row and row[attribute] != {"N": "0"}
    )
    store.client.update_item(
        TableName=name,
        Key={key: row[key]},
        UpdateExpression="SET #it = :odd",
        ExpressionAttributeNames={"#it": attribute},
        ExpressionAttributeValues={":odd": odd},
    )

    assert books.check(store) or attribute == "total_cents"


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
    store.updates.accounts.change(account, credits_balance=5000)

    def spend():
        tasks.submit(store, store.accounts.get(account.email), "Meanwhile", now=NOW)

    assert "balance and sum of the ledger" in {difference.what for difference in books.check(store, again=spend)}


def test_a_missing_last_row_is_found(store, account):
    store.updates.accounts.change(account, ledger_sequence=account.ledger_sequence + 1)

    assert found(store) == {"sequence numbers"}


@pytest.mark.threat(27)
def test_an_account_that_was_restored_to_an_earlier_moment_than_its_ledger_is_found(store, account):
    tasks.submit(store, account, "Lost with the balance", now=NOW)
    earlier = {"credits_balance": account.credits_balance, "ledger_sequence": account.ledger_sequence}
    store.updates.accounts.change(account, **earlier)

    differences = books.check(store, again=lambda: None)

    assert [(d.what, d.found) for d in differences] == [
        (f"ledger row {account.ledger_sequence + 1}", f"the account ends at {account.ledger_sequence}")
    ]


def test_a_row_of_this_moment_does_not_count_when_the_customer_keeps_spending(store, account, monkeypatch):
    every_account = store.accounts.every

    def spend_after_reading(part):
        found = list(every_account(part))
        tasks.submit(store, store.accounts.get(account.email), "Meanwhile", now=NOW)
        return found

    monkeypatch.setattr(store.accounts, "every", spend_after_reading)

    assert len(books.check(store)) == 1
    assert books.check(store, again=lambda: None) == []


def test_a_cancelled_task_without_its_refund_is_found(store, account):
    task = next(iter(store.tasks.every()))
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
    store.updates.accounts.change(account, credits_balance=balance + 1)

    assert books.check(store, again=lambda: store.updates.accounts.change(account, credits_balance=balance)) == []


@pytest.mark.threat(27)
def test_spending_stops_on_an_account_whose_books_differ_until_it_is_lifted(store, account):
    store.updates.accounts.change(account, credits_balance=account.credits_balance + 1)
    assert books.freeze(store, books.check(store), now=NOW) == [account.email]

    again = books.freeze(store, books.check(store), now=NOW + timedelta(days=1))

    assert again == [account.email]
    assert store.accounts.get(account.email).frozen_at == NOW
    with pytest.raises(AccountFrozen):
        tasks.submit(store, store.accounts.get(account.email), "One more", now=NOW)

    record(store, paid(2))  # a purchase still counts
    books.unfreeze(store, account.email, actor="op@example.com", reason="looked at it", now=NOW)
    assert tasks.submit(store, store.accounts.get(account.email), "One more", now=NOW)
    assert {(row.action, row.actor) for row in store.audit.page_of(account.email, limit=5).items} == {
        ("account.unfreeze", "op@example.com"),
        ("account.freeze", "books check"),
    }


@pytest.mark.threat(27)
@pytest.mark.parametrize("drift", [1, -40, 5_000])
def test_a_balance_that_something_else_has_changed_goes_back_to_what_the_ledger_says(store, account, drift):
    right = account.credits_balance
    store.updates.accounts.change(account, credits_balance=right + drift)
    who = {"actor": "op@example.com", "reason": "A script of ours", "now": NOW}
    with pytest.raises(WrongState, match="not been stopped"):
        books.restate(store, account.email, **who)
    books.freeze(store, books.check(store), now=NOW)

    assert [books.restate(store, account.email, **who) for _ in range(2)] == [right, right]

    assert store.accounts.get(account.email).credits_balance == right
    assert books.check(store) == []
    books.unfreeze(store, account.email, actor="op@example.com", reason="looked at it", now=NOW)
    assert tasks.submit(store, store.accounts.get(account.email), "One more", now=NOW)
    assert store.ledger.page(account.email, limit=50).items  # they chain: the customer can look at them
    acts = [row for row in store.audit.page_of(account.email, limit=9).items if row.action == "account.restate"]
    assert [(row.actor, row.before, row.after) for row in acts] == [
        ("op@example.com", {"credits_balance": right + drift}, {"credits_balance": right})
    ]


def test_a_balance_is_not_restated_from_rows_that_were_written_on_the_wrong_one(store, account):
    store.updates.accounts.change(account, credits_balance=account.credits_balance + 1)
    books.freeze(store, books.check(store), now=NOW)
    record(store, paid(2))
    wrong = store.accounts.get(account.email).credits_balance

    with pytest.raises(WrongState, match="does not add up by itself"):
        books.restate(store, account.email, actor="op@example.com", reason="A script of ours", now=NOW)

    assert store.accounts.get(account.email).credits_balance == wrong


def test_a_restated_balance_loses_against_whoever_moves_it_meanwhile(store, account, monkeypatch):
    right = account.credits_balance
    store.updates.accounts.change(account, credits_balance=right + 1)
    books.freeze(store, books.check(store), now=NOW)
    read, rows = store.ledger.every_of, []

    def every_of(email, **how):
        found = list(read(email, **how))
        if not rows:  # the first attempt reads; then a payment is booked
            rows.append(record(store, paid(2)))
        return found

    monkeypatch.setattr(store.ledger, "every_of", every_of)

    with pytest.raises(WrongState, match="does not add up by itself"):
        books.restate(store, account.email, actor="op@example.com", reason="A script of ours", now=NOW)

    assert store.accounts.get(account.email).credits_balance == right + 1001


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
        "metadata": {"sold_by": MARK, "buyer": GUEST, "credits": "1000", "price_cents": "1000"},
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
    assert store.accounts.get("buyer3@example.com").credits_balance == 600
    assert store.accounts.get("buyer4@example.com").credits_balance == 0
    assert books.check(store) == []


def test_lists_are_words_of_the_moment_at_which_they_were_read(store):
    """Newer than what was told before, older than what is told since; a repeat of the same says nothing new."""
    record(store, paid(1), DisputeFact("pi_1", "dp_1", 1000, "needs_response", currency="usd", told=1))
    lowered = {"id": "dp_1", "payment_intent": "pi_1", "amount": 600, "currency": "usd", "status": "needs_response"}
    refund = {"id": "re_1", "payment_intent": "pi_1", "amount": 100, "currency": "usd", "status": "succeeded"}
    listed = Listed(disputes=[lowered], refunds=[refund])

    assert reconcile(store, listed).missing == [("pi_1", "refund", 0), ("pi_1", "dispute", 300)]
    assert store.payments.find("pi_1").disputes["dp_1"].told == int(NOW.timestamp())
    assert reconcile(store, listed).missing == []

    since = int(NOW.timestamp()) + 5
    record(store, DisputeFact("pi_1", "dp_1", 300, "needs_response", currency="usd", told=since))
    assert [moved for *_, moved in reconcile(store, listed).missing] == []
    assert store.accounts.get("ada@example.com").credits_balance == 600


def test_the_charge_that_is_listed_with_a_dispute_tells_its_share(store):
    record(store, paid(1), DisputeFact("pi_1", "dp_1", 430, "lost", currency="eur", told=1))
    details = {"presentment_amount": 860, "presentment_currency": "eur"}
    charge = {"id": "ch_1", "amount": 1000, "currency": "usd", "presentment_details": details}
    listed = {"id": "dp_1", "payment_intent": "pi_1", "amount": 430, "currency": "eur", "status": "lost"}

    assert reconcile(store, Listed(disputes=[listed | {"charge": charge}])).missing == [("pi_1", "dispute", 500)]
    assert store.accounts.get("ada@example.com").credits_balance == 500


def test_a_dry_run_tells_what_is_missing_and_records_nothing(store):
    result = reconcile(store, Listed(sessions=[session(1)]), dry_run=True)

    assert result.missing == [("pi_1", "session", 1000)]
    assert store.accounts.find("buyer1@example.com") is None


def test_a_webhook_after_the_reconciliation_changes_nothing(store):
    reconcile(store, Listed(sessions=[session(1)]))

    record(store, paid(1, email="buyer1@example.com"))

    assert store.accounts.get("buyer1@example.com").credits_balance == 1000


def test_a_payment_that_stripe_does_not_list_is_told(store):
    record(store, paid(5))

    assert reconcile(store, Listed()).unknown_to_stripe == ["pi_5"]


def test_a_refund_of_ours_that_cannot_be_read_is_told(store):
    record(store, paid(1))
    unread = {"id": "re_1", "amount": 1000, "status": "of_next_year"}

    listed = Listed([session(1)], [unread | {"payment_intent": "pi_1"}, unread | {"payment_intent": "pi_shop"}])

    assert reconcile(store, listed).unread == ["pi_1"]


def test_liability_is_what_the_ledger_says_at_that_moment(store):
    make_account(store, credits=100)
    make_account(store, "owing@example.com", credits=-30)
    payments.record_fact(store, paid(1, email="late@example.com"), now=NOW + timedelta(days=1))

    today = books.liability(store, at=NOW, now=utcnow())
    later = books.liability(store, at=NOW + timedelta(days=2), now=utcnow())

    assert (today.owed_to_customers, today.owed_by_customers, today.accounts) == (100, 30, 2)
    assert later.owed_to_customers == 1100


@pytest.mark.threat(112)
def test_liability_counts_a_row_of_a_clock_years_ahead_once_another_has_followed(store):
    account = make_account(store, credits=100)
    tasks.submit(store, account, "On a machine years ahead", now=NOW + timedelta(days=3650))
    before = books.liability(store, at=NOW + timedelta(hours=1), now=NOW + timedelta(hours=2))
    tasks.submit(store, store.accounts.get(account.email), "On another", now=NOW + timedelta(days=1))

    def owed(days: int, now: int) -> int:
        found = books.liability(store, at=NOW + timedelta(days=days), now=NOW + timedelta(days=now))
        return found.owed_to_customers

    assert before.owed_to_customers == 100  # nobody can say yet when it happened
    assert [owed(0, 2), owed(1, 2), owed(2, 2)] == [100, 80, 80]
    tasks.submit(store, store.accounts.get(account.email), "Years ahead again", now=NOW + timedelta(days=7300))
    assert [owed(1, 2), owed(2, 2)] == [80, 70]


def test_what_is_unspent_of_each_payment_is_told_first_in_first_out(store):
    account = make_account(store)
    record(store, paid(1), paid(2))
    for number in range(30):
        tasks.submit(store, store.accounts.get(account.email), f"Task {number}", now=NOW)

    assert books.unspent_by_payment(ledger(store, account.email)) == {"pi_1": 700, "pi_2": 1000}

    record(store, RefundFact("pi_2", "re_1", 250, "succeeded"))
    assert books.unspent_by_payment(ledger(store, account.email)) == {"pi_1": 700, "pi_2": 750}


def test_unspent_is_nothing_when_a_refund_took_what_was_spent_already(store):
    account = make_account(store)
    record(store, paid(1))
    for number in range(100):
        tasks.submit(store, store.accounts.get(account.email), f"Task {number}", now=NOW)
    record(store, RefundFact("pi_1", "re_1", 1000, "succeeded"))

    assert books.unspent_by_payment(ledger(store, account.email)) == {"pi_1": 0}


@pytest.fixture
def code(store, account):
    """A code that two accounts have redeemed."""
    make_operators(store)
    codes.create(
        store,
        "SPRING-2026",
        credits_each=50,
        max_uses=9,
        expires_at=NOW + timedelta(days=1),
        created_by="op@example.com",
        limit=5000,
        now=NOW,
    )
    for email in (account.email, "bob@example.com"):
        who = store.accounts.find(email) or make_account(store, email)
        codes.redeem(store, who, "SPRING-2026", now=NOW)
    assert books.check(store) == []
    return "SPRING-2026"


@pytest.mark.parametrize("uses", [1, 3])
def test_a_code_is_named_when_its_uses_are_not_the_rows_that_name_it(store, code, uses):
    store._update("RedeemCodes", {"code": code}, set={"uses": uses})

    (difference,) = books.check(store)

    assert (difference.subject, difference.what, difference.found) == (code, "uses of the code", "2 ledger rows")


def test_rows_of_a_code_that_is_gone_are_named(store, code):
    store.client.delete_item(TableName="ImpacterAGI_RedeemCodes", Key={"code": {"S": code}})

    assert found(store) == {"code of the ledger rows"}


def test_a_code_is_not_named_when_it_is_redeemed_while_the_books_are_read(store, code, monkeypatch):
    read = store.ledger.every

    def meanwhile(part):
        for number in range(2):
            codes.redeem(store, make_account(store, f"new{number}@example.com"), code, now=NOW)
            yield from read() if number == 0 else ()

    monkeypatch.setattr(store.ledger, "every", meanwhile)

    assert "uses of the code" not in found(store)


def adjust_by(store, amount, idempotency_key, *, operator="op@example.com", limit=5000, now=NOW):
    who = {"idempotency_key": idempotency_key, "limit": limit, "now": now}
    return customers.adjust(store, operator, "ada@example.com", amount, "Gift", **who).done


@pytest.fixture
def adjusted(store, account):
    """Two adjustments by one operator alone and one by two."""
    make_operators(store, "op@example.com", "two@example.com", "new@example.com")
    later = NOW + timedelta(seconds=1)  # of two of one time, either could be the one above the limit
    booked = [adjust_by(store, 3000, "r-3000"), adjust_by(store, 2000, "r-2000", now=later)]
    proposed = adjust_by(store, 9000, "r-9000")
    customers.approve(store, "two@example.com", proposed.adjustment_id, now=NOW)
    assert books.check(store) == []
    return [*booked, proposed]


def audit_rows(store, action):
    return [row for row in store.audit.page_of("ada@example.com", limit=50).items if row.action == action]


def test_an_adjustment_is_named_when_no_operator_stands_for_it(store, adjusted):
    for row in audit_rows(store, "credits.adjust"):
        store.client.delete_item(TableName="ImpacterAGI_Audit", Key={"audit_id": {"S": row.audit_id}})

    differences = books.check(store)

    assert {d.what for d in differences} == {"operator of the adjustment"}
    assert {d.subject for d in differences} == {done.transaction_id for done in adjusted[:2]}
    assert books.freeze(store, differences, now=NOW) == []  # no fault of the customer's


def test_an_adjustment_is_named_when_both_its_operators_are_one(store, adjusted):
    (row,) = audit_rows(store, "credits.approve")
    store._update("Audit", {"audit_id": row.audit_id}, set={"after": {**row.after, "proposed_by": row.actor}})

    (difference,) = books.check(store)

    assert (difference.what, difference.found) == ("second operator of the proposal", "two@example.com")


def test_adjustments_of_one_day_are_named_when_together_they_passed_the_limit_alone(store, adjusted):
    for row in audit_rows(store, "credits.adjust"):
        store._update("Audit", {"audit_id": row.audit_id}, set={"after": {**row.after, "limit": 4000}})

    (difference,) = books.check(store)

    assert difference.subject == adjusted[1].transaction_id
    assert (difference.expected, difference.found) == ("at most 4000 a day alone", "5000 by op@example.com")


def test_adjustments_are_judged_by_the_limit_of_their_day(store, adjusted):
    adjust_by(store, 100, "r-100", operator="new@example.com", limit=100)

    assert books.check(store) == []


def make_code(store, name, credits, *, operator="op@example.com", limit=5000):
    terms = {"credits_each": credits, "max_uses": 1, "expires_at": NOW + timedelta(days=9), "limit": limit}
    return codes.create(store, name, created_by=operator, now=NOW, **terms)


@pytest.fixture
def by_hand(store, account):
    """One of each means by one operator alone, 4,500 credits in all, and one of each by two."""
    make_operators(store, "op@example.com", "two@example.com")
    for number in (2, 3):
        record(store, paid(number, parked_reason="odd", credits=0, total_cents=100_000, email=None))
    who = {"actor": "op@example.com", "reason": "Ours", "limit": 5000, "now": NOW}
    adjust_by(store, 1000, "r-1")
    parked.credit(store, "pi_2", email="ada@example.com", credits=1500, **who)
    make_code(store, "ALONE", 2000)
    adjust_by(store, 9000, "r-2")
    parked.credit(store, "pi_3", email="ada@example.com", credits=9000, **who)
    make_code(store, "TOGETHER", 9000)
    for found in store.proposals.list_waiting(limit=9).items:
        customers.approve(store, "two@example.com", found.adjustment_id, now=NOW)
    assert books.check(store) == []


SUBJECTS = {"adjustment": "ada@example.com", "payment": "pi_2", "code": "ALONE"}
DONE = ("credits.adjust", "payment.credit", "code.create")


def act_of(store, subject):
    return next(row for row in store.audit.page_of(subject, limit=50).items if row.action in DONE)


@pytest.mark.threat(105)
@pytest.mark.parametrize("means", SUBJECTS)
def test_value_made_by_hand_is_named_when_no_operator_stands_for_it(store, by_hand, means):
    row = act_of(store, SUBJECTS[means])
    store.client.delete_item(TableName="ImpacterAGI_Audit", Key={"audit_id": {"S": row.audit_id}})

    (difference,) = books.check(store)

    assert (difference.expected, difference.found) == ("one in the audit log", "none")
    assert difference.what.startswith("operator of the")


@pytest.mark.threat(105)
@pytest.mark.parametrize("means", SUBJECTS)
def test_who_made_more_than_the_limit_over_all_means_is_named(store, by_hand, means):
    row = act_of(store, SUBJECTS[means])
    store._update("Audit", {"audit_id": row.audit_id}, set={"after": {**row.after, "limit": 999}})

    (difference,) = books.check(store)

    assert difference.what == "second operator of the proposal"
    assert difference.expected == "at most 999 a day alone"
    assert difference.found.endswith("by op@example.com")


@pytest.mark.threat(105)
def test_what_was_made_over_several_means_is_added_up(store, by_hand):
    """As if the transactions had not known of each other: all that each act was booked under is a limit of 4,000."""
    for subject in SUBJECTS.values():
        row = act_of(store, subject)
        store._update("Audit", {"audit_id": row.audit_id}, set={"after": {**row.after, "limit": 4000}})

    (difference,) = books.check(store)

    assert difference.found == "4500 by op@example.com"


@pytest.mark.threat(105)
@pytest.mark.parametrize("subject", ["ada@example.com", "pi_3", "TOGETHER"])
def test_an_approval_by_the_same_person_or_by_no_operator_is_named(store, by_hand, subject):
    approved = ("credits.approve", "payment.credit", "code.create")
    row = next(row for row in store.audit.page_of(subject, limit=50).items if row.action in approved)
    key = {"audit_id": row.audit_id}

    store._update("Audit", key, set={"after": {**row.after, "proposed_by": "two+again@example.com"}})
    assert "second operator of the proposal" in found(store)
    store._update("Audit", key, set={"actor": "bob@example.com", "after": dict(row.after)})
    (difference,) = books.check(store)

    assert (difference.expected, difference.found) == ("an operator at that time", "bob@example.com")


@pytest.mark.threat(105)
@pytest.mark.parametrize(("seconds", "named"), [(20, False), (3600, True)])
def test_an_act_that_crossed_the_revocation_is_not_named(store, account, seconds, named):
    """The revocation had taken its time when the act was begun and booked; whatever is later than that is named."""
    make_operators(store, "op@example.com")
    adjust_by(store, 100, "r-1", now=NOW + timedelta(seconds=seconds))
    operators.revoke(store, "op@example.com", actor="command line", now=NOW)

    assert found(store) == ({"operator of what was made by hand"} if named else set())


@pytest.mark.threat(105)
def test_an_operator_who_was_demoted_later_was_one_then(store, by_hand):
    operators.revoke(store, "two@example.com", actor="command line", now=NOW + timedelta(hours=1))
    assert books.check(store) == []

    operators.revoke(store, "op@example.com", actor="command line", now=NOW - timedelta(hours=1))

    assert found(store) == {"operator of what was made by hand"}


@pytest.mark.threat(105)
@pytest.mark.parametrize("means", SUBJECTS)
def test_another_number_of_credits_than_the_audit_log_has_is_named(store, by_hand, means):
    row = act_of(store, SUBJECTS[means])
    store._update("Audit", {"audit_id": row.audit_id}, set={"after": {**row.after, "amount": 1}})

    assert found(store) == {"credits made by hand"}


def test_what_was_made_by_hand_under_the_rule_before_is_no_fault(store, account):
    """Codes and payments were nobody's limit, adjustments were counted by account; operators' grants left no row."""
    make_operators(store, "new@example.com")
    adjust_by(store, 4000, "r-1", operator="new@example.com")
    make_account(store, "bob@example.com")
    who = {"idempotency_key": "r-2", "limit": 10**9, "now": NOW}
    customers.adjust(store, "new@example.com", "bob@example.com", 4000, "Gift", **who)
    make_code(store, "BIG-ONE", 100_000, operator="new@example.com", limit=10**9)
    for subject in ("ada@example.com", "bob@example.com", "BIG-ONE"):
        row = act_of(store, subject)
        after = {name: row.after[name] for name in ("balance", "correction") if name in row.after}
        after |= {"limit": 5000} if after else {}
        store._update("Audit", {"audit_id": row.audit_id}, set={"after": after})
    store.updates.accounts.change(store.accounts.get("new@example.com"), role="customer")

    assert books.check(store) == []
