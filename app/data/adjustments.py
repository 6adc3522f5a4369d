"""Access patterns of the Adjustments table: value made by hand that waits for a second operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.clock import from_iso, to_iso
from app.domain.errors import AlreadyRecorded, NotFound, WrongState

from .base import Base, Page
from .tables import ADJUSTMENT_INDEX, ADJUSTMENTS
from .transaction import Writes

TABLE = ADJUSTMENTS.suffix
WAITING, APPROVED, DECLINED = "waiting", "approved", "declined"
CORRECTION, PAYMENT, CODE, SALE = "correction", "payment", "code", "sale"
SUBJECTS = {PAYMENT: "payment_id", CODE: "code", SALE: "source"}  # of `terms`; a correction's is the address


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Something of `amount` signed credits that `proposed_by` asked for: a correction, a parked payment credited, a
    code to be made or a link to be named, which are nobody's (`user_email` is empty). `terms` are the rest of what is
    to be booked."""

    adjustment_id: str
    user_email: str
    amount: int
    reason: str
    proposed_by: str
    created_at: datetime
    state: str = WAITING
    decided_by: str | None = None
    kind: str = CORRECTION
    terms: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What the audit log files it under, as it does the act itself."""
        return self.terms[SUBJECTS[self.kind]] if self.kind in SUBJECTS else self.user_email


class ProposalReads(Base):
    def find(self, adjustment_id: str) -> Adjustment | None:
        row = self._get(TABLE, {"adjustment_id": adjustment_id})
        return _adjustment(row) if row else None

    def get(self, adjustment_id: str) -> Adjustment:
        """Raises NotFound."""
        found = self.find(adjustment_id)
        if found is None:
            raise NotFound("There is no such proposal.")
        return found

    def list_waiting(self, *, limit: int, cursor: str | None = None) -> Page[Adjustment]:
        return self._page(
            TABLE,
            ADJUSTMENT_INDEX,
            ("waiting", WAITING),
            key_names=("created_at", "adjustment_id"),
            make=_adjustment,
            limit=limit,
            cursor=cursor,
            newest_first=False,
        )


class ProposalWrites(Writes):
    def add(self, adjustment: Adjustment) -> None:
        """Propose, once for an id. Raises AlreadyRecorded."""
        self.put(
            TABLE,
            {
                "adjustment_id": adjustment.adjustment_id,
                "user_email": adjustment.user_email or None,
                "amount": adjustment.amount,
                "reason": adjustment.reason,
                "proposed_by": adjustment.proposed_by,
                "created_at": to_iso(adjustment.created_at),
                "state": adjustment.state,
                "kind": adjustment.kind,
                "terms": dict(adjustment.terms),
                "waiting": WAITING if adjustment.state == WAITING else None,
            },
            condition="attribute_not_exists(adjustment_id)",
            failure=AlreadyRecorded,
        )

    def not_proposed(self, adjustment_id: str) -> None:
        """Raises AlreadyRecorded when the same request was proposed to a second operator."""
        self.check(
            TABLE,
            {"adjustment_id": adjustment_id},
            condition="attribute_not_exists(adjustment_id)",
            failure=AlreadyRecorded,
        )

    def decide(self, adjustment_id: str, state: str, by: str, now: datetime) -> None:
        """Approve or decline what still waits. Raises WrongState."""
        self.update(
            TABLE,
            {"adjustment_id": adjustment_id},
            set={"state": state, "decided_by": by, "decided_at": to_iso(now), "waiting": None},
            condition="#state = :waiting",
            failure=WrongState("Another operator has decided on this already."),
            waiting=WAITING,
        )


def _adjustment(row: dict[str, Any]) -> Adjustment:
    return Adjustment(
        adjustment_id=row["adjustment_id"],
        user_email=row.get("user_email", ""),
        amount=row["amount"],
        reason=row["reason"],
        proposed_by=row["proposed_by"],
        created_at=from_iso(row["created_at"]),
        state=row["state"],
        decided_by=row.get("decided_by"),
        kind=row.get("kind", CORRECTION),
        terms=row.get("terms", {}),
    )
