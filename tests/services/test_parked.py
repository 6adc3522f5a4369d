"""Parked payments: each decided once, with a reason, by one operator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.data.payments import PaymentWrites
from app.domain.errors import InvalidInput, NotFound, PaymentsUnavailable, WrongState
from app.domain.payments import RefundFact
from app.gateways.stripe import PaymentRefused
from app.services import parked
from tests.services.test_payments import paid, record
from tests.support import NOW, all_mails, in_another_worker, ledger, make_operators

WHO = {"reason": "the buyer wrote to us", "actor": "op@example.com", "now": NOW}
CREDIT = WHO | {"limit": 5000}


@pytest.fixture
def payment(store) -> str:
    make_operators(store)
    record(store, paid(parked_reason="paid in idr, not in usd", currency="idr", credits=0, email=None))
    return "pi_1"


class Stripe:
    def __init__(self, fails=0):
        self.fails, self.refunds = fails, []

    def refund(self, payment_intent, amount_cents, idempotency_key):
        if self.fails:
            self.fails -= 1
            raise PaymentsUnavailable
        self.refunds.append((payment_intent, amount_cents, idempotency_key))
        return {"id": "re_1", "status": "succeeded"}


def test_crediting_grants_once_and_closes_the_payment(store, payment):
    parked.credit(store, payment, email="Ada@example.com", credits=650, **CREDIT)

    assert store.accounts.get("ada@example.com").credits_balance == 650
    assert store.payments.list_parked(limit=10).items == []
    assert [row.action for row in store.audit.page_of(payment, limit=5).items] == ["payment.credit"]
    assert [mail.kind for mail in all_mails(store)] == ["welcome"]
    with pytest.raises(WrongState):
        parked.credit(store, payment, email="ada@example.com", credits=650, **CREDIT)


def test_crediting_leaves_out_what_was_refunded(store, payment):
    record(store, RefundFact(payment, "re_1", 500, "succeeded"))

    parked.credit(store, payment, email="ada@example.com", credits=600, **CREDIT)

    assert store.accounts.get("ada@example.com").credits_balance == 300


@pytest.mark.parametrize(("currency", "granted"), [("idr", 300), ("usd", 0)])
def test_crediting_leaves_out_the_share_that_was_refunded_in_its_own_currency(store, payment, currency, granted):
    """Of a refund in another one nobody knows the share: then it is all."""
    record(store, RefundFact(payment, "re_1", 500, "succeeded", currency=currency))

    parked.credit(store, payment, email="ada@example.com", credits=600, **CREDIT)

    assert store.accounts.get("ada@example.com").credits_balance == granted


def test_mails_and_ledger_name_the_currency_that_was_paid(store, payment):
    parked.credit(store, payment, email="ada@example.com", credits=600, **CREDIT)
    record(store, RefundFact(payment, "re_1", 500, "succeeded", currency="idr"))

    assert {mail.context["currency"] for mail in all_mails(store)} == {"idr"}
    assert [entry.description for entry in ledger(store, "ada@example.com")] == [
        "Bought 600 credits for 10.00 IDR",
        "Taken back: a payment of 10.00 IDR was refunded",
    ]


def test_one_operator_wins_when_several_decide_at_once(store, payment):
    def decide(number: int) -> bool:
        try:
            if number % 2:
                parked.dismiss(store, payment, **WHO)
            else:
                parked.credit(store, payment, email=f"a{number}@example.com", credits=100, **CREDIT)
        except WrongState:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(decide, range(8))) == 1

    assert len(store.audit.page_of(payment, limit=20).items) == 1


def test_a_refund_goes_on_where_it_stopped_when_stripe_was_down(store, payment):
    stripe = Stripe(fails=1)
    with pytest.raises(PaymentsUnavailable):
        parked.refund(store, stripe, payment, **WHO)
    assert store.payments.find(payment).is_parked

    parked.refund(store, stripe, payment, **WHO)

    assert stripe.refunds == [("pi_1", None, "parked-refund-pi_1")]
    assert store.payments.find(payment).resolution == "refunded"


def test_nothing_is_granted_when_the_event_comes_again_after_a_dismissal(store, payment):
    parked.dismiss(store, payment, **WHO)

    record(store, paid())

    assert [account.email for account in store.accounts.every()] == ["op@example.com"]
    assert ledger(store, "ada@example.com") == []


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_decision_needs_a_reason(store, payment, reason):
    with pytest.raises(InvalidInput):
        parked.dismiss(store, payment, reason=reason, actor="op@example.com", now=NOW)


def test_a_payment_that_is_not_parked_cannot_be_decided(store):
    record(store, paid())

    with pytest.raises(WrongState):
        parked.dismiss(store, "pi_1", **WHO)
    with pytest.raises(NotFound):
        parked.dismiss(store, "pi_none", **WHO)


def test_a_payment_whose_refund_was_begun_cannot_be_credited(store, payment):
    with pytest.raises(PaymentsUnavailable):
        parked.refund(store, Stripe(fails=1), payment, **WHO)

    with pytest.raises(WrongState):
        parked.credit(store, payment, email="ada@example.com", credits=650, **CREDIT)


def test_a_refund_that_stripe_has_made_already_is_finished(store, payment):
    class Refunded(Stripe):
        def refund(self, *_):
            raise PaymentRefused("Charge has already been refunded.", "charge_already_refunded")

    parked.refund(store, Refunded(), payment, **WHO)

    assert store.payments.find(payment).resolution == "refunded"


@pytest.mark.parametrize("act", ["dismiss", "credit"])
def test_nothing_else_is_decided_between_the_intent_of_a_refund_and_stripes_answer(store, payment, act):
    """Another operator decides while the call is under way."""
    refused = []
    decide = {
        "dismiss": lambda: parked.dismiss(store, payment, **WHO),
        "credit": lambda: parked.credit(store, payment, email="ada@example.com", credits=650, **CREDIT),
    }[act]

    class Meanwhile(Stripe):
        def refund(self, *args):
            with pytest.raises(WrongState, match="at Stripe") as refusal:
                decide()
            refused.append(refusal)
            return super().refund(*args)

    parked.refund(store, Meanwhile(), payment, **WHO)

    assert len(refused) == 1
    assert store.payments.find(payment).resolution == "refunded"
    assert {row.action for row in store.audit.page_of(payment, limit=9).items} == {"payment.refund", "payment.refunded"}


def test_a_dismissal_that_was_read_before_the_intent_loses(store, payment, monkeypatch):
    in_another_worker(monkeypatch)
    save = PaymentWrites.save

    def late(tx, before, after, now):
        monkeypatch.setattr(PaymentWrites, "save", save)
        with pytest.raises(PaymentsUnavailable):
            parked.refund(store, Stripe(fails=1), payment, **WHO)
        save(tx, before, after, now)

    monkeypatch.setattr(PaymentWrites, "save", late)

    with pytest.raises(WrongState, match="at Stripe"):
        parked.dismiss(store, payment, **WHO)

    assert store.payments.find(payment).resolution == "refunding"


def test_a_payment_can_be_decided_otherwise_when_stripe_has_refused_its_refund(store, payment):
    class No(Stripe):
        def refund(self, *_):
            raise PaymentRefused("Charge is disputed.", "charge_disputed")

    with pytest.raises(PaymentRefused):
        parked.refund(store, No(), payment, **WHO)
    assert store.payments.find(payment).is_parked

    parked.dismiss(store, payment, **WHO)

    actions = {row.action for row in store.audit.page_of(payment, limit=9).items}
    assert actions == {"payment.refund", "payment.refund_refused", "payment.dismiss"}


def test_a_refund_asked_for_twice_at_once_is_one_and_both_are_told_so(store, payment):
    class Twice(Stripe):
        def refund(self, *args):
            if not self.refunds:
                self.refunds.append(args)
                parked.refund(store, self, payment, **WHO)
            return {"id": "re_1", "status": "succeeded"}

    parked.refund(store, Twice(), payment, **WHO)

    assert store.payments.find(payment).resolution == "refunded"


def refund_of(refund_id: str, status: str, cents: int = 1000) -> dict:
    return {"id": refund_id, "object": "refund", "payment_intent": "pi_1", "amount": cents, "currency": "idr"} | {
        "status": status,
        "created": int(NOW.timestamp()),
    }


class Answers(Stripe):
    """Makes one refund for each key, and says of the first what it is told to."""

    def __init__(self, *statuses):
        super().__init__()
        self.statuses = statuses

    def refund(self, *args):
        super().refund(*args)
        keys = list(dict.fromkeys(key for _, _, key in self.refunds))
        number = keys.index(args[2])
        return refund_of(f"re_{number}", self.statuses[number])


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_refund_that_failed_at_once_is_no_refund(store, payment, status):
    with pytest.raises(PaymentRefused, match="has not gone back"):
        parked.refund(store, Answers(status), payment, **WHO)

    assert [found.payment_id for found in store.payments.list_parked(limit=9).items] == [payment]
    parked.credit(store, payment, email="ada@example.com", credits=650, **CREDIT)
    assert store.accounts.get("ada@example.com").credits_balance == 650


@pytest.mark.parametrize("told", ["pending", "succeeded"])
def test_a_payment_is_parked_again_when_its_refund_fails_days_later(store, payment, told):
    stripe = Answers(told, "succeeded")
    parked.refund(store, stripe, payment, **WHO)
    assert store.payments.list_parked(limit=9).items == []

    record(store, RefundFact(payment, "re_0", 1000, "failed", currency="idr", told=int(NOW.timestamp()) + 86400))

    assert [found.payment_id for found in store.payments.list_parked(limit=9).items] == [payment]
    parked.refund(store, stripe, payment, **WHO)
    assert store.payments.list_parked(limit=9).items == []
    assert len({key for _, _, key in stripe.refunds}) == 2  # under the first key Stripe would tell of the failed one


def test_a_payment_stays_refunded_when_one_of_its_refunds_failed_and_another_went_through(store, payment):
    parked.refund(store, Answers("pending"), payment, **WHO)

    for refund_id, status in (("re_other", "succeeded"), ("re_0", "failed")):
        record(store, RefundFact(payment, refund_id, 1000, status, currency="idr"))

    assert store.payments.list_parked(limit=9).items == []
