"""Rows of the original product join the ledger: once, with every balance as it was, and nothing guessed."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from app.adoption import rows as data
from app.adoption import service as adoption
from app.data.codec import decode_item, encode_item
from app.domain.accounts import NOT_ADOPTED
from app.domain.clock import utcnow
from app.domain.errors import AlreadyRecorded, BalanceUnexplained, PaymentsUnavailable, WrongState
from app.domain.payments import DisputeFact, RefundFact, SessionFact
from app.domain.sales import Named
from app.services import accounts, books, checkout, customers, parked, payments, queue, statements, tasks
from tests.originals import BCRYPT, EMAIL, PAYMENT, TASK, put_account, put_history, put_task, put_transaction
from tests.services.test_books import Listed, reconcile
from tests.support import NOW, PASSWORD, FakeStripe, ledger, make_operators, session_event


def adopt(store, *, apply: bool = True):
    return adoption.adopt(store, apply=apply, now=NOW)


def to_mend(store) -> list[tuple[str, str, str]]:
    """Of a run that adopts what it can."""
    done = adopt(store)
    assert done.refused == []
    return [(finding.key, finding.field, finding.problem) for finding in done.findings]


def sign_in(store):
    return accounts.sign_in(store, BCRYPT, EMAIL, PASSWORD, now=NOW, kind="browser")


def raw(store, table: str, **key: str) -> dict:
    found = store.client.get_item(
        TableName=store.prefix + table, Key={name: {"S": value} for name, value in key.items()}, ConsistentRead=True
    )
    return found.get("Item", {})


def bought(payment: str, credits: int = 500) -> SessionFact:
    return SessionFact(payment, "cs_old", payment, "paid", credits=credits, total_cents=credits, email=EMAIL)


def test_a_balance_gets_its_opening_row_when_no_row_explains_it(store):
    put_account(store, balance=490)

    account = store.accounts.get(EMAIL)

    (entry,) = ledger(store, EMAIL)
    assert (entry.transaction_id, entry.type, entry.amount) == (f"opening#{EMAIL}", "adjustment", 490)
    assert (entry.sequence, entry.balance_after) == (1, 490)
    assert (account.credits_balance, account.ledger_sequence, account.unexplained) == (490, 1, None)
    (act,) = store.audit.page_of(EMAIL, limit=5).items
    assert (act.action, act.actor, dict(act.after)) == ("account.adopt", "adoption", {"balance": 490, "opening": 490})
    assert books.check(store) == []


@pytest.mark.parametrize(
    ("rows", "opening"),
    [([500, -10], 0), ([500], -10), ([500, 10], -20), ([], 490), ([1000, -900], 390)],
    ids=["signed", "a row is missing", "spends without a sign", "no rows", "a balance changed by hand"],
)
def test_all_rows_together_add_up_to_the_balance_when_there_are_rows_of_the_original(store, rows, opening):
    put_account(store, balance=490)
    for place, amount in enumerate(rows):
        put_transaction(store, f"txn-{place}", amount, "purchase" if amount > 0 else "spend", day=place + 2)
    before = [raw(store, "Transactions", transaction_id=f"txn-{place}") for place in range(len(rows))]

    store.accounts.get(EMAIL)

    entries = ledger(store, EMAIL)
    assert sum(entry.amount for entry in entries) == 490
    assert entries[-1].amount == opening
    assert max(entry.timestamp for entry in entries) == entries[-1].timestamp
    assert [raw(store, "Transactions", transaction_id=f"txn-{place}") for place in range(len(rows))] == before
    assert books.check(store) == []


@pytest.mark.threat(112)
def test_a_row_that_the_original_dated_years_ahead_moves_none_of_ours(store):
    put_account(store, balance=490)
    put_transaction(store, "txn-1", 500, "purchase", day=2)
    put_transaction(store, "txn-2", -10, "spend", day=2)
    ahead = decode_item(raw(store, "Transactions", transaction_id="txn-2"))
    ahead["timestamp"] = ahead["timestamp"].replace(ahead["timestamp"][:4], "2046")
    store.client.put_item(TableName=f"{store.prefix}Transactions", Item=encode_item(ahead))

    began = utcnow()
    tasks.submit(store, sign_in(store).account, "A new task", now=utcnow(), idempotency_key="r-1")

    ours = [entry for entry in ledger(store, EMAIL) if not entry.is_original]
    assert [began <= entry.timestamp <= utcnow() for entry in ours] == [True, True]
    found = statements.of_month(store, EMAIL, f"{utcnow():%Y-%m}")
    assert (found["opening"], found["closing"]) == (500, 480)
    assert [entry.sequence for entry in statements.whole_ledger(store, EMAIL)] == [2, 1, 0, 0]
    assert books.check(store) == []


def test_everything_works_on_an_account_when_it_was_adopted(store):
    put_history(store)
    task_id = TASK
    adopt(store)
    make_operators(store)

    account = sign_in(store).account
    submitted = tasks.submit(store, account, "A new task", now=NOW, idempotency_key="r-1")
    payments.record_fact(store, bought("pi_new", 1000), now=NOW)
    customers.adjust(store, "op@example.com", EMAIL, 5, "Goodwill", idempotency_key="a-1", limit=50, now=NOW)
    queue.cancel(store, store.accounts.get(EMAIL), submitted.task.task_id, now=NOW)
    queue.reject(store, "op@example.com", task_id, "Cannot be done", now=NOW)

    assert store.accounts.get(EMAIL).credits_balance == 490 + 1000 + 5 + 10
    assert store.accounts.get(EMAIL).open_tasks == 0
    assert books.check(store) == []
    assert books.liability(store, at=utcnow().replace(year=2099), now=utcnow()).owed_to_customers == 1505


@pytest.mark.threat(48)
@pytest.mark.threat(28)
def test_a_payment_of_the_original_is_not_credited_again_when_stripe_tells_of_it_late(store):
    put_history(store, task=False)
    fact = bought(PAYMENT)

    first = payments.record_fact(store, fact, now=NOW)  # adopts by reading
    again = payments.record_fact(store, fact, now=NOW)

    assert (first.moved, again.moved) == (0, 0)
    assert store.accounts.get(EMAIL).credits_balance == 490
    assert books.check(store) == []


@pytest.mark.threat(32)
@pytest.mark.parametrize("told", ["before the adoption", "after it"])
def test_a_refund_of_a_payment_of_the_original_is_taken_back_once(store, told):
    put_history(store)
    refund = RefundFact(PAYMENT, "re_1", 250, "succeeded")
    if told == "before the adoption":
        payments.record_fact(store, refund, now=NOW)

    adopt(store)
    if told == "before the adoption":
        assert store.accounts.get(EMAIL).credits_balance == 490 - 250
    payments.record_fact(store, refund, now=NOW)
    adopt(store)
    payments.record_fact(store, refund, now=NOW)

    assert store.accounts.get(EMAIL).credits_balance == 490 - 250
    assert [entry.type for entry in ledger(store, EMAIL) if not entry.is_original] == ["adjustment", "clawback"]
    assert books.check(store) == []


def test_what_a_payment_asks_for_is_settled_when_any_fact_of_it_is_told_again(store):
    """A refund came first, and the customer's sign-in adopted the account: the next fact takes the credits back."""
    put_history(store, task=False)
    refund = RefundFact(PAYMENT, "re_1", 500, "succeeded")
    payments.record_fact(store, refund, now=NOW)
    sign_in(store)
    assert {difference.what for difference in books.check(store)} == {"what the facts ask for"}

    moved = [payments.record_fact(store, refund, now=NOW).moved for _ in range(2)]

    assert moved == [-500, 0]
    assert store.accounts.get(EMAIL).credits_balance == -10
    assert books.check(store) == []


