"""Value made by hand that waits for a second operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .accounts import AccountKey

WAITING, APPROVED, DECLINED = "waiting", "approved", "declined"
ADJUSTMENT, PAYMENT, CODE, SALE = "correction", "payment", "code", "sale"  # as they are stored
SUBJECTS = {PAYMENT: "payment_id", CODE: "code", SALE: "source"}  # of `terms`; that of an adjustment is the address


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something of `amount` signed credits that `proposed_by` asked for: an adjustment, a parked payment credited, a
    code to be made or a link to be named, which are nobody's (`user_email` is empty). `terms` are the rest of what is
    to be booked."""

    adjustment_id: str
    user_email: AccountKey
    amount: int
    reason: str
    proposed_by: str
    created_at: datetime
    state: str = WAITING
    decided_by: str | None = None
    kind: str = ADJUSTMENT
    terms: Mapping[str, Any] = field(default_factory=dict)
    decided_at: datetime | None = None

    @property
    def subject(self) -> str:
        """What the audit log files it under, as it does the act itself."""
        return self.terms[SUBJECTS[self.kind]] if self.kind in SUBJECTS else self.user_email
