"""Refusals: what a program reads of one, and the sentence that a person reads."""

import pytest

from app.domain import errors
from app.domain.errors import DomainError, InsufficientCredits, InvalidInput, RateLimited
from tests.domain.conftest import is_sentence


def every_kind(kind: type[DomainError] = DomainError) -> list[type[DomainError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in every_kind(below))]


def test_every_refusal_has_a_code_for_programs_and_a_sentence_for_people():
    for kind in every_kind():
        if kind.__module__ == errors.__name__:
            assert is_sentence(kind.message), kind
            assert kind.code.replace("_", "").islower(), kind


def test_a_refusal_says_its_own_words_or_those_of_its_kind():
    assert (str(DomainError()), DomainError().message) == ("That is not possible.", "That is not possible.")
    assert (str(DomainError("Not today.")), DomainError("Not today.").message) == ("Not today.", "Not today.")
    assert DomainError().details() == {}


def test_the_field_to_mend_is_named_when_there_is_one():
    assert InvalidInput("Not so.", field="email").details() == {
        "field": "email",
        "errors": [{"field": "email", "error": "Not so."}],
    }
    assert InvalidInput("Not so.").details() == {}
    assert (InvalidInput("Not so.").message, InvalidInput().message) == ("Not so.", "Please check what you entered.")


@pytest.mark.parametrize(
    ("available", "words"),
    [
        (5, "You have 5 credits, a task costs 1,000. Nothing was charged."),
        (0, "You have 0 credits, a task costs 1,000. Nothing was charged."),
        (
            -2500,
            "Your balance is -2,500 credits, because a payment was refunded or disputed after its credits were spent. "
            "You can submit tasks again once it is above zero. Nothing was charged.",
        ),
    ],
)
def test_a_refused_spend_says_what_there_is_and_why(available, words):
    refusal = InsufficientCredits(required=1000, available=available)

    assert refusal.message == words
    assert refusal.details() == {"required": 1000, "available": available}


@pytest.mark.parametrize(
    ("seconds", "kept", "words"),
    [
        (-5, 1, "1 second"),
        (0, 1, "1 second"),
        (1, 1, "1 second"),
        (2, 2, "2 seconds"),
        (89, 89, "89 seconds"),
        (90, 90, "2 minutes"),
        (120, 120, "2 minutes"),
        (121, 121, "3 minutes"),
    ],
)
def test_a_throttle_says_when_to_come_back(seconds, kept, words):
    refusal = RateLimited(seconds)

    assert (refusal.retry_after_seconds, refusal.message) == (kept, f"Too many attempts. Try again in {words}.")
