"""Sales that are not ours: never credited, told once, and credited once when an operator names what sold them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from app.data.sales import SaleWrites
from app.domain.errors import Forbidden, InvalidInput, NotFound, PaymentsUnavailable, WrongState
from app.domain.payments import DisputeFact, RefundFact
from app.domain.proposals import Proposal
from app.domain.sales import ELSEWHERE, NEVER, OURS, Named
from app.services import books, customers, parked, payments, sales
from tests.services.test_books import Listed, reconcile, session
from tests.support import NOW, all_mails, event, ledger, make_account, make_operators, session_event

WHO = {"reason": "it sells credits", "actor": "op@example.com", "now": NOW}
LINK = "plink_book"


def line(product: str = "prod_book", price: str = "price_book", **more) -> dict:
    return {"description": "A book", "price": {"id": price, "product": product, "active": True} | more}


@pytest.fixture
def store(store):
    make_operators(store)
    return store


class Asked:
    """Stripe's answer to what a session sold; `down` for a while."""

    def __init__(self, *lines: dict, down: int = 0):
        self.lines, self.down, self.calls = list(lines), down, 0

    def __call__(self, session_id: str) -> dict:
        self.calls += 1
        if self.down:
            self.down -= 1
            raise PaymentsUnavailable
        return {"data": self.lines}


def book(number: int = 1, **fields) -> dict:
    fields = {"metadata": {}, "payment_link": LINK} | fields
    return session_event(f"reader{number}@example.com", session=f"cs_{number}", **fields)


def tell(store, told: dict, *, named: Named = payments.NOTHING_NAMED, asked: Asked | None = None):
    return payments.handle_event(store, told, livemode=False, now=NOW, named=named, lines_of=asked or Asked())


def release(store, source: str = LINK, **options):
    return payments.release(store, source, named=payments.NOTHING_NAMED, now=NOW, **options)


def name(store, source: str = LINK, *, actor: str = "op@example.com", limit: int = 50_000, now=NOW, **more):
    how = {"reason": "it sells credits", "actor": actor, "limit": limit, "now": now}
    return sales.name_for_good(store, source, **how | more)


def credits_of(store) -> int:
    return sum(entry.amount for entry in store.ledger.every())


@pytest.mark.threat(103)
def test_a_book_credits_nobody_and_is_kept_under_its_link(store):
    make_account(store, "reader1@example.com")

    tell(store, book())
    tell(store, book())

    assert store.accounts.get("reader1@example.com").credits_balance == 0
    assert all_mails(store) == []
    assert store.payments.list_parked(limit=10).items == []
    (record,) = store.payments.list_not_ours(LINK, limit=10).items
    assert (record.parked_reason, record.payer_email, record.credits_if_ours) == (
        "not ours",
        "reader1@example.com",
        1000,
    )
    assert [(sale.source, sale.decision) for sale in store.sales.every()] == [(LINK, None)]


@pytest.mark.threat(103)
def test_operators_are_told_once_a_link_however_often_it_sells(store, caplog):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: tell(store, book(number)), range(12)))

    assert len(store.payments.list_not_ours(LINK, limit=50).items) == 12
    assert len(store.sales.every()) == 1
    told = [line for line in caplog.records if line.getMessage() == "a sale that is not ours"]
    assert len(told) == 1
    assert not [line for line in caplog.records if line.getMessage() == "payment parked"]


def test_what_another_program_sells_with_prices_made_for_each_sale_is_one_entry(store):
    for number in range(3):
        made = line(f"prod_{number}", f"price_{number}", active=False)
        tell(store, book(number, payment_link=None), asked=Asked(made))

    assert [sale.source for sale in store.sales.every()] == [ELSEWHERE]
    with pytest.raises(InvalidInput):
        name(store, ELSEWHERE)


@pytest.mark.threat(103)
@pytest.mark.parametrize(
    "named",
    [Named(frozenset({LINK})), Named(prices=frozenset({"price_book"})), Named(products=frozenset({"prod_book"}))],
)
def test_what_settings_name_is_credited(store, named):
    tell(store, book(), named=named, asked=Asked(line()))

    assert store.accounts.get("reader1@example.com").credits_balance == 1000
    assert store.sales.every() == []


