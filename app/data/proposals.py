"""Access patterns of the Adjustments table: value made by hand that waits for a second operator."""

from __future__ import annotations

from datetime import datetime

from app.domain.errors import AlreadyRecorded, NotFound, WrongState
from app.domain.paging import Page
from app.domain.proposals import WAITING, Proposal

from .base import Base
from .records import Codec
from .tables import ADJUSTMENT_INDEX, ADJUSTMENTS
from .transaction import Writes

TABLE = ADJUSTMENTS.suffix
PROPOSAL = Codec(
    Proposal,
    always={"state", "kind", "terms"},
    absent={"user_email": ""},
    beside=lambda proposal: {"waiting": WAITING if proposal.state == WAITING else None},
)


class ProposalReads(Base):
    def find(self, adjustment_id: str) -> Proposal | None:
        row = self._get(TABLE, {"adjustment_id": adjustment_id})
        return PROPOSAL.record(row) if row else None

    def get(self, adjustment_id: str) -> Proposal:
        """Raises NotFound."""
        found = self.find(adjustment_id)
        if found is None:
            raise NotFound("There is no such proposal.")
        return found

    def list_waiting(self, *, limit: int, cursor: str | None = None) -> Page[Proposal]:
        return self._page(
            TABLE,
            ADJUSTMENT_INDEX,
            ("waiting", WAITING),
            key_names=("created_at", "adjustment_id"),
            make=PROPOSAL.record,
            limit=limit,
            cursor=cursor,
            newest_first=False,
        )


class ProposalWrites(Writes):
    def add(self, proposal: Proposal) -> None:
        """Propose, once for an id. Raises AlreadyRecorded."""
        self.put(
            TABLE,
            PROPOSAL.row(proposal),
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
            set=PROPOSAL.attributes({"state": state, "decided_by": by, "decided_at": now}) | {"waiting": None},
            condition="#state = :waiting",
            failure=WrongState("Another operator has decided on this already."),
            waiting=WAITING,
        )
