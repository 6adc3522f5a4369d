"""The doctor: what is credited, in sentences that name the setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import create_app
from app.services import payments, sales
from tests.support import NOW, FakeSender, make_operators, session_event

CATALOGUE = {
    "plink_credits": {"id": "plink_credits", "active": True, "currency": "usd"},
    "plink_old": {"id": "plink_old", "active": False, "currency": "usd"},
    "price_month": {"id": "price_month", "active": True, "currency": "usd", "recurring": {"interval": "month"}},
    "price_euro": {"id": "price_euro", "active": True, "currency": "eur"},
}


@pytest.fixture
def run(config, store, stripe):
    stripe.catalogue = CATALOGUE

    def doctor(**settings):
        app = create_app(replace(config, **settings), store=store, sender=FakeSender(), stripe=stripe)
        return app.test_cli_runner().invoke(args=["doctor"])

    return doctor


@pytest.mark.threat(103)
def test_development_with_nothing_named_is_warned(run):
    result = run()

    assert result.exit_code == 0
    assert "warning  CREDIT_PAYMENT_LINKS, CREDIT_PRICES and CREDIT_PRODUCTS name nothing" in result.output
    assert "In production none would be" in result.output


def test_a_link_that_stripe_knows_is_well(run):
    result = run(credit_payment_links=("plink_credits",))

    assert result.exit_code == 0
    assert "ok       CREDIT_PAYMENT_LINKS names plink_credits: what it sells is credited." in result.output


@pytest.mark.parametrize(
    ("setting", "item", "status", "words"),
    [
        ("credit_payment_links", "plink_none", 1, "CREDIT_PAYMENT_LINKS names plink_none, which Stripe does not know"),
        ("credit_payment_links", "plink_old", 0, "switched off at Stripe"),
        ("credit_prices", "price_month", 1, "CREDIT_PRICES names price_month, a subscription"),
        ("credit_prices", "price_euro", 1, "only usd is credited"),
        ("credit_products", "prod_none", 1, "CREDIT_PRODUCTS names prod_none"),
    ],
)
def test_what_cannot_be_credited_is_named(run, setting, item, status, words):
    result = run(**{setting: (item,)})

    assert result.exit_code == status
    assert words in result.output


def test_stripe_down_is_a_warning(run, stripe):
    stripe.down = True

    result = run(credit_payment_links=("plink_credits",))

    assert (result.exit_code, "Stripe did not say" in result.output) == (0, True)


def test_what_waits_for_an_operator_is_told(run, store):
    make_operators(store)
    for link in ("plink_a", "plink_b"):
        told = session_event(metadata={}, payment_link=link)
        payments.handle_event(store, told, livemode=False, now=NOW)
    sales.name_for_good(store, "plink_b", reason="ours", actor="op@example.com", limit=5000, now=NOW)

    result = run(credit_payment_links=("plink_credits",))

    assert "plink_a has sold something that is credited to nobody: decide at /admin/finance." in result.output
    assert "plink_b was named for good by an operator" in result.output
    assert "plink_b is named, and payments by it still wait" in result.output


def test_missing_tables_are_a_fault(run, store):
    assert run(table_prefix="x_").exit_code == 0, "the store that was handed in is looked at"
    store.client.delete_table(TableName=f"{store.prefix}Sales")

    result = run()

    assert result.exit_code == 1
    assert "FAULT    TABLE_PREFIX: table ImpacterAGI_Sales is missing" in result.output
