"""The whole ledger, driven at random: whatever customers, Stripe and operators do in any order, the books agree.

LEDGER_HISTORIES says how many histories are driven: 15 by default to keep the suite quick; 2000 before a release,
which takes the better part of an hour (LEDGER_HISTORIES=2000 scripts/test tests/services/test_ledger_stateful.py).
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from app.data.adjustments import Adjustment
from app.domain.credits import PostedEntry
from app.domain.errors import AccountExists, DomainError, InsufficientCredits
from app.domain.payments import ChargeRefundedFact, DisputeFact, PaymentRecord, RefundFact, merge, target
from app.services import accounts, books, codes, customers, operators, parked, payments, queue, tasks
from app.services.links import SET_PASSWORD, Links
from app.services.passwords import Passwords
from tests.services.test_payments import paid
from tests.support import NOW, PASSWORD, FakeStripe, make_account

HISTORIES = int(os.environ.get("LEDGER_HISTORIES", "15"))
CUSTOMERS = ("ada", "bob")
OPERATORS = ("oscar", "olga")
BCRYPT = Passwords(4)
HASH = BCRYPT.hash(PASSWORD)
LINKS = Links(("signing-key",), "http://dashboard.test")
LIMIT = 300  # credits that an operator makes alone in a day
OPENING = 25
numbers = itertools.count(1)

who = st.integers(0, 1)
currency = st.sampled_from(["usd", "usd", "eur", "idr", ""])
charged = st.sampled_from([{}, {}, {"usd": 1000}, {"eur": 860}, {"usd": 1000, "eur": 860}])


def refund(of, cents, status, currency, age, charged):
    def make(payment, told):
        words = {"currency": currency, "told": told, "made": told - age if age else 0, "charged": charged}
        return RefundFact(payment, f"re_{of}", cents, status, **words)

    return make


def dispute(of, cents, status, currency, charged):
    return lambda payment, told: DisputeFact(
        payment, f"dp_{of}", cents, status, currency=currency, told=told, charged=charged
    )


def charge(cents, currency, charged):
    return lambda payment, told: ChargeRefundedFact(payment, cents, currency=currency, told=told, charged=charged)


WORDS = st.tuples(
    st.one_of(
        st.builds(
            refund,
            st.integers(1, 2),
            st.sampled_from([0, 1, 250, 333, 430, 860, 1000]),
            st.sampled_from(["pending", "succeeded", "succeeded", "failed", "canceled"]),
            currency,
            st.integers(0, 10),
            charged,
        ),
        st.builds(
            dispute,
            st.integers(1, 2),
            st.sampled_from([1, 430, 600, 860, 1000]),
            st.sampled_from(["needs_response", "needs_response", "under_review", "won", "lost", "warning_closed"]),
            currency,
            charged,
        ),
        st.builds(charge, st.integers(0, 1000), currency, charged),
    ),
    st.integers(0, 40),  # how many seconds older than this moment it is
)
MONEY_BACK = st.lists(WORDS, max_size=8)


@pytest.mark.threat(4)
@pytest.mark.threat(32)
@pytest.mark.long
def test_the_books_agree_whatever_happens(empty_store):
    store = empty_store

    class Ledger(RuleBasedStateMachine):
        """Each run has its own accounts in one store, so that the books of all runs are checked together.

        `moved` is what the run itself counts of all that is no payment; of payments it keeps the words that were told.
        """

        payments = Bundle("payments")
        parked_ones = Bundle("parked_ones")
        tasks = Bundle("tasks")
        proposals = Bundle("proposals")

        @initialize()
        def open_accounts(self):
            self.run = next(numbers)
            self.clock = NOW
            self.emails = [f"r{self.run}-{name}@example.com" for name in CUSTOMERS]
            self.operators = [f"r{self.run}-{name}@example.com" for name in OPERATORS]
            self.moved = dict.fromkeys(self.emails, OPENING)
            self.charged = set()
            self.told = defaultdict(list)
            self.granted = {}  # payments credited by hand
            for email in self.emails:
                make_account(store, email, credits=OPENING, password_hash=HASH)
            for email in self.operators:
                make_account(store, email, role="admin", password_hash=HASH)
            self.codes = [f"CODE-{self.run}-{place}" for place in range(2)]
            for code, uses in zip(self.codes, (1, 5), strict=True):
                codes.create(
                    store,
                    code,
                    credits_each=15,
                    max_uses=uses,
                    expires_at=NOW + timedelta(days=900),
                    created_by=self.operators[0],
                    limit=LIMIT,
                    now=NOW,
                )

        def now(self):
            self.clock += timedelta(seconds=1)
            return self.clock

        def tell(self, fact):
            self.told[fact.payment_id].append(fact)
            payments.record_fact(store, fact, now=self.now())

        def moment(self, lag):
            return int(self.clock.timestamp()) - lag

        def as_operator(self, place, act):
            """What `act` did, None if it was refused; one who is no operator any more does nothing at all."""
            stands = store.get_account(self.operators[place]).is_admin
            try:
                done = act(self.operators[place])
            except DomainError:
                return None
            assert stands, "somebody who is no operator moved something"
            return done

        # Payments

        @rule(target=payments, who=who, presented=st.sampled_from([{}, {"eur": 860}]), before=MONEY_BACK)
        def pay(self, who, presented, before):
            """What went back of it may be told before it."""
            number = f"{self.run}_{next(numbers)}"
            self.tell_of_money_back(number, before[:2])
            self.tell(paid(number, email=self.emails[who], charged=presented))
            self.tell_of_money_back(number, before[2:])
            return number

        @rule(target=parked_ones, who=who)
        def pay_oddly(self, who):
            number = f"{self.run}_{next(numbers)}"
            fields = {"credits": 0, "currency": "idr", "total_cents": 1000, "parked_reason": "paid in idr, not in usd"}
            self.tell(paid(number, email=self.emails[who], **fields))
            return number

        @rule(payment=payments, again=st.booleans())
        def deliver_again(self, payment, again):
            for fact in self.told[f"pi_{payment}"][:: 1 if again else -1][:2]:
                payments.record_fact(store, fact, now=self.now())

        @rule(payment=st.one_of(payments, parked_ones), words=MONEY_BACK)
        def money_goes_back(self, payment, words):
            self.tell_of_money_back(payment, words)

        def tell_of_money_back(self, payment, words):
            """Refunds, sums and disputes of one payment, each as old as it says."""
            now = int(self.clock.timestamp())
            for make, lag in words:
                self.tell(make(f"pi_{payment}", now - lag))

        # Operators

        @rule(target=proposals, payment=parked_ones, op=who, who=who, credits=st.sampled_from([1, 70, 650, 1000, 5000]))
        def credit(self, payment, op, who, credits):
            done = self.as_operator(
                op,
                lambda operator: parked.credit(
                    store,
                    f"pi_{payment}",
                    email=self.emails[who],
                    credits=credits,
                    reason="Paid in rupiah",
                    actor=operator,
                    limit=LIMIT,
                    now=self.now(),
                ),
            )
            if isinstance(done, Adjustment):
                return done
            if done is not None:
                self.granted[f"pi_{payment}"] = credits, self.emails[who]
            return None

        @rule(payment=parked_ones, op=who, act=st.sampled_from(["dismiss", "refund", "refund at a bad moment"]))
        def decide(self, payment, op, act):
            about = {"reason": "As asked", "actor": self.operators[op], "now": self.now()}
            with suppress(DomainError):
                if act == "dismiss":
                    parked.dismiss(store, f"pi_{payment}", **about)
                else:
                    parked.refund(store, FakeStripe(down=act != "refund"), f"pi_{payment}", **about)

        @rule(
            target=proposals, op=who, who=who, amount=st.sampled_from([-400, -30, 5, 120, 4000]), key=st.integers(1, 4)
        )
        def correct(self, op, who, amount, key):
            email = self.emails[who]
            rows = len(list(store.entries_of(email)))
            done = self.as_operator(
                op,
                lambda operator: customers.adjust(
                    store,
                    operator,
                    email,
                    amount,
                    "A correction",
                    request_id=f"{self.run}-{who}-{amount}-{key}",
                    limit=LIMIT,
                    now=self.now(),
                ),
            )
            if isinstance(done, Adjustment):
                return done
            if isinstance(done, PostedEntry) and len(list(store.entries_of(email))) > rows:
                self.moved[email] += amount
            return None

        @rule(proposal=proposals, op=who, yes=st.booleans())
        def approve(self, proposal, op, yes):
            if proposal is None:
                return
            if not yes:
                with suppress(DomainError):
                    customers.decline(store, self.operators[op], proposal.adjustment_id, now=self.now())
                return
            proposer = store.get_account(proposal.proposed_by)
            done = self.as_operator(
                op, lambda operator: customers.approve(store, operator, proposal.adjustment_id, now=self.now())
            )
            if done is None:
                return
            assert proposer.is_admin
            assert proposal.proposed_by != self.operators[op]
            if isinstance(done, PostedEntry):
                self.moved[proposal.user_email] += proposal.amount
            else:
                self.granted[proposal.terms["payment_id"]] = proposal.amount, proposal.user_email

        @rule(op=who, promoted=st.booleans())
        def promote_or_demote(self, op, promoted):
            act = operators.grant if promoted else operators.revoke
            act(store, self.operators[op], actor="command line", now=self.now())

        # Codes

        @rule(who=who, code=who)
        def redeem(self, who, code):
            with suppress(DomainError):  # had already, used up, switched off, or the account is deleted
                self.moved[self.emails[who]] += codes.redeem(
                    store, store.get_account(self.emails[who]), self.codes[code], now=self.now()
                )

        @rule(code=who, op=who)
        def switch_off(self, code, op):
            with suppress(DomainError):
                codes.disable(store, self.codes[code], actor=self.operators[op], reason="Leaked", now=self.now())

        # Tasks

        @rule(target=tasks, who=who, key=st.integers(1, 6))
        def submit(self, who, key):
            email, request = self.emails[who], f"{self.run}-{key}"
            account = store.get_account(email)
            try:
                done = tasks.submit(store, account, f"Task {key}", now=self.now(), request_id=request)
            except InsufficientCredits:
                assert account.credits_balance < 10
                return None
            except DomainError:
                assert account.deleted_at
                return None
            self.count_spent(email, [done.task])
            return done.task.task_id, who

        @rule(who=who, count=st.integers(1, 3), key=st.integers(1, 3))
        def submit_batch(self, who, count, key):
            email = self.emails[who]
            account = store.get_account(email)
            texts = [f"Line {place}" for place in range(count)]
            try:
                done, _ = tasks.submit_batch(
                    store, account, texts, now=self.now(), request_id=f"b{self.run}-{key}-{count}"
                )
            except InsufficientCredits:
                assert account.credits_balance < 10 * count
                return
            except DomainError:
                assert account.deleted_at
                return
            self.count_spent(email, done)

        def count_spent(self, email, done):
            for task in done:
                if task.task_id not in self.charged:
                    self.charged.add(task.task_id)
                    self.moved[email] -= task.credits_spent

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
            was_open = store.find_task(task_id).is_open
            with suppress(DomainError):  # not in this state: the books say whether anything moved
                acts[act]()
                if act in ("cancel", "reject") and was_open:
                    self.moved[self.emails[who]] += store.find_task(task_id).credits_spent

        # Lives of an account

        @rule(who=who)
        def delete(self, who):
            account = store.get_account(self.emails[who])
            with suppress(DomainError):  # tasks are open, or it is gone already
                accounts.delete(store, BCRYPT, account, PASSWORD, now=self.now())

        @rule(who=who)
        def come_back(self, who):
            """Who proves the mailbox again has the account again, with what is left on it."""
            email = self.emails[who]
            if store.get_account(email).deleted_at is None:
                return
            self.clock += timedelta(days=3)  # links are mailed with pauses between them
            with suppress(AccountExists):
                accounts.sign_up(store, BCRYPT, email, PASSWORD, now=self.now(), kind="browser")
            url = LINKS.url(store.get_account(email), SET_PASSWORD)
            accounts.set_password(
                store, BCRYPT, LINKS, url.rpartition("/")[2], PASSWORD, purpose=SET_PASSWORD, now=self.now()
            )
            assert store.get_account(email).deleted_at is None

        # What must hold

        def expected_of_payments(self):
            """Credits by account, from the words alone, in an order that is not the one in which they came."""
            owed = dict.fromkeys(self.emails, 0)
            for payment_id, facts in self.told.items():
                expected = PaymentRecord(payment_id)
                for fact in sorted(facts, key=repr, reverse=True):
                    expected = merge(expected, fact)
                stands = store.find_payment(payment_id)
                for name in ("refunds", "disputes", "charge_refunded", "charged"):
                    assert getattr(stands, name) == getattr(expected, name)
                by_hand, email = self.granted.get(payment_id, (0, stands.payer_email))
                assert stands.granted == (expected.granted or by_hand)
                if stands.granted:
                    assert stands.applied == target(stands)
                    owed[email] += stands.applied
            return owed

        def teardown(self):
            if not hasattr(self, "emails"):
                return
            owed = self.expected_of_payments()
            for email in self.emails:
                rows = list(store.entries_of(email))
                account = store.get_account(email)
                assert account.credits_balance == rows[0].balance_after == sum(row.amount for row in rows)
                assert [row.sequence for row in rows] == list(range(len(rows), 0, -1))
                assert account.credits_balance == self.moved[email] + owed[email]

    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert books.check(store) == []
