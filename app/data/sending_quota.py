"""The one row of Status by which all senders keep together to what SES lets us send: so many a second, and a day."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.domain.clock import to_iso
from app.domain.mails import SendingQuota

from .base import Base
from .client import Stale
from .records import Codec
from .tables import STATUS

TABLE = STATUS.suffix
KEY = {"name": "mail-quota"}
QUOTA = Codec(SendingQuota, always={"rate", "most", "left", "used"})


class QuotaReads(Base):
    def find(self) -> SendingQuota:
        return QUOTA.record(self._get(TABLE, KEY) or {})


class QuotaUpdates(Base):
    def claim(self, seen: SendingQuota, now: datetime) -> bool:
        """Take it on oneself to ask SES; False where another sender has done so since that was seen."""
        stands = "#asked_at = :seen" if seen.asked_at else "attribute_not_exists(#asked_at)"
        params = {"seen": to_iso(seen.asked_at)} if seen.asked_at else {}
        try:
            self._update(TABLE, KEY, set={"asked_at": to_iso(now)}, condition=stands, **params)
        except Stale:
            return False
        return True

    def note(self, *, rate: int, most: int, left: int) -> SendingQuota:
        """What SES has told; what was taken of this second stays taken."""
        return QUOTA.record(self._update(TABLE, KEY, set={"rate": rate, "most": most, "left": left}))

    def take(self, seen: SendingQuota, second: datetime, mails: int) -> SendingQuota:
        """Take so many mails of this second and of the day. Raises Stale: read it again, and decide again.

        A repeat takes again.
        """
        counted = {"left": -mails} if seen.most else {}
        conditions = ["#left >= :mails"] if seen.most else []
        params: dict[str, Any] = {"mails": mails} if seen.most else {}
        if seen.second is None:
            conditions.append("attribute_not_exists(#second)")
        else:
            conditions.append("#second = :second")
            params["second"] = to_iso(seen.second)
        write: dict[str, Any] = {"set": {"second": to_iso(second), "used": mails}, "add": counted}
        if seen.holds(second):
            write = {"add": counted | {"used": mails}}
            if seen.rate:
                conditions.append("#used <= :room")
                params["room"] = seen.rate - mails
        return QUOTA.record(self._update(TABLE, KEY, condition=" AND ".join(conditions), **write, **params))
