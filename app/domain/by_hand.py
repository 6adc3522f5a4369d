"""Value made by hand: who may make it, and how much one person makes alone in a day.

It counts whatever puts credits where neither Stripe nor a task's price has put them: an adjustment (what is added and
what is taken), a parked payment that is credited, a code as it is made (its credits times its uses), and a link or
product that is named as one of credits (what its payments that wait are worth). The moment is that at which one person
decides; switching a code off or taking a name back gives nothing back. A rejected or cancelled task returns what the
ledger says it cost, a redo is free work, a refund goes to Stripe: these make no credits and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from .accounts import Account
from .people import person_of

COMMAND_LINE = "command line"
CREDITS_A_UNIT = 2  # no currency's smallest unit buys more at par, bonus included: a euro cent, a yen, a fils


@dataclass(frozen=True, slots=True)
class Hand:
    """An operator, or the command line, with the credits that it has moved alone in the UTC day `day`."""

    name: str
    day: str = ""
    credits: int = 0
    in_good_standing: bool = True
    account: Account | None = None  # the row that holds the count; the command line has none

    def day_of(self, now: datetime) -> str:
        """A day never ends twice: a clock that is behind, or a request that took long, does not start it anew."""
        return max(self.day, now.date().isoformat())

    def with_amount(self, amount: int, now: datetime) -> Hand:
        """What comes and what goes adds up: a limit on the sum could be walked around by going back and forth."""
        day = self.day_of(now)
        return replace(self, day=day, credits=(self.credits if day == self.day else 0) + abs(amount))


def hand_of(account: Account) -> Hand:
    return Hand(account.email, account.by_hand_on, account.by_hand, is_in_good_standing(account), account)


def is_in_good_standing(account: Account) -> bool:
    """An operator who is to stand for value: still one, not disabled, not deleted, and with a confirmed address."""
    return account.is_operator and account.confirmed and not account.disabled and account.deleted_at is None


def is_person(name: str) -> bool:
    """Whether a name of the audit log is an account's; others, such as the command line's, are words."""
    return "@" in name


def hands_of(operator: str, *, on_command_line: bool = False) -> tuple[str, ...]:
    """Whose count an act goes to. All that a shell does shares one count, whatever name it gives; the name of an
    operator is counted as well."""
    if not is_person(operator):
        return (COMMAND_LINE,)
    return (operator, COMMAND_LINE) if on_command_line else (operator,)


def are_one(name: str, other: str) -> bool:
    """Whether two names are one person as far as their addresses tell."""
    return name == other or (is_person(name) and is_person(other) and person_of(name) == person_of(other))


def is_generous(credits: int, paid_units: int) -> bool:
    """Whether a payment is credited with more than it can have been worth. `paid_units` 0: nobody knows."""
    return paid_units > 0 and credits > CREDITS_A_UNIT * paid_units
