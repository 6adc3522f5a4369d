"""Amounts of money as text: each together with its currency, for an amount alone says nothing."""

from __future__ import annotations

# https://docs.stripe.com/currencies#zero-decimal and #three-decimal: how many digits Stripe's smallest unit stands for
NO_DECIMALS = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
)
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
MINUS = "\N{MINUS SIGN}"


def plain_amount(cents: int, currency: str) -> str:
    """For programs and spreadsheets: "1234.50", with the decimals of the currency and no separator."""
    return ("-" if cents < 0 else "") + _figure(cents, currency).replace(",", "")


def _figure(cents: int, currency: str) -> str:
    """Without its sign: "1,234.50", with the decimals of the currency."""
    code = currency.lower()
    places = 0 if code in NO_DECIMALS else 3 if code in THREE_DECIMALS else 2
    whole, rest = divmod(abs(cents), 10**places)
    return f"{whole:,}.{rest:0{places}d}" if places else f"{whole:,}"


def money(cents: int, currency: str) -> str:
    """1000 of "usd" reads "$10.00", 860 of "eur" "8.60 EUR", 860 of "jpy" "860 JPY"."""
    code = currency.lower()
    figure = _figure(cents, code)
    sign = MINUS if cents < 0 else ""
    if code == "usd":
        return f"{sign}${figure}"
    return f"{sign}{figure} {code.upper() or 'in an unknown currency'}"
