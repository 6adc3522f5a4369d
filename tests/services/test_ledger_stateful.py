"""The whole ledger, driven at random: whatever customers, Stripe and operators do in any order, the books agree.

An act may be met by another one between its look and its write, as it would be by another worker: which act and at
which moment is drawn with everything else, so that what is found is found again.

LEDGER_HISTORIES says how many histories are driven: 15 by default to keep the suite quick; 2000 before a release
(LEDGER_HISTORIES=2000 scripts/test tests/services/test_ledger_stateful.py). On 2026-11-29 two runs of 1000 side by side
passed in sixteen minutes on two cores that had the whole suite to run as well.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from app.data import transaction
from app.domain.codes import PromotionalCode
from app.domain.credits import PostedEntry
from app.domain.errors import AccountExists, DomainError, InsufficientCredits
from app.domain.payments import (
    ChargeRefundedFact,
    DisputeFact,
    Fact,
    PaymentRecord,
    RefundFact,
    SessionFact,
    merge,
    refunds_undone,
    target,
)
from app.domain.proposals import Proposal
from app.domain.tasks import CANCELLED, REJECTED
from app.services import accounts, books, codes, customers, operators, parked, payments, queue, tasks
from app.services.links import SET_PASSWORD, Links
from app.services.passwords import Passwords
from tests.domain import test_reversals as reversals
from tests.services.test_payments import paid
from tests.support import NOW, PASSWORD, FakeStripe, in_another_worker, make_account

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
person = st.integers(0, 3)  # customers and operators
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
DECISIONS = ["tell", "tell", "dismiss", "refund", "credit"]
RATES = {"usd": 1, "eur": 3, "idr": 163}  # whole, so that a story's amounts stay exact


@dataclass(frozen=True)
class Story:
    """All that Stripe tells of a payment of 1000 credits, in an order that is not that of time, and what is left of it.

    `left` comes from what happened, not from the rules under test.
    """

    facts: list[Fact]
    left: int


@st.composite
def stories(draw) -> Story:
    """Refunds told singly and by the charge's sum, and disputes whose amounts are lowered, each in a currency."""
    refunds = draw(reversals.stories(same_second=True))
    words, held = draw(disputes_over_time())
    one = draw(st.sampled_from(sorted(RATES)))  # a charge and its refunds are told in one
    told = [in_currency(fact, one) for fact in (*refunds.singles, *refunds.sums)]
    return Story(draw(st.permutations([*told, *words, paid()])), max(0, refunds.credits - held))


@st.composite
def disputes_over_time(draw) -> tuple[list[DisputeFact], int]:
    """Words about up to two disputes, and how many cents they hold in the end."""
    words, holds = [], 0
    for number in range(draw(st.integers(0, 2))):
        cents, told, currency = draw(st.integers(1, 1000)), 100, draw(st.sampled_from(sorted(RATES)))
        for status in ["needs_response"] * draw(st.integers(1, 2)) + ["under_review"] * draw(st.integers(0, 1)):
            cents, told = draw(st.integers(1, cents)), told + draw(st.integers(0, 2))
            words.append(in_currency(reversals.dispute(cents, status, of=f"dp_{number}", told=told), currency))
        end = draw(st.sampled_from([None, "won", "lost"]))
        if end:
            words.append(in_currency(reversals.dispute(cents, end, of=f"dp_{number}", told=told + 1), currency))
        holds += 0 if end == "won" else cents
    return words, holds


def in_currency(fact: Fact, currency: str) -> Fact:
    """A word about a payment of 1000 cents in usd, as it would be told in another currency."""
    rate = RATES[currency]
    return replace(fact, cents=fact.cents * rate, currency=currency, charged={currency: 1000 * rate})


def met_by_others(monkeypatch) -> dict[str, Callable[[], object]]:
    """What is put into it under "next" is done once, after the next act has read and before it writes.

    The attempts of one process take no turns here: the other act stands for another worker's.
    """
    coming: dict[str, Callable[[], object]] = {}
    commit = transaction.Writes.commit

    def late(writes: transaction.Writes) -> None:
        coming.pop("next", lambda: None)()
        commit(writes)

    monkeypatch.setattr(transaction.Writes, "commit", late)
    in_another_worker(monkeypatch)
    return coming


