"""Amounts of money as a person reads them."""

from __future__ import annotations

import pytest

from app.domain.money import money


@pytest.mark.parametrize(
    ("cents", "currency", "text"),
    [
        (1000, "usd", "$10.00"),
        (123456789, "usd", "$1,234,567.89"),
        (5, "usd", "$0.05"),
        (0, "usd", "$0.00"),
        (-1, "usd", "\N{MINUS SIGN}$0.01"),
        (-123456, "USD", "\N{MINUS SIGN}$1,234.56"),
        (860, "eur", "8.60 EUR"),
        (-860, "Eur", "\N{MINUS SIGN}8.60 EUR"),
        (0, "eur", "0.00 EUR"),
        (1234, "jpy", "1,234 JPY"),
        (-5, "jpy", "\N{MINUS SIGN}5 JPY"),
        (1234567, "bhd", "1,234.567 BHD"),
        (7, "bhd", "0.007 BHD"),
        (1000, "", "10.00 in an unknown currency"),
    ],
)
def test_an_amount_is_told_with_its_currency(cents, currency, text):
    assert money(cents, currency) == text