@pytest.mark.threat(103)
def test_a_book_sold_beside_credits_credits_nothing(store):
    named = Named(products=frozenset({"prod_credits"}))

    tell(store, book(payment_link=None), named=named, asked=Asked(line("prod_credits", "price_credits"), line()))

    assert credits_of(store) == 0
    assert [sale.source for sale in store.sales.every()] == ["prod_book"]


@pytest.mark.threat(103)
def test_development_credits_what_nobody_names_and_says_so(store, caplog):
    tell(store, book(), named=Named(unnamed_too=True))

    assert credits_of(store) == 1000
    assert "a payment that no setting names is credited" in [line.getMessage() for line in caplog.records]


@pytest.mark.threat(103)
def test_nothing_is_decided_while_stripe_does_not_say_what_was_sold(store):
    named, asked, told = Named(prices=frozenset({"price_book"})), Asked(line(), down=1), book(payment_link=None)
    told["created"] = int(NOW.timestamp())
    with pytest.raises(PaymentsUnavailable):
        tell(store, told, named=named, asked=asked)
    assert store.payments.find("pi_cs_1") is None

    tell(store, told, named=named, asked=asked)

    assert credits_of(store) == 1000


def test_after_an_hour_without_stripes_answer_it_waits_for_the_night(store):
    named, told = Named(prices=frozenset({"price_book"})), book(payment_link=None)
    told["created"] = int((NOW - timedelta(hours=2)).timestamp())

    tell(store, told, named=named, asked=Asked(down=9))
    assert credits_of(store) == 0
    reconcile(store, Listed([told["data"]["object"] | {"line_items": {"data": [line()]}}]), named=named)

    assert credits_of(store) == 1000


def test_stripe_is_asked_once_and_not_at_all_where_it_cannot_matter(store):
    asked = Asked(line())
    tell(store, session_event(), asked=asked)
    tell(store, book(7), named=Named(frozenset({LINK})), asked=asked)
    tell(store, book(8), named=Named(unnamed_too=True), asked=asked)
    assert asked.calls == 0

    for _ in range(3):
        tell(store, book(), asked=asked)
    assert asked.calls == 1
    sales.never(store, LINK, **WHO)
    tell(store, book(2), asked=asked)

    assert asked.calls == 1


@pytest.mark.threat(103)
def test_money_that_goes_back_for_a_book_takes_credits_from_nobody(store):
    make_account(store, "reader1@example.com", credits=500)
    tell(store, book())

    for fact in (RefundFact("pi_cs_1", "re_1", 1000, "succeeded"), DisputeFact("pi_cs_1", "dp_1", 1000, "lost")):
        payments.record_fact(store, fact, now=NOW)
    tell(store, event("charge.refunded", {"id": "ch_1", "payment_intent": "pi_elsewhere", "amount_refunded": 700}))

    assert store.accounts.get("reader1@example.com").credits_balance == 500
    assert store.payments.list_parked(limit=10).items == []
    assert len(store.payments.list_not_ours(LINK, limit=10).items) == 1
    assert books.check(store) == []


@pytest.mark.threat(103)
def test_old_sales_of_books_are_not_credited_by_reconciling(store):
    sold = [session(number, metadata={}, payment_link=LINK) for number in range(4)]
    refunds = [{"id": "re_1", "payment_intent": "pi_2", "amount": 400, "status": "succeeded"}]

    dry = reconcile(store, Listed(sold, refunds), dry_run=True)
    first = reconcile(store, Listed(sold, refunds))
    again = reconcile(store, Listed(sold, refunds))

    assert credits_of(store) == 0
    assert (dry.missing, first.missing, again.missing) == ([], [], [])
    assert (dry.not_ours, first.not_ours, again.not_ours) == ({LINK: 4}, {LINK: 4}, {LINK: 4})
    assert (first.parked, again.parked) == ([], [])