def test_a_payment_that_the_original_credited_twice_is_one_payment(store):
    put_account(store, balance=1000)
    for place in (1, 2):
        put_transaction(store, f"txn-{place}", 500, "purchase", payment="pi_twice", day=place + 1)

    store.accounts.get(EMAIL)

    record = store.payments.find("pi_twice")
    assert (record.granted, record.applied, record.entries, record.total_cents) == (1000, 1000, 2, 500)
    payments.record_fact(store, DisputeFact("pi_twice", "dp_1", 500, "lost"), now=NOW)
    assert store.accounts.get(EMAIL).credits_balance == 0
    assert books.check(store) == []


@pytest.mark.threat(4)
@pytest.mark.threat(16)
def test_one_opening_row_is_written_when_many_adopt_and_move_the_balance_at_once(store):
    put_history(store)
    for place in range(5):
        put_task(store, f"task-more-{place}")
    make_operators(store)
    acts = [lambda: adopt(store), lambda: sign_in(store)] * 4
    acts += [
        lambda n=n: customers.adjust(
            store, "op@example.com", EMAIL, 100, "Gift", idempotency_key=f"a-{n}", limit=5000, now=NOW
        )
        for n in range(6)
    ]
    acts += [
        lambda n=n: tasks.submit(store, store.accounts.get(EMAIL), f"Task {n}", now=NOW, idempotency_key=f"r-{n}")
        for n in range(6)
    ]
    acts += [lambda: payments.record_fact(store, bought(PAYMENT), now=NOW)] * 4  # credited by the original
    random.shuffle(acts)

    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(lambda act: act(), acts))

    account = store.accounts.get(EMAIL)
    assert account.credits_balance == 490 + 600 - 60
    assert account.open_tasks == 12
    assert [entry.transaction_id for entry in ledger(store, EMAIL)].count(f"opening#{EMAIL}") == 1
    assert books.check(store) == []


