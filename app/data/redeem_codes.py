"""Access patterns of the RedeemCodes table."""

from __future__ import annotations

from typing import Any

from app.domain.clock import from_iso, to_iso
from app.domain.codes import RedeemCode
from app.domain.errors import AlreadyRecorded, NotFound

from .base import Base
from .client import Stale
from .tables import REDEEM_CODES
from .transaction import Writes

TABLE = REDEEM_CODES.suffix


class CodeReads(Base):
    def find(self, code: str) -> RedeemCode | None:
        row = self._get(TABLE, {"code": code})
        return _code(row) if row else None

    def every(self) -> list[RedeemCode]:
        """A scan: codes are few and only operators list them. Newest first."""
        return sorted(map(_code, self._scan(TABLE)), key=lambda code: code.created_at, reverse=True)


class CodeWrites(Writes):
    def create(self, code: RedeemCode) -> None:
        """Raises AlreadyRecorded when there is one of this name."""
        self.put(
            TABLE,
            {
                "code": code.code,
                "credits": code.credits,
                "max_uses": code.max_uses,
                "expires_at": to_iso(code.expires_at),
                "created_at": to_iso(code.created_at),
                "created_by": code.created_by,
                "uses": code.uses,
                "disabled": code.disabled,
                "note": code.note,
                "approved_by": code.approved_by,
            },
            condition="attribute_not_exists(#code)",
            failure=AlreadyRecorded,
        )

    def use(self, code: RedeemCode) -> None:
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


def _code(row: dict[str, Any]) -> RedeemCode:
    return RedeemCode(
        code=row["code"],
        credits=row["credits"],
        max_uses=row["max_uses"],
        expires_at=from_iso(row["expires_at"]),
        created_at=from_iso(row["created_at"]),
        created_by=row["created_by"],
        uses=row["uses"],
        disabled=row["disabled"],
        note=row.get("note", ""),
        approved_by=row.get("approved_by"),
    )
