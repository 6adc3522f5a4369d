"""Test cards and test bank accounts: which pay, and what Stripe says of those that do not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

# A bank debit from an account whose number ends in this digit fails when it should settle.
FAILING_ACCOUNT_DIGIT = "7"


@dataclass(frozen=True, slots=True)
class Card:
    number: str
    effect: str
    brand: str = "visa"
    code: str | None = None  # set for a card that does not pay
    decline_code: str | None = None
    message: str = ""
    later: str | None = None  # what happens to the payment by itself afterwards


CARDS = {
    card.number: card
    for card in (
        Card("4242424242424242", "pays"),
        Card("5555555555554444", "pays (Mastercard)", brand="mastercard"),
        Card("378282246310005", "pays (American Express)", brand="amex"),
        Card(
            "4000000000000002",
            "is declined",
            code="card_declined",
            decline_code="generic_decline",
            message="Your card was declined.",
        ),
        Card(
            "4000000000009995",
            "has insufficient funds",
            code="card_declined",
            decline_code="insufficient_funds",
            message="Your card has insufficient funds. Try a different card.",
        ),
        Card("4000000000000069", "has expired", code="expired_card", message="Your card has expired."),
        Card(
            "4000000000000127",
            "has a wrong CVC",
            code="incorrect_cvc",
            message="Your card's security code is incorrect.",
        ),
        Card(
            "4000000000000119",
            "meets a processing error",
            code="processing_error",
            message="An error occurred while processing your card. Try again in a little bit.",
        ),
        Card("4000000000000259", "pays, then its owner disputes the payment", later="dispute"),
        Card("4000000000005126", "pays, and a refund to it fails later", later="refund_fails"),
        Card("4000000000007726", "pays, and a refund to it stays pending for a while", later="refund_pending"),
    )
}


class CardRefused(Exception):
    """A card that does not pay. `field` names the input to mend."""

    def __init__(self, message: str, code: str, decline_code: str | None = None, field: str = "card_number") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.decline_code = decline_code
        self.field = field


def digits(typed: str) -> str:
    return re.sub(r"[\s-]", "", typed)


def check_details(number: str, expiry: str, cvc: str) -> Card:
    """The test card, once its details are complete; says what is wrong in Stripe's words otherwise."""
    number = digits(number)
    if not number.isascii() or not number.isdecimal() or len(number) < 13:
        raise CardRefused("Your card number is incomplete.", "incomplete_number")
    if len(number) > 19 or not _luhn(number):
        raise CardRefused("Your card number is invalid.", "invalid_number")
    match = re.fullmatch(r"\s*([0-9]{1,2})\s*/?\s*([0-9]{2}|[0-9]{4})\s*", expiry)
    if not match or not 1 <= int(match[1]) <= 12:
        raise CardRefused("Your card's expiration date is incomplete.", "incomplete_expiry", field="expiry")
    today = datetime.now(UTC)
    year = int(match[2]) if len(match[2]) == 4 else 2000 + int(match[2])
    if (year, int(match[1])) < (today.year, today.month):
        raise CardRefused("Your card's expiration date is in the past.", "invalid_expiry_year_past", field="expiry")
    card = CARDS.get(number)
    if not re.fullmatch("[0-9]{4}" if card and card.brand == "amex" else "[0-9]{3,4}", cvc.strip()):
        raise CardRefused("Your card's security code is incomplete.", "incomplete_cvc", field="cvc")
    if card is None:
        raise CardRefused(
            "Your card was declined. Your request was in test mode, but used a non test card.",
            "card_declined",
            "test_mode_live_card",
        )
    return card


def check_account(number: str) -> str:
    """The account number, once it looks like one."""
    number = digits(number)
    if not re.fullmatch(r"[0-9]{4,17}", number):
        raise CardRefused("The account number must have 4 to 17 digits.", "account_number_invalid", field="account")
    return number


def _luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