def test_the_balance_is_not_opened_when_it_moved_after_it_was_read(store, monkeypatch):
    """The original still runs: between our reading and our writing it spends ten credits."""
    put_account(store, balance=490)
    opening_of, moved = data.opening_of, []

    def meanwhile(base, row):
        if not moved:
            moved.append(1)
            store._update_row("Users", {"email": EMAIL}, set={"credits_balance": 480})
        return opening_of(base, row)

    monkeypatch.setattr(data, "opening_of", meanwhile)
    account = store.accounts.get(EMAIL)

    assert account.credits_balance == 480
    assert [entry.amount for entry in ledger(store, EMAIL)] == [480]


def test_an_account_is_whole_when_another_adopts_it_after_it_was_read(store, monkeypatch):
    put_account(store, balance=490)
    opening_of, raced = data.opening_of, []

    def somebody_else_is_quicker(base, row):
        if not raced:
            raced.append(1)
            store.accounts.get(EMAIL)
        return opening_of(base, row)

    monkeypatch.setattr(data, "opening_of", somebody_else_is_quicker)

    assert tasks.submit(store, store.accounts.get(EMAIL), "A task", now=NOW).credits_remaining == 480


@pytest.mark.parametrize("balance", ["10.5", "many", "", None, True, Decimal("99.9"), "1e99", "NaN"])
def test_a_balance_that_cannot_be_read_is_named_and_nothing_moves_it(empty_store, balance):
    store = empty_store
    put_account(store, balance=None)
    if balance is not None:
        stored = {"BOOL": True} if balance is True else {"N": str(balance)} if isinstance(balance, Decimal) else None
        store.client.update_item(
            TableName=store.prefix + "Users",
            Key={"email": {"S": EMAIL}},
            UpdateExpression="SET credits_balance = :b",
            ExpressionAttributeValues={":b": stored or {"S": balance}},
        )

    account = sign_in(store).account  # signing in works

    with pytest.raises(BalanceUnexplained):
        tasks.submit(store, account, "A task", now=NOW)
    with pytest.raises(BalanceUnexplained):
        payments.record_fact(store, bought("pi_1"), now=NOW)
    with pytest.raises(BalanceUnexplained):
        checkout.open_session(store, FakeStripe(), account, None, idempotency_key="r", app_url="", now=NOW)
    ((key, attribute, _),) = to_mend(store)
    assert (key, attribute) == (EMAIL, "credits_balance")
    (difference,) = books.check(store)
    assert (difference.subject, difference.found) == (EMAIL, f"its balance cannot be read: {balance}")
    assert books.freeze(store, [difference], now=NOW) == []
    assert ledger(store, EMAIL) == []

    store._update_row("Users", {"email": EMAIL}, set={"credits_balance": 100})  # a person has looked
    assert [opening.amount for opening in adopt(store).openings] == [100]
    assert books.check(store) == []


