"""Ours or not: what may be credited of what one Stripe account sells."""

from __future__ import annotations

import pytest

from app.domain.payments import PaymentRecord, as_ours, fact_of_event, merge
from app.domain.sales import (
    ELSEWHERE,
    GUEST,
    MARK,
    NEVER,
    OURS,
    Line,
    Named,
    Origin,
    Sale,
    judge,
    label_of,
    lines_of,
    opened_here,
    origin_of,
)
from tests.support import NOW, event, session_event

SOLD = {"credits": "1000", "price_cents": "1000"}


def said(source: str, decision: str | None) -> dict[str, Sale]:
    return {source: Sale(source, NOW, decision=decision)}


@pytest.mark.threat(103)
@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ({"sold_by": MARK, "buyer": GUEST, **SOLD}, True),
        ({"sold_by": MARK, "account_id": "acc_1", **SOLD}, True),
        ({"account_id": "acc_1", **SOLD}, True),  # opened before sessions were marked
        ({}, False),
        ({"account_id": "acc_1"}, False),  # what another program may well write
        ({"account_id": "acc_1", "credits": "1000"}, False),
        (SOLD, False),
        ({"sold_by": "a bookshop", "buyer": GUEST, **SOLD}, False),
        ({"sold_by": MARK}, False),
    ],
)
def test_a_session_is_ours_only_by_metadata_that_we_write(metadata, ours):
    assert opened_here(metadata) is ours


@pytest.mark.threat(103)
@pytest.mark.parametrize(
    ("origin", "named", "decided", "source"),
    [
        (Origin("plink_a"), Named(), {}, "plink_a"),
        (Origin("plink_a"), Named(frozenset({"plink_a"})), {}, None),
        (Origin("plink_a"), Named(frozenset({"plink_b"}), unnamed_too=True), {}, "plink_a"),
        (Origin("plink_a"), Named(unnamed_too=True), {}, None),  # development, nothing named
        (Origin("plink_a"), Named(unnamed_too=True), said("plink_a", NEVER), "plink_a"),
        (Origin("plink_a"), Named(), said("plink_a", OURS), None),
        (Origin("plink_a"), Named(frozenset({"plink_a"})), said("plink_a", NEVER), None),  # settings have the last word
        (Origin(None, (Line("prod_a", "price_a"),)), Named(prices=frozenset({"price_a"})), {}, None),
        (Origin(None, (Line("prod_a", "price_a"),)), Named(products=frozenset({"prod_a"})), {}, None),
        (Origin("plink_a", (Line("prod_a", "price_a"),)), Named(products=frozenset({"prod_a"})), {}, None),
        (Origin("plink_a", (Line("prod_a", "p"),)), Named(products=frozenset({"prod_a"})), said("plink_a", NEVER),
         "plink_a"),
        (Origin(None, (Line("prod_a", "p"), Line("prod_b", "q"))), Named(products=frozenset({"prod_a"})), {}, "prod_b"),
        (Origin(None, (Line("prod_a", "p", standing=False),)), Named(), {}, ELSEWHERE),
        (Origin(None, ()), Named(products=frozenset({"prod_a"})), {}, ELSEWHERE),
        (Origin(None, None), Named(), {}, ELSEWHERE),
        (Origin(None, (Line("prod_a", "p"),)), Named(prices=frozenset({"p"})), said("prod_a", NEVER), None),
        (Origin(None, (Line("prod_a", "q"),)), Named(prices=frozenset({"p"})), said("prod_a", NEVER), "prod_a"),
        (Origin(None, (Line("prod_a", "p"), Line("prod_a", "q"))), Named(prices=frozenset({"p"})),
         said("prod_a", NEVER), "prod_a"),
        (Origin("plink_a", (Line("prod_a", "p"),)), Named(prices=frozenset({"p"})), said("plink_a", NEVER), "plink_a"),
        (Origin(None, (Line("", "", standing=False),)), Named(products=frozenset({"prod_a"})), {}, ELSEWHERE),
        (Origin(None, (Line("", "price_a"),)), Named(), {}, "price_a"),
    ],
)  # fmt: skip
def test_a_sale_is_ours_when_everything_it_sold_is_named(origin, named, decided, source):
    assert judge(origin, named, decided).source == source


@pytest.mark.parametrize(
    ("named", "blindly"), [(Named(unnamed_too=True), True), (Named(frozenset({"plink_a"})), False)]
)
def test_what_nobody_named_is_known_to_be_credited_blindly(named, blindly):
    assert judge(Origin("plink_a"), named, {}).blindly is blindly


