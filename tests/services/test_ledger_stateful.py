"""The whole ledger, driven at random: whatever customers, Stripe and operators do in any order, the books agree."""

from __future__ import annotations

import itertools
from contextlib import suppress
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.domain.errors import DomainError, InsufficientCredits
from app.domain.payments import ChargeRefundedFact, DisputeFact, RefundFact
from app.services import books, codes, payments, queue, tasks
from tests.services.test_payments import paid
from tests.support import NOW, make_account

EMAILS = ("ada@example.com", "bob@example.com")
numbers = itertools.count(1)


def test_the_books_agree_whatever_happens(empty_store):
    store = empty_store

    class Ledger(RuleBasedStateMachine):
        """Each run has its own accounts in one store, so that the books of all runs are checked together."""

        payments = Bundle("payments")
        tasks = Bundle("tasks")

        @initialize()
        def open_accounts(self):
            self.run = next(numbers)
            self.clock = NOW
            self.emails = [f"r{self.run}-{email}" for email in EMAILS]
            for email in self.emails:
                make_account(store, email, credits=25, password_hash=None)
            self.code = f"CODE-{self.run}"
            codes.create(
                store,
                self.code,
                credits_each=15,
                max_uses=1,
                expires_at=NOW + timedelta(days=9),
                created_by="op",
                limit=10**9,
                now=NOW,
            )

        def now(self):
            self.clock += timedelta(seconds=1)
            return self.clock

        def tell(self, fact):
            payments.record_fact(store, fact, now=self.now())

        @rule(target=payments, who=st.integers(0, 1))
        def pay(self, who):
            number = f"{self.run}_{next(numbers)}"
            self.tell(paid(number, email=self.emails[who]))
            return number, who

        @rule(payment=payments)
        def pay_again(self, payment):
            number, who = payment
            self.tell(paid(number, email=self.emails[who]))

        @rule(
            payment=payments,
            refund=st.integers(1, 2),
            cents=st.integers(1, 1000),
            status=st.sampled_from(["pending", "succeeded", "failed"]),
        )
        def refund(self, payment, refund, cents, status):
            self.tell(RefundFact(f"pi_{payment[0]}", f"re_{refund}", cents, status))

        @rule(payment=payments, cents=st.integers(0, 1000))
        def charge_refunded(self, payment, cents):
            self.tell(ChargeRefundedFact(f"pi_{payment[0]}", cents))

        @rule(payment=payments, status=st.sampled_from(["needs_response", "won", "lost", "warning_closed"]))
        def dispute(self, payment, status):
            self.tell(DisputeFact(f"pi_{payment[0]}", "dp_1", 1000, status))

        @rule(target=tasks, who=st.integers(0, 1), key=st.integers(1, 6))
        def submit(self, who, key):
            email, request = self.emails[who], f"{self.run}-{key}"
            account = store.get_account(email)
            try:
                done = tasks.submit(store, account, f"Task {key}", now=self.now(), request_id=request)
            except InsufficientCredits:
                assert account.credits_balance < 10
                return None
            return done.task.task_id, who

        @rule(who=st.integers(0, 1), count=st.integers(1, 3), key=st.integers(1, 3))
        def submit_batch(self, who, count, key):
            account = store.get_account(self.emails[who])
            texts = [f"Line {place}" for place in range(count)]
            try:
                tasks.submit_batch(store, account, texts, now=self.now(), request_id=f"b{self.run}-{key}-{count}")
            except InsufficientCredits:
                assert account.credits_balance < 10 * count

        @rule(task=tasks, act=st.sampled_from(["cancel", "claim", "release", "complete", "reject", "redo"]))
        def work(self, task, act):
            if task is None:
                return
            task_id, who = task
            account = store.get_account(self.emails[who])
            now = self.now()
            acts = {
                "cancel": lambda: queue.cancel(store, account, task_id, now=now),
                "claim": lambda: queue.claim(store, "op", task_id, now=now),
                "release": lambda: queue.release(store, "op", task_id, now=now),
                "complete": lambda: queue.complete(store, "op", task_id, "Done.", now=now),
                "reject": lambda: queue.reject(store, "op", task_id, "Cannot be done.", now=now),
                "redo": lambda: queue.request_redo(store, account, task_id, "Once more, please", now=now),
            }
            with suppress(DomainError):  # not in this state: the books say whether anything moved
                acts[act]()

        @rule(who=st.integers(0, 1))
        def redeem(self, who):
            with suppress(DomainError):  # had already, or used up
                codes.redeem(store, store.get_account(self.emails[who]), self.code, now=self.now())

        @invariant()
        def the_accounts_agree(self):
            for email in getattr(self, "emails", ()):
                rows = list(store.entries_of(email))
                account = store.get_account(email)
                assert account.credits_balance == rows[0].balance_after == sum(row.amount for row in rows)
                assert [row.sequence for row in rows] == list(range(len(rows), 0, -1))

    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert books.check(store) == []