def test_a_balance_that_cannot_be_read_keeps_no_other_payment_waiting(empty_store):
    """Neither in the night, nor where an operator names what sold it."""
    store = empty_store
    put_account(store, balance="12.50")
    named = Named(payment_links=frozenset({"plink_a"}))
    for number, email in enumerate(["new@example.com", EMAIL, "more@example.com"]):
        told = session_event(email, session=f"cs_{number}", metadata={}, payment_link="plink_a")
        payments.handle_event(store, told, livemode=False, now=NOW + timedelta(seconds=number), named=Named())

    found = payments.release(store, "plink_a", named=named, now=NOW)
    told = [
        session_event(email, session=session)["data"]["object"]
        for email, session in ((EMAIL, "cs_refused"), ("new@example.com", "cs_new"))
    ]
    result = reconcile(store, Listed(sessions=told), named=named)

    assert (found.payments, found.credits) == (2, 2000)
    assert result.unexplained == ["pi_cs_refused"]
    assert store.accounts.get("new@example.com").credits_balance == 2000
    assert [record.payment_id for record in store.payments.list_not_ours("plink_a", limit=5).items] == ["pi_cs_1"]


@pytest.mark.parametrize(
    ("stored", "credits"), [("490", 490), ("490.0", 490), (Decimal("490.00"), 490), (0, 0), (-5, -5)]
)
def test_a_balance_is_taken_over_when_it_is_a_whole_number_in_another_form(store, stored, credits):
    put_account(store, balance=stored)

    adopt(store)

    assert raw(store, "Users", email=EMAIL)["credits_balance"] == {"N": str(credits)}
    assert [entry.amount for entry in ledger(store, EMAIL)] == [credits]


def test_an_account_is_named_when_a_row_of_it_cannot_be_read(empty_store):
    store = empty_store
    put_account(store)
    put_transaction(store, "txn-1", "9.99", "purchase")

    assert to_mend(store) == [("txn-1", "amount", "'9.99' is no whole number")]
    assert store.accounts.get(EMAIL).unexplained == NOT_ADOPTED
    (entry,) = store.ledger.page(EMAIL, limit=5).items
    assert (entry.amount, entry.description) == (0, "purchase of the original (amount as it was stored: 9.99)")


def test_an_account_is_named_when_sign_in_would_not_find_its_address(empty_store):
    store = empty_store
    put_account(store, "Old@Example.com")

    said = "'Old@Example.com' is not in the form that sign-in looks for"
    assert to_mend(store) == [("Old@Example.com", "email", said)]
    assert [difference.subject for difference in books.check(store)] == ["Old@Example.com"]


def test_an_account_is_named_when_it_was_put_back_from_a_backup_over_a_ledger_of_ours(empty_store):
    store = empty_store
    put_account(store, balance=490)
    adopt(store)
    put_account(store, balance=300)

    assert adopt(store).refused == [(EMAIL, "its ledger has begun already, with row 1")]
    assert len(ledger(store, EMAIL)) == 1
    with pytest.raises(BalanceUnexplained):
        tasks.submit(store, store.accounts.get(EMAIL), "A task", now=NOW)


def test_rows_that_the_original_writes_after_the_adoption_are_named(empty_store):
    store = empty_store
    put_account(store, balance=490)
    adopt(store)
    put_transaction(store, "txn-late", -10)
    put_transaction(store, "txn-odd", "9.99")

    found = {(difference.subject, difference.what) for difference in books.check(store)}

    assert {(EMAIL, "balance and sum of the ledger"), ("txn-odd", "amount")} <= found