@pytest.mark.threat(4)
@pytest.mark.threat(32)
@pytest.mark.long
def test_the_books_agree_whatever_happens(empty_store, monkeypatch):
    store = empty_store
    coming = met_by_others(monkeypatch)

    class Ledger(RuleBasedStateMachine):
        """Each run has its own accounts in one store, so that the books of all runs are checked together.

        `moved` is what the run itself counts of all that is no payment; of payments it keeps the words that were told.
        Of an act that was met by another the rules look afterwards: what stands then stood as it was booked.
        """

        payments = Bundle("payments")
        parked_ones = Bundle("parked_ones")
        story_ones = Bundle("story_ones")
        tasks = Bundle("tasks")
        proposals = Bundle("proposals")

        @initialize()
        def open_accounts(self):
            self.run = next(numbers)
            self.clock = NOW
            self.emails = [f"r{self.run}-{name}@example.com" for name in CUSTOMERS]
            self.operators = [f"r{self.run}-{name}@example.com" for name in OPERATORS]
            self.moved = dict.fromkeys(self.emails, OPENING)
            self.people = self.emails + self.operators
            self.charged, self.given_back, self.adjusted, self.answered = set(), set(), set(), set()
            self.told = defaultdict(list)
            self.untold, self.left = {}, {}  # of payments with a story
            self.approved = set()
            self.granted, self.decided = {}, set()  # payments credited by hand, and all that operators decided
            self.codes, self.off, self.redeemed = {}, set(), Counter()
            coming.clear()
            for email in self.emails:
                make_account(store, email, credits=OPENING, password_hash=HASH)
            for email in self.operators:
                make_account(store, email, role="admin", password_hash=HASH)
            self.make_code(op=0, credits=15, uses=1)
            self.make_code(op=0, credits=15, uses=5)

        def now(self):
            self.clock += timedelta(seconds=1)
            return self.clock

        def tell(self, fact):
            self.told[fact.payment_id].append(fact)
            payments.record_fact(store, fact, now=self.now())

        def as_operator(self, place, act):
            """What `act` did, None if it was refused; one who is no operator any more gets first answers alone."""
            try:
                done = act(self.operators[place])
            except DomainError:
                return None
            answer = getattr(done, "transaction_id", None) or getattr(done, "adjustment_id", None)
            if answer is None or answer not in self.answered:
                assert store.accounts.get(self.operators[place]).is_operator, (
                    "somebody who is no operator moved something"
                )
            self.answered.add(answer)
            return done

        @rule(
            act=st.sampled_from(["delete", "delete and come back", "demote", "promote", "redeem", "switch off"]),
            person=person,
            code=st.integers(0, 9),
        )
        def meanwhile(self, act, person, code):
            """The next act is met by this one."""
            acts = {
                "delete": lambda: self.delete(person),
                "delete and come back": lambda: (self.delete(person), self.come_back(person)),
                "demote": lambda: self.promote_or_demote(person % 2, promoted=False),
                "promote": lambda: self.promote_or_demote(person % 2, promoted=True),
                "redeem": lambda: self.redeem(person % 2, code),
                "switch off": lambda: self.switch_off(code, person % 2),
            }
            coming["next"] = acts[act]

        @rule(act=st.sampled_from(["submit", "adjust"]), who=who, key=st.integers(1, 4))
        def meanwhile_spent(self, act, who, key):
            acts = {
                "submit": lambda: self.submit(who, key),
                "adjust": lambda: self.adjust(op=key % 2, who=who, amount=-30, key=key),
            }
            coming["next"] = acts[act]

        @rule(payment=st.one_of(payments, parked_ones), words=MONEY_BACK, op=who, act=st.sampled_from(DECISIONS))
        def meanwhile_told(self, payment, words, op, act):
            acts = {
                "tell": lambda: self.tell_of_money_back(payment, words),
                "dismiss": lambda: self.decide(payment, op, "dismiss"),
                "refund": lambda: self.decide(payment, op, "refund"),
                "credit": lambda: self.credit(payment, op=op, who=op, credits=70),
            }
            coming["next"] = acts[act]

        @rule(task=tasks, act=st.sampled_from(["cancel", "claim", "complete", "reject"]))
        def meanwhile_worked(self, task, act):
            coming["next"] = lambda: self.work(task, act)

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

        @rule(target=story_ones, who=who, story=stories())
        def pay_with_a_story(self, who, story):
            """Of what Stripe tells of it, some comes now, some later, and all in the end."""
            number = f"{self.run}_{next(numbers)}"
            about = {"session_id": f"cs_{number}", "payment_intent": f"pi_{number}", "email": self.emails[who]}
            facts = [replace(fact, payment_id=f"pi_{number}") for fact in story.facts]
            facts = [replace(fact, **about) if isinstance(fact, SessionFact) else fact for fact in facts]
            self.untold[number], self.left[f"pi_{number}"] = facts, story.left
            return number

        @rule(number=story_ones, count=st.integers(1, 5))
        def tell_more(self, number, count):
            self.untold[number], told = self.untold[number][count:], self.untold[number][:count]
            for fact in told:
                self.tell(fact)

        @rule(payment=st.one_of(payments, parked_ones, story_ones), again=st.booleans())
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

        @rule(
            target=proposals,
            payment=parked_ones,
            op=who,
            who=who,
            credits=st.sampled_from([1, 70, 650, 1000, 5000]),
            twice=st.booleans(),
        )
        def credit(self, payment, op, who, credits, twice=False):
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
            if isinstance(done, Proposal):
                return done
            if done is not None:
                self.count_granted(f"pi_{payment}", credits, self.emails[who])
            return self.credit(payment, op=1 - op, who=who, credits=80) if twice else multiple()

        def count_granted(self, payment_id, credits, email):
            reopened = refunds_undone(store.payments.find(payment_id))  # a refund that fails is no refund
            assert payment_id not in self.granted
            assert reopened or payment_id not in self.decided, "decided twice"
            self.decided.add(payment_id)
            self.granted[payment_id] = credits, email

        @rule(payment=parked_ones, op=who, act=st.sampled_from(["dismiss", "refund", "refund at a bad moment"]))
        def decide(self, payment, op, act):
            about = {"reason": "As asked", "actor": self.operators[op], "now": self.now()}
            with suppress(DomainError):
                if act == "dismiss":
                    parked.dismiss(store, f"pi_{payment}", **about)
                else:
                    parked.refund(store, FakeStripe(down=act != "refund"), f"pi_{payment}", **about)
            if store.payments.find(f"pi_{payment}").resolution:  # whether Stripe has answered or not
                self.decided.add(f"pi_{payment}")

        @rule(
            target=proposals, op=who, who=who, amount=st.sampled_from([-400, -30, 5, 120, 4000]), key=st.integers(1, 4)
        )
        def adjust(self, op, who, amount, key):
            email = self.emails[who]
            done = self.as_operator(
                op,
                lambda operator: (
                    customers.adjust(
                        store,
                        operator,
                        email,
                        amount,
                        "An adjustment",
                        idempotency_key=f"{self.run}-{who}-{amount}-{key}",
                        limit=LIMIT,
                        now=self.now(),
                    ).done
                ),
            )
            if isinstance(done, Proposal):
                return done
            if isinstance(done, PostedEntry) and done.transaction_id not in self.adjusted:
                self.adjusted.add(done.transaction_id)
                self.moved[email] += amount
            return multiple()

        @rule(
            proposal=proposals,
            another=st.sampled_from([True, True, True, False]),
            yes=st.sampled_from([True, True, False]),
        )
        def approve(self, proposal, another, yes):
            op = self.operators.index(proposal.proposed_by) ^ another
            if not yes:
                with suppress(DomainError):
                    customers.decline(store, self.operators[op], proposal.adjustment_id, now=self.now())
                return
            if proposal.adjustment_id in self.approved:  # sent again it moves nothing, and who approved it is told so
                with suppress(DomainError):
                    customers.approve(store, self.operators[op], proposal.adjustment_id, now=self.now())
                return
            done = self.as_operator(
                op, lambda operator: customers.approve(store, operator, proposal.adjustment_id, now=self.now())
            )
            if done is None:
                return
            self.approved.add(proposal.adjustment_id)
            assert store.accounts.get(proposal.proposed_by).is_operator
            assert proposal.proposed_by != self.operators[op]
            if isinstance(done, PostedEntry):
                self.adjusted.add(done.transaction_id)
                self.moved[proposal.user_email] += proposal.amount
            elif isinstance(done, PromotionalCode):
                self.codes[done.code] = done.credits, done.max_uses
            else:
                self.count_granted(proposal.terms["payment_id"], proposal.amount, proposal.user_email)

        @rule(op=who, promoted=st.booleans())
        def promote_or_demote(self, op, promoted):
            act = operators.grant if promoted else operators.revoke
            with suppress(DomainError):  # the account is deleted
                act(store, self.operators[op], actor="command line", now=self.now())

        # Codes

        @rule(target=proposals, op=who, credits=st.sampled_from([15, 100]), uses=st.integers(1, 5))
        def make_code(self, op, credits, uses):
            name = f"CODE-{self.run}-{next(numbers)}"
            about = {"credits_each": credits, "max_uses": uses, "expires_at": NOW + timedelta(days=900)}
            done = self.as_operator(
                op,
                lambda operator: codes.create(
                    store, name, created_by=operator, limit=LIMIT, now=self.now(), idempotency_key=name, **about
                ),
            )
            if isinstance(done, Proposal):
                return done
            if done is not None:
                self.codes[name] = credits, uses
            return multiple()

        def code_at(self, place):
            return sorted(self.codes)[place % len(self.codes)]

        @rule(who=who, code=st.integers(0, 9))
        def redeem(self, who, code):
            name, email = self.code_at(code), self.emails[who]
            try:  # had already, used up, switched off, or the account is deleted
                added = codes.redeem(store, store.accounts.get(email), name, now=self.now()).credits
            except DomainError:
                return
            credits, uses = self.codes[name]
            assert (added, name in self.off) == (credits, False)
            self.redeemed[name, email] += 1
            assert self.redeemed[name, email] == 1
            assert sum(self.redeemed[name, other] for other in self.emails) <= uses
            self.moved[email] += credits

        @rule(code=st.integers(0, 9), op=who)
        def switch_off(self, code, op):
            name = self.code_at(code)
            with suppress(DomainError):
                codes.disable(store, name, actor=self.operators[op], reason="Leaked", now=self.now())
                self.off.add(name)

        # Tasks

        @rule(target=tasks, who=who, key=st.integers(1, 6))
        def submit(self, who, key):
            email, request = self.emails[who], f"{self.run}-{key}"
            account = store.accounts.get(email)
            try:
                done = tasks.submit(store, account, f"Task {key}", now=self.now(), idempotency_key=request)
            except InsufficientCredits:
                assert store.accounts.get(email).credits_balance < 10
                return multiple()
            except DomainError:
                assert account.deleted_at or self.has_ended(account)
                return multiple()
            self.count_spent(account, [done.task])
            return done.task.task_id, who

        @rule(who=who, count=st.integers(1, 3), key=st.integers(1, 3))
        def submit_batch(self, who, count, key):
            email = self.emails[who]
            account = store.accounts.get(email)
            texts = [f"Line {place}" for place in range(count)]
            try:
                done, _ = tasks.submit_batch(
                    store, account, texts, now=self.now(), idempotency_key=f"b{self.run}-{key}-{count}"
                )
            except InsufficientCredits:
                assert store.accounts.get(email).credits_balance < 10 * count
                return
            except DomainError:
                assert account.deleted_at or self.has_ended(account)
                return
            self.count_spent(account, done)

        def count_spent(self, account, done):
            for task in done:
                if task.task_id not in self.charged:
                    assert not self.has_ended(account), "who was signed out with the end of a life spent in the next"
                    self.charged.add(task.task_id)
                    self.moved[account.email] -= task.credits_spent

        def has_ended(self, account):
            return store.accounts.get(account.email).life != account.life

        @rule(task=tasks, act=st.sampled_from(["cancel", "claim", "release", "complete", "reject", "redo"]))
        def work(self, task, act):
            task_id, who = task
            account = store.accounts.get(self.emails[who])
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
            after = store.tasks.find(task_id)
            if after.status in (CANCELLED, REJECTED) and task_id not in self.given_back:
                self.given_back.add(task_id)
                self.moved[self.emails[who]] += after.credits_spent

        # Lives of an account

        @rule(place=person)
        def delete(self, place):
            account = store.accounts.get(self.people[place])
            try:  # tasks are open, or it is gone already
                accounts.delete(store, BCRYPT, account, PASSWORD, now=self.now())
            except DomainError:
                return
            after = store.accounts.get(account.email)
            assert after.deleted_at or self.has_ended(account)
            still_open = [task for task in store.tasks.every_of(account.email) if task.is_open]
            assert still_open == [], "deleted over open tasks"

        @rule(place=person)
        def come_back(self, place):
            """Who proves the mailbox again has the account again, with what is left on it."""
            coming.clear()  # nobody else is at it
            email = self.people[place]
            if store.accounts.get(email).deleted_at is None:
                return
            self.clock += timedelta(days=3)  # links are mailed with pauses between them
            with suppress(AccountExists):
                accounts.sign_up(store, BCRYPT, email, PASSWORD, now=self.now(), kind="browser")
            url = LINKS.url(store.accounts.get(email), SET_PASSWORD)
            accounts.set_password(
                store, BCRYPT, LINKS, url.rpartition("/")[2], PASSWORD, purpose=SET_PASSWORD, now=self.now()
            )
            assert store.accounts.get(email).deleted_at is None

        # What must hold

        def expected_of_payments(self):
            """Credits by account, from the words alone, in an order that is not the one in which they came."""
            owed = dict.fromkeys(self.emails, 0)
            for payment_id, facts in self.told.items():
                expected = PaymentRecord(payment_id)
                for fact in sorted(facts, key=repr, reverse=True):
                    expected = merge(expected, fact)
                stands = store.payments.find(payment_id)
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
            coming.clear()
            for number in self.untold:
                self.tell_more(number, len(self.untold[number]))
            for payment_id, left in self.left.items():
                assert store.payments.find(payment_id).applied == left
            owed = self.expected_of_payments()
            for email in self.emails:
                rows = list(store.ledger.every_of(email))
                account = store.accounts.get(email)
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
