"""How far a migration of stored rows has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

ENDED = "end"
AFTER = ">"  # and the key of the row that was looked at last


@dataclass(frozen=True, slots=True)
class Progress:
    """`places`: how far each segment of the table was looked at, so that who goes on begins there."""

    places: Mapping[str, str] = field(default_factory=dict)
    looked_at: int = 0
    changed: int = 0
    begun_at: datetime | None = None
    finished_at: datetime | None = None