def test_nothing_is_written_when_the_run_is_dry(empty_store):
    store = empty_store
    put_history(store)
    before = raw(store, "Users", email=EMAIL), raw(store, "Tasks", task_id=TASK)

    would = adopt(store, apply=False)

    assert [(o.account.email, o.counted, o.amount) for o in would.openings] == [(EMAIL, 490, 0)]
    assert [task.task_id for task in would.tasks] == [TASK]
    assert (raw(store, "Users", email=EMAIL), raw(store, "Tasks", task_id=TASK)) == before
    assert {d.what for d in books.check(store)} == {"opening row", "task of the original product"}


def test_a_second_run_finds_nothing_to_do(store):
    for place in range(3):
        put_history(store, f"old{place}@example.com")

    first, again = adopt(store), adopt(store)

    assert (len(first.openings), len(first.tasks), first.refused) == (3, 3, [])
    assert (again.openings, again.tasks, again.refused) == ([], [], [])


def test_a_purchase_that_names_no_payment_is_told(store):
    put_account(store, balance=500)
    put_transaction(store, "txn-1", 500, "purchase")

    assert adopt(store).untraced == [(EMAIL, "txn-1")]


@pytest.mark.parametrize(("status", "open_tasks"), [("pending", 1), ("in-progress", 1), ("completed", 0)])
def test_a_task_joins_the_queue_when_it_is_open(store, status, open_tasks):
    put_account(store)
    put_task(store, "task-1", status)

    adopt(store)
    adopt(store)

    assert store.accounts.get(EMAIL).open_tasks == open_tasks
    assert [task.task_id for task in store.tasks.page(EMAIL, limit=5, status=status).items] == ["task-1"]
    waiting = queue.claim_next(store, "op@example.com", now=NOW)
    assert (waiting.task_id if waiting else None) == ("task-1" if open_tasks else None)
    if waiting:
        queue.complete(store, "op@example.com", "task-1", "Done", now=NOW)
        assert store.accounts.get(EMAIL).open_tasks == 0
    assert books.check(store) == []


def test_a_customer_may_cancel_a_task_that_no_command_has_adopted(store):
    put_history(store)

    _, account = queue.cancel(store, store.accounts.get(EMAIL), TASK, now=NOW)

    assert (account.credits_balance, store.accounts.get(EMAIL).open_tasks) == (500, 0)
    assert books.check(store) == []


@pytest.mark.parametrize(
    ("cost", "status", "attribute", "problem"),
    [
        ("ten", "pending", "credits_spent", "its cost cannot be read: ten"),
        (10, "failed", "status", "its status is not one of ours: failed"),
    ],
)
def test_a_task_that_cannot_be_read_is_named_and_cannot_move(empty_store, cost, status, attribute, problem):
    store = empty_store
    put_account(store)
    put_task(store, "task-1", status, cost=cost)

    assert [each[:2] for each in to_mend(store)] == [("task-1", attribute)]
    assert [d.found for d in books.check(store)] == [problem]
    assert store.tasks.find("task-1").credits_spent in (0, 10)
    with pytest.raises(WrongState):
        queue.reject(store, "op@example.com", "task-1", "No", now=NOW)


def test_a_task_without_an_account_joins_alone(empty_store):
    store = empty_store
    put_task(store, "task-1", email="gone@example.com")

    adopt(store)

    assert store.tasks.find("task-1").unexplained is None
    assert store.accounts.find("gone@example.com") is None


def test_a_row_gets_its_maps_when_only_they_are_missing(store):
    """A row as an earlier version of this app left it: an id, but no map of links."""
    put_account(store, balance=0, account_id={"S": "acc_1"}, sessions={"M": {}})

    account = store.accounts.get(EMAIL)

    assert account.account_id == "acc_1"
    assert set(raw(store, "Users", email=EMAIL)) >= {"sessions", "link_nonces", "ledger_sequence"}
    accounts.ask_for_link(store, EMAIL, now=NOW)
    assert store.accounts.get(EMAIL).link_nonces


def test_a_repeat_after_a_lost_answer_does_not_open_twice(store, monkeypatch):
    put_account(store, balance=490)
    commit, lost = data.Transaction.commit, []

    def loses_the_first_answer(writes):
        commit(writes)
        if not lost:
            lost.append(1)
            raise AlreadyRecorded

    monkeypatch.setattr(data.Transaction, "commit", loses_the_first_answer)

    assert store.accounts.get(EMAIL).credits_balance == 490
    assert len(ledger(store, EMAIL)) == 1


