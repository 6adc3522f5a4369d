"""Text that was sent and not taken in: whose it is, which form it belongs to, and how much of it is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

Fields = tuple[tuple[str, str], ...]  # names and values of a form, in its order

KEPT_FOR = timedelta(days=30)
MAX_KEPT_BYTES = 300_000  # of one account, packed: a row of the store holds 400 KB


@dataclass(frozen=True, slots=True)
class Draft:
    """A form that came after its session had ended. `place` is the path that it was sent to."""

    place: str
    fields: Fields
    saved_at: datetime

    @property
    def key(self) -> str:
        return draft_key(self.place)

    def answers(self, sent: Fields) -> bool:
        """Whether `sent` is this very form, sent again: by the key that it goes out under."""
        mine = dict(self.fields).get("request_id")
        return bool(mine) and mine == dict(sent).get("request_id")


def draft_key(place: str) -> str:
    return hashlib.sha256(place.encode(errors="replace")).hexdigest()[:24]
