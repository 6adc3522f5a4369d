"""How fast mails are offered to SES: what it says that our account may send, shared by all senders through the store.

Nobody but SES counts what was sent, so what it has told is asked again each minute; in between all senders take from
one row, some mails at a time. What it refuses all the same is waited out by services/mail.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

from app.data import Store
from app.data.client import Stale
from app.domain.doctor import CannotTell
from app.domain.mails import SendingQuota
from app.gateways.ses import SendingLimited

log = logging.getLogger(__name__)

ASK_EVERY = timedelta(seconds=60)
SHARE = 4  # one take is no more than this part of a second's mails, so that several senders get some
MOST_AT_ONCE = 50
LONGEST = 3.0  # seconds in which others may be quicker; then it is the next look's turn
RACES = 8  # of taking from the row that others take from


class SesAccount(Protocol):
    def sending(self) -> dict[str, Any]: ...


class Pace:
    """Of one sender; used by one thread at a time."""

    def __init__(self, store: Store, account: SesAccount, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store, self._account, self._sleep = store, account, sleep
        self._quota: SendingQuota | None = None
        self._taken = 0
        self._second: datetime | None = None
        self._silent = False

    def wait_for_one(self, clock: Callable[[], datetime]) -> bool:
        """Until one more mail may be offered; False when others take all there is for longer than LONGEST.

        Raises SendingLimited when the quota of the day is used up.
        """
        ends = clock() + timedelta(seconds=LONGEST)
        while (now := clock()) < ends:
            second = now.replace(microsecond=0)
            if self._taken and self._second == second:
                self._taken -= 1
                return True
            quota = self._known(now)
            if quota.rate == 0 and quota.most == 0:
                return True
            if quota.most and quota.left <= 0:
                raise SendingLimited(f"The quota of the day is used up: SES takes {quota.most:,} mails in 24 hours.")
            if self._take(quota, second):
                continue
            self._sleep(1 - now.microsecond / 1_000_000)
        return False

    def _take(self, quota: SendingQuota, second: datetime) -> bool:
        """Whether some of this second's mails are ours now."""
        for _ in range(RACES):
            mails = _share(quota)
            if quota.rate:
                mails = min(mails, quota.room(second))
            if mails <= 0 or (quota.most and quota.left <= 0):
                return False
            with suppress(Stale):
                self._quota = self._store.updates.sending_quota.take(quota, second, mails)
                self._taken, self._second = mails, second
                return True
            self._quota = quota = self._store.sending_quota.find()
        return False

    def _known(self, now: datetime) -> SendingQuota:
        """What SES has told within the last minute, or the last that it did tell."""
        if self._quota is None or _is_old(self._quota, now):
            self._quota = self._store.sending_quota.find()
            if _is_old(self._quota, now) and self._store.updates.sending_quota.claim(self._quota, now):
                self._quota = self._ask() or self._store.sending_quota.find()
        return self._quota

    def _ask(self) -> SendingQuota | None:
        try:
            told = self._account.sending()["SendQuota"]
            rate, most, sent = (float(told.get(name) or 0) for name in _NAMES)
        except (CannotTell, ValueError, TypeError) as error:
            if not self._silent:
                log.warning("SES does not tell how much may be sent: %s", error)
            self._silent = True
            return None
        self._silent = False
        most_whole = max(0, int(most))  # -1: no limit of the day
        found = {"rate": max(1, int(rate)) if rate > 0 else 0, "most": most_whole, "left": max(0, int(most - sent))}
        return self._store.updates.sending_quota.note(**found)


def _share(quota: SendingQuota) -> int:
    """How many mails one take asks for. What is not used in its second is gone: near the day's end one by one."""
    is_short = quota.most and quota.left < quota.rate * ASK_EVERY.total_seconds()
    return 1 if is_short else max(1, min(MOST_AT_ONCE, quota.rate // SHARE))


# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendQuota.html
_NAMES = ("MaxSendRate", "Max24HourSend", "SentLast24Hours")


def _is_old(quota: SendingQuota, now: datetime) -> bool:
    """Also where it was asked by a clock that is far ahead."""
    return quota.asked_at is None or not timedelta(0) <= now - quota.asked_at + timedelta(seconds=5) < ASK_EVERY