@pytest.mark.threat(32)
def test_a_refund_that_was_told_first_is_taken_back_when_a_sign_in_adopted(store):
    put_history(store)
    payments.record_fact(store, RefundFact(PAYMENT, "re_1", 500, "succeeded"), now=NOW)
    sign_in(store)

    adopt(store)

    assert store.accounts.get(EMAIL).credits_balance == -10
    adopt(store)
    assert store.accounts.get(EMAIL).credits_balance == -10
    assert books.check(store) == []


BUYER = "buyer@example.com"  # reading the account itself would adopt it
PARKED = SessionFact(PAYMENT, "cs_old", PAYMENT, "paid", 0, 500, "idr", BUYER, parked_reason="paid in idr, not in usd")
WHO = {"reason": "asked for", "actor": "op@example.com", "now": NOW}
DECISIONS = {
    "credited at once": lambda store: payments.record_fact(store, replace(bought(PAYMENT), email=BUYER), now=NOW),
    "parked": lambda store: payments.record_fact(store, PARKED, now=NOW),
    "dismissed": lambda store: parked.dismiss(store, PAYMENT, **WHO),
    "refund begun": lambda store: _refund_that_breaks_off(store),
    "refunded": lambda store: parked.refund(store, FakeStripe(), PAYMENT, **WHO),
    "credited by hand": lambda store: _credit_by_hand(store),
}


def _credit_by_hand(store) -> None:
    make_operators(store, WHO["actor"])
    parked.credit(store, PAYMENT, email=BUYER, credits=7, limit=5000, **WHO)


def _refund_that_breaks_off(store) -> None:
    with suppress(PaymentsUnavailable):
        parked.refund(store, FakeStripe(down=True), PAYMENT, **WHO)


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("told", ["before", "meanwhile"])
def test_an_adoption_leaves_a_payment_that_was_parked_or_decided_as_it_is(store, monkeypatch, decision, told):
    """Also when it is decided between the adoption's reading of the payment and its writing."""

    def decide():
        if decision not in ("parked", "credited at once"):
            payments.record_fact(store, PARKED, now=NOW)
        DECISIONS[decision](store)
        return store.payments.find(PAYMENT)

    put_history(store, task=False)
    stands = decide() if told == "before" else None
    find = data.PaymentReads.find

    def read_then_decide(reads, payment_id):
        nonlocal stands
        known = find(reads, payment_id)
        if stands is None:
            monkeypatch.setattr(data.PaymentReads, "find", find)
            stands = decide()
        return known

    monkeypatch.setattr(data.PaymentReads, "find", read_then_decide)

    store.accounts.get(EMAIL)

    assert stands is not None
    assert store.payments.find(PAYMENT) == stands
    assert [entry.amount for entry in ledger(store, EMAIL)][-1] == 0, "its account is adopted all the same"


def test_nobody_is_frozen_for_an_adoption_that_broke_off(empty_store, monkeypatch):
    put_history(empty_store, task=False)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(data, "_open_ledger", crash)
        with pytest.raises(KeyboardInterrupt):
            empty_store.accounts.get(EMAIL)

    found = books.check(empty_store)

    assert {difference.subject for difference in found} == {EMAIL, PAYMENT}
    assert not [difference for difference in found if difference.email]


@pytest.mark.parametrize("status", ["cancelled", "rejected"])
def test_a_task_that_the_original_ended_asks_for_no_refund_of_ours(store, status):
    put_history(store, task=False)
    put_task(store, TASK, status)

    adopt(store)

    assert books.check(store) == []


def test_an_account_is_not_deleted_while_a_task_of_the_original_is_open(store):
    put_history(store)
    signed_in = sign_in(store).account
    assert signed_in.open_tasks == 0  # nobody has read the task yet

    with pytest.raises(WrongState):
        accounts.delete(store, BCRYPT, signed_in, PASSWORD, now=NOW)

    assert store.accounts.get(EMAIL).deleted_at is None