@pytest.mark.threat(103)
def test_naming_a_link_credits_what_waited_once_each(store):
    for number in range(3):
        tell(store, book(number))
    payments.record_fact(store, RefundFact("pi_cs_2", "re_1", 250, "succeeded"), now=NOW)

    name(store)
    first, again = release(store), release(store)
    for number in range(3):
        tell(store, book(number))
    tell(store, book(9))

    assert (first.payments, first.credits, again.credits) == (3, 2750, 0)
    assert credits_of(store) == 3750
    assert len(all_mails(store)) == 4
    assert store.payments.list_not_ours(LINK, limit=10).items == []
    (row,) = store.audit.page_of(LINK, limit=5).items
    assert (row.action, row.actor, row.after["decision"], row.after["amount"]) == (
        "sale.name",
        "op@example.com",
        OURS,
        2750,
    )
    assert books.check(store) == []


@pytest.mark.threat(103)
def test_each_is_credited_once_when_releases_deliveries_and_adoptions_race(store):
    for number in range(4):
        tell(store, book(number))
    name(store)

    def act(number: int) -> None:
        if number % 3 == 0:
            release(store)
        elif number % 3 == 1:
            tell(store, book(number % 4))
        else:
            with suppress(WrongState):
                parked.credit(store, "pi_cs_1", email="reader1@example.com", credits=1000, limit=5000, **WHO)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(9)))
    release(store)

    assert credits_of(store) == 4000
    assert len(ledger(store, "reader1@example.com")) == 1
    assert books.check(store) == []


def test_a_payment_that_arrives_while_its_link_is_named_is_credited(store, monkeypatch):
    """The operator decides between the webhook's reading and its writing."""
    keep = SaleWrites.keep

    def decide_first(tx, *details):
        monkeypatch.setattr(SaleWrites, "keep", keep)
        name(store)
        keep(tx, *details)

    tell(store, book(1))
    monkeypatch.setattr(SaleWrites, "keep", decide_first)
    tell(store, book(2))

    assert store.accounts.get("reader2@example.com").credits_balance == 1000


def test_nothing_is_credited_when_the_name_is_taken_back_meanwhile(store, monkeypatch):
    tell(store, book())
    name(store)
    require = SaleWrites.require

    def undo_first(tx, *details):
        monkeypatch.setattr(SaleWrites, "require", require)
        sales.undo(store, LINK, **WHO)
        require(tx, *details)

    monkeypatch.setattr(SaleWrites, "require", undo_first)

    assert release(store).credits == 0
    assert credits_of(store) == 0
    assert len(store.payments.list_not_ours(LINK, limit=5).items) == 1


def test_the_nightly_run_credits_what_was_named_since(store):
    for number in range(3):
        tell(store, book(number))
    name(store)
    assert release(store, limit=1).more

    result = reconcile(store, Listed())

    assert credits_of(store) == 3000
    assert [(what, moved) for _, what, moved in result.missing] == [("2 set aside", 2000)]


def test_never_is_quiet_for_good_and_can_be_undone(store):
    tell(store, book())
    sales.never(store, LINK, **WHO)
    tell(store, book(2))

    assert release(store).credits == credits_of(store) == 0
    assert store.sales.find(LINK).decision == NEVER
    with pytest.raises(WrongState):
        name(store)
    sales.undo(store, LINK, **WHO)
    name(store)
    release(store)

    assert credits_of(store) == 2000
    actions = [row.action for row in store.audit.page_of(LINK, limit=9).items]
    assert sorted(actions) == ["sale.name", "sale.never", "sale.undo"]


def test_one_operator_wins_when_two_decide_at_once(store):
    tell(store, book())

    def decide(verb) -> bool:
        try:
            verb(store, LINK)
        except WrongState:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(decide, [lambda *what: sales.never(*what, **WHO), name])) == 1
    assert len(store.audit.page_of(LINK, limit=5).items) == 1


def test_a_decision_needs_a_reason_and_a_sale(store):
    tell(store, book())

    with pytest.raises(InvalidInput):
        sales.never(store, LINK, reason=" ", actor="op@example.com", now=NOW)
    with pytest.raises(NotFound):
        sales.never(store, "plink_none", **WHO)


