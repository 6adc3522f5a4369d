"""Access patterns of what is made by hand: each operator's count of the day, and whether he still is one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.domain.by_hand import Hand, hand_of, is_person

from .account_rows import ACCOUNT
from .base import Base
from .client import Stale
from .lives import Life, LifeWrites
from .records import Codec
from .tables import STATUS, USERS

GOOD_STANDING = (
    "#role = :admin AND attribute_exists(confirmed_at)"
    " AND attribute_not_exists(disabled_at) AND attribute_not_exists(deleted_at)"
)

# Of the command line: what an operator counts stands in the account's row.
HAND = Codec(Hand, names={"day": "by_hand_on", "credits": "by_hand"}, but={"name", "in_good_standing", "account"})


class ByHandReads(Base):
    def find(self, name: str) -> Hand:
        """The count of an operator or of the command line; somebody without an account is in no good standing."""
        if is_person(name):
            account = self._get(USERS.suffix, {"email": name})
            return hand_of(ACCOUNT.record(account)) if account else Hand(name, in_good_standing=False)
        return HAND.record(self._get(STATUS.suffix, _key(name)) or {}, name=name)


class ByHandWrites(LifeWrites):
    def count(self, hand: Hand, amount: int, *, limit: int, now: datetime) -> None:
        """Add what is made alone to the day's count, which lies in one row for all accounts and means.

        Raises Stale when that would pass `limit` by now, when another day has begun, or when the operator is none any
        more: whoever reads again then learns which.
        """
        day = hand.day_of(now)
        params: dict[str, Any] = {"day": day}
        if day == hand.day:
            params |= {"room": limit - amount, "add": {"by_hand": amount}}
            condition = "#by_hand_on = :day AND #by_hand <= :room"
        else:
            params |= {"set": {"by_hand_on": day, "by_hand": amount}}
            condition = "(attribute_not_exists(#by_hand_on) OR #by_hand_on < :day)"
        if hand.account:
            self.update_account(
                Life.of(hand.account), condition=f"{condition} AND {GOOD_STANDING}", admin="admin", **params
            )
        else:
            self.update(STATUS.suffix, _key(hand.name), condition=condition, **params)

    def check_operator(self, hand: Hand) -> None:
        """Raises Stale unless this is an operator in good standing as everything else is written."""
        if hand.account:
            life = Life.of(hand.account)
            condition, params = life.and_also(GOOD_STANDING), {**life.params, "admin": "admin"}
            self.check(USERS.suffix, {"email": hand.name}, condition=condition, failure=Stale, **params)


def _key(name: str) -> dict[str, str]:
    """The command line has no account: its count is a fact of the service."""
    return {"name": f"by hand: {name}"}
