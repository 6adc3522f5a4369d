"""Corrections of a balance by hand: how much one operator may do alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .accounts import Account


def alone_today(account: Account, operator: str, amount: int, now: datetime) -> int:
    """Credits, either way, that `operator` has moved alone on this account in this UTC day, with `amount`.

    What comes and what goes adds up: a limit on the sum could be walked around by going back and forth.
    """
    return _today(account, now).get(operator, 0) + abs(amount)


def tally(account: Account, operator: str, amount: int, now: datetime) -> dict[str, Any]:
    """What the account's row keeps of it; it moves with the balance, so two corrections at once both count."""
    by_operator = {**_today(account, now), operator: alone_today(account, operator, amount, now)}
    return {"corrected_on": _day(account, now), "corrected_by": by_operator}


def _today(account: Account, now: datetime) -> Mapping[str, int]:
    return account.corrected_by if account.corrected_on == _day(account, now) else {}


def _day(account: Account, now: datetime) -> str:
    """A day never ends twice: a clock that is behind, or a request that took long, does not start the count anew."""
    return max(account.corrected_on or "", now.date().isoformat())
