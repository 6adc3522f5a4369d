"""The doctor's last examination, in the Status table: one row, which operators' pages read."""

from __future__ import annotations

from app.domain.doctor import Kept

from .base import Base
from .records import Codec
from .tables import STATUS

KEPT = Codec(Kept, always={"findings", "secrets"})
KEY = {"name": "doctor"}


class DoctorReads(Base):
    def find(self) -> Kept | None:
        row = self._get(STATUS.suffix, KEY)
        return KEPT.record(row) if row else None


class DoctorUpdates(Base):
    def keep(self, kept: Kept) -> None:
        """In the place of the one before. Of two at once the later one stays: each is whole."""
        self._update(STATUS.suffix, KEY, set=KEPT.as_set(kept))