def test_an_operator_adopts_one_payment_and_the_link_stays_as_it_is(store):
    tell(store, book(1))
    tell(store, book(2))

    parked.credit(store, "pi_cs_1", email="reader1@example.com", credits=700, limit=5000, **WHO)
    tell(store, book(1))

    assert credits_of(store) == 700
    assert [record.payment_id for record in store.payments.list_not_ours(LINK, limit=5).items] == ["pi_cs_2"]


def test_a_payment_whose_refund_was_begun_is_not_credited_by_the_name(store):
    class Down:
        def refund(self, *_):
            raise PaymentsUnavailable

    tell(store, book())
    with pytest.raises(PaymentsUnavailable):
        parked.refund(store, Down(), "pi_cs_1", **WHO)
    name(store)

    assert release(store).credits == 0


def test_who_is_no_operator_any_more_decides_nothing(store):
    tell(store, book())
    store.updates.accounts.change(store.accounts.get("op@example.com"), role="customer")

    with pytest.raises(Forbidden):
        name(store)
    assert store.sales.find(LINK).decision is None


def test_an_operator_who_names_a_link_credits_nothing_to_himself(store):
    told = session_event("op@example.com", session="cs_own", metadata={}, payment_link=LINK)
    tell(store, told)
    tell(store, book())
    name(store)

    assert release(store).payments == 1
    assert store.accounts.get("op@example.com").credits_balance == 0


def test_an_operator_who_names_a_link_credits_nothing_to_himself_by_his_customers_number_either(store):
    """The payer's address is another one, but the customer at Stripe is the operator's."""
    store.updates.accounts.change(store.accounts.get("op@example.com"), stripe_customer_id="cus_op")
    tell(store, session_event("other@example.com", session="cs_own", metadata={}, payment_link=LINK, customer="cus_op"))
    name(store)

    assert release(store).payments == 0
    assert store.accounts.get("op@example.com").credits_balance == 0


def test_a_session_that_was_credited_under_another_payment_keeps_none_waiting_and_is_parked(store):
    tell(store, book(1, payment_intent="pi_other"), named=Named(payment_links=frozenset({LINK})))
    for number in range(3):
        tell(store, book(number))
    name(store)

    assert release(store).payments == 2
    assert credits_of(store) == 3000
    assert [record.payment_id for record in store.payments.list_parked(limit=5).items] == ["pi_cs_1"]
    assert books.check(store) == []


# More than one operator makes alone in a day

SECOND = "second@example.com"


@pytest.fixture
def waiting(store):
    """Three books, worth 2,750 credits; two operators."""
    make_operators(store, SECOND)
    make_account(store, "ada@example.com")
    for number in range(3):
        tell(store, book(number))
    payments.record_fact(store, RefundFact("pi_cs_2", "re_1", 250, "succeeded"), now=NOW)
    return store


def approve(store, wanted, operator: str = SECOND):
    return customers.approve(store, operator, wanted.adjustment_id, now=NOW)


def made_alone(store, operator: str = "op@example.com") -> int:
    return store.by_hand.find(operator).credits


@pytest.mark.threat(105)
def test_a_name_counts_with_what_its_operator_made_that_day(waiting):
    customers.adjust(
        waiting, "op@example.com", "ada@example.com", 100, "Gift", idempotency_key="r", limit=5000, now=NOW
    )

    assert name(waiting, limit=2850) is None

    assert made_alone(waiting) == 2850
    assert release(waiting).credits == 2750
    assert books.check(waiting) == []