@pytest.mark.parametrize(
    ("session", "origin"),
    [
        ({}, Origin()),
        ({"payment_link": "plink_a", "line_items": None}, Origin("plink_a")),
        ({"payment_link": {"id": "plink_a"}}, Origin("plink_a")),
        ({"payment_link": {"url": "https://buy.stripe.com/a"}}, Origin()),
        ({"line_items": {"data": []}}, Origin(None, ())),
        (
            {"payment_link": "plink_a", "line_items": {"data": [{"price": {"id": "price_a", "product": "prod_a"}}]}},
            Origin("plink_a", (Line("prod_a", "price_a"),)),
        ),
        # an id has to fit into a key and an address
        ({"payment_link": "p"}, Origin("p")),
        ({"payment_link": "p" * 255}, Origin("p" * 255)),
        ({"payment_link": "p" * 256}, Origin()),
        ({"payment_link": ""}, Origin()),
        ({"payment_link": "plink_\N{SNOWMAN}"}, Origin()),
        ({"payment_link": "plink\n"}, Origin()),
        ({"payment_link": 7}, Origin()),
    ],
)
def test_a_session_says_where_it_came_from(session, origin):
    assert origin_of(session) == origin


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ({"price": {"id": "price_a", "product": "prod_a"}}, Line("prod_a", "price_a")),
        ({"price": {"id": "price_a", "product": {"id": "prod_a"}}, "description": "A book"},
         Line("prod_a", "price_a", label="A book")),
        ({"price": {"id": "price_a", "product": "prod_a", "active": True}}, Line("prod_a", "price_a")),
        ({"price": {"id": "price_a", "product": "prod_a", "active": False}}, Line("prod_a", "price_a", standing=False)),
        ({"price": {}, "description": "x" * 121}, Line("", "", label="x" * 120)),
        ({"price": {"id": "price_a"}, "description": 7}, Line("", "price_a")),
    ],
)  # fmt: skip
def test_a_line_says_what_it_sold(item, line):
    assert lines_of({"data": [item]}) == (line,)


def test_lines_that_cannot_be_read_are_named_by_nobody():
    lines = lines_of(
        {"data": [{"price": None}, "x", {"price": {"id": 3, "product": {"id": "prod_a"}}}], "has_more": True}
    )

    unreadable = Line("", "", standing=False)
    assert lines == (unreadable, unreadable, Line("prod_a", ""), unreadable)
    assert lines_of({}) == ()


def test_operators_know_a_sale_by_what_the_payer_saw():
    lines = (Line("prod_a", "p", label="A book"), Line("prod_b", "q"), Line("prod_c", "r", label="A pen"))

    assert label_of(Origin("plink_a", lines)) == "A book + A pen"
    assert label_of(Origin("plink_a")) == ""
    assert label_of(Origin(None, (Line("prod_a", "p", label="x" * 120), *lines))) == "x" * 120


def test_who_decided_on_a_sale_is_one_or_two():
    assert Sale("plink_a", NOW).deciders == ()
    assert Sale("plink_a", NOW, decided_by="op").deciders == ("op",)
    assert Sale("plink_a", NOW, decided_by="op", approved_by="two").deciders == ("op", "two")


def test_what_has_no_name_of_its_own_cannot_be_named():
    assert Sale("plink_a", NOW).can_be_named
    assert not Sale(ELSEWHERE, NOW).can_be_named


@pytest.mark.threat(103)
def test_what_is_not_ours_keeps_all_that_crediting_it_needs():
    fact = fact_of_event(session_event(metadata={}, payment_link="plink_book", cents=2900), livemode=False)
    record = merge(PaymentRecord(fact.payment_id), fact)

    assert (record.granted, record.parked_reason, record.credits_if_ours) == (0, "not ours", 2900)
    assert record.is_parked
    assert (as_ours(record).granted, as_ours(record).is_parked) == (2900, False)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"currency": "eur"}, "paid in eur, not in usd"), ({"mode": "subscription"}, "not a one-time payment")],
)
def test_what_is_named_later_is_parked_when_it_could_not_be_credited(fields, reason):
    fact = fact_of_event(session_event(metadata={}, **fields), livemode=False)
    record = merge(PaymentRecord(fact.payment_id), fact)

    assert record.parked_reason == "not ours"
    assert (as_ours(record).granted, as_ours(record).parked_reason) == (0, reason)


def test_a_session_in_which_nothing_was_paid_is_no_payment():
    fields = {"mode": "setup", "amount_subtotal": None, "amount_total": None, "payment_status": "no_payment_required"}
    fact = fact_of_event(session_event(metadata={}, **fields), livemode=False)

    assert fact.state == "unpaid"
    assert not merge(PaymentRecord(fact.payment_id), fact).is_parked


def test_another_programs_account_id_names_no_account_of_ours():
    fact = fact_of_event(
        session_event(metadata={"account_id": "acc_1", "account_email": "victim@example.com"}), livemode=False
    )

    assert (fact.account_id, fact.account_email) == (None, None)


def test_other_events_of_the_same_stripe_account_say_nothing():
    kinds = ("payment_intent.succeeded", "invoice.paid", "customer.subscription.created", "charge.succeeded")

    assert [fact_of_event(event(kind, {"id": "x_1"}), livemode=False) for kind in kinds] == [None] * len(kinds)
