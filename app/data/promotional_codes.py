"""Access patterns of the RedeemCodes table."""

from __future__ import annotations

from app.domain.clock import to_iso
from app.domain.codes import PromotionalCode
from app.domain.errors import AlreadyRecorded, NotFound

from .base import Base
from .client import Stale
from .records import Codec
from .tables import REDEEM_CODES
from .transaction import Writes

TABLE = REDEEM_CODES.suffix
CODE = Codec(PromotionalCode, always={"uses", "disabled", "note"})


class CodeReads(Base):
    def find(self, code: str) -> PromotionalCode | None:
        row = self._get(TABLE, {"code": code})
        return CODE.record(row) if row else None

    def every(self) -> list[PromotionalCode]:
        """A scan: codes are few and only operators list them. Newest first."""
        return sorted(map(CODE.record, self._scan(TABLE)), key=lambda code: code.created_at, reverse=True)


class CodeWrites(Writes):
    def create(self, code: PromotionalCode) -> None:
        """Raises AlreadyRecorded when there is one of this name."""
        self.put(TABLE, CODE.row(code), condition="attribute_not_exists(#code)", failure=AlreadyRecorded)

    def use(self, code: PromotionalCode) -> None:
        """Count one use. Raises Stale when it was used up, changed or switched off since it was read."""
        self.update(
            TABLE,
            {"code": code.code},
            add={"uses": 1},
            condition="#uses < #max_uses AND #disabled = :no AND #credits = :credits AND #expires_at = :expires_at",
            failure=Stale,
            no=False,
            credits=code.credits,
            expires_at=to_iso(code.expires_at),
        )

    def disable(self, code: str) -> None:
        self.update(
            TABLE, {"code": code}, set={"disabled": True}, condition="attribute_exists(#code)", failure=NotFound
        )