@pytest.mark.threat(105)
def test_a_name_that_would_credit_more_than_one_makes_alone_waits_for_a_second_operator(waiting):
    customers.adjust(
        waiting, "op@example.com", "ada@example.com", 100, "Gift", idempotency_key="r", limit=5000, now=NOW
    )

    first, again = (name(waiting, limit=2849, idempotency_key="r-1") for _ in range(2))

    assert first == again
    assert (first.kind, first.amount, first.subject, first.user_email) == ("sale", 2750, LINK, "")
    assert waiting.sales.find(LINK).decision is None
    assert (release(waiting).credits, made_alone(waiting)) == (0, 100)
    with pytest.raises(Forbidden):
        approve(waiting, first, "op@example.com")
    for _ in range(2):  # sent again, because its answer never came, it changes nothing
        approve(waiting, first)
    assert [release(waiting).credits for _ in range(2)] == [2750, 0]
    sale = waiting.sales.find(LINK)
    assert (sale.decision, sale.decided_by, sale.approved_by) == (OURS, "op@example.com", SECOND)
    assert (made_alone(waiting), made_alone(waiting, SECOND)) == (100, 0)
    actions = {row.action: row.actor for row in waiting.audit.page_of(LINK, limit=9).items}
    assert actions == {"sale.propose": "op@example.com", "sale.name": SECOND}
    assert books.check(waiting) == []


@pytest.mark.threat(105)
def test_neither_of_two_who_named_a_link_is_credited_by_it(waiting):
    for number, operator in enumerate(("op@example.com", SECOND, "s.econd+x@example.com")):
        tell(waiting, session_event(operator, session=f"cs_own{number}", metadata={}, payment_link=LINK))

    approve(waiting, name(waiting, limit=0))

    assert release(waiting).payments == 3
    assert [waiting.accounts.get(operator).credits_balance for operator in ("op@example.com", SECOND)] == [0, 0]
    assert len(waiting.payments.list_not_ours(LINK, limit=9).items) == 3


@pytest.mark.threat(105)
def test_what_was_decided_or_whose_proposer_left_cannot_be_approved(waiting):
    make_operators(waiting, "third@example.com")
    by_one, by_leaver = name(waiting, limit=0), name(waiting, actor="third@example.com", limit=0)
    waiting.updates.accounts.change(waiting.accounts.get("third@example.com"), role="customer")
    with pytest.raises(WrongState):
        approve(waiting, by_leaver)
    sales.never(waiting, LINK, **WHO)

    with pytest.raises(WrongState):
        approve(waiting, by_one)

    assert waiting.sales.find(LINK).decision == NEVER
    customers.decline(waiting, SECOND, by_one.adjustment_id, now=NOW)
    assert credits_of(waiting) == 0


@pytest.mark.threat(105)
def test_names_and_adjustments_at_once_stay_within_the_day_of_one_operator(store):
    make_operators(store, SECOND)
    make_account(store, "ada@example.com")
    links = [f"plink_{number}" for number in range(4)]
    for number, link in enumerate(links):
        tell(store, book(number, payment_link=link))

    def act(number: int) -> object:
        if number % 2:
            how = {"idempotency_key": f"r-{number}", "limit": 2000, "now": NOW}
            return customers.adjust(store, "op@example.com", "ada@example.com", 1000, "Gift", **how).done
        return name(store, links[number // 2], limit=2000)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(act, range(8)))

    proposed = [one for one in done if isinstance(one, Proposal)]
    assert len(proposed) == 6
    assert made_alone(store) == 2000
    for link in links:
        release(store, link)
    assert credits_of(store) == 2000
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: approve(store, one), proposed))
    for link in links:
        release(store, link)
    assert credits_of(store) == 8000
    assert books.check(store) == []


@pytest.mark.threat(105)
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"amount": 6000}, "second operator"),
        ({"counted": []}, "count of what was made by hand"),
        ({"proposed_by": "op@example.com"}, "second operator"),
        (None, "operator of the name"),
    ],
)
def test_the_books_tell_of_a_name_by_nobodys_authority(waiting, row, words):
    with waiting.transaction() as tx:
        tx.sales.decide(waiting.sales.find(LINK), OURS, "op@example.com", NOW)
        if row is not None:
            about = {"amount": 10, "limit": 5000, "day": "2026-03-01", "counted": ["op@example.com"]} | row
            tx.audit.record(actor="op@example.com", action="sale.name", subject=LINK, now=NOW, reason="-", after=about)

    assert [words in difference.what for difference in books.check(waiting)] == [True]
