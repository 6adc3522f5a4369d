"""Text that was sent and not taken in: whose it is, which form it belongs to, and how much of it is kept."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class PackedDraft:
    """A draft as it is kept: long texts shrink to less than half, and the store knows text only."""

    place: str
    fields: str
    saved_at: datetime

    @property
    def size_bytes(self) -> int:
        return len(self.fields) + len(self.place.encode())

    def unpacked(self) -> Draft:
        found = json.loads(zlib.decompress(base64.b85decode(self.fields)))
        return Draft(self.place, tuple((name, value) for name, value in found), self.saved_at)


@dataclass(frozen=True, slots=True)
class Drafts:
    """All that waits of one account, by the key of its place. `version` counts the changes of the row."""

    account_id: str
    version: int = 0
    packed: Mapping[str, PackedDraft] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(draft.size_bytes for draft in self.packed.values())

    def newest_first(self) -> list[Draft]:
        found = [draft.unpacked() for draft in self.packed.values()]
        return sorted(found, key=lambda draft: draft.saved_at, reverse=True)


def packed(draft: Draft) -> PackedDraft:
    shrunk = zlib.compress(json.dumps(draft.fields, ensure_ascii=False).encode(), 6)
    return PackedDraft(draft.place, base64.b85encode(shrunk).decode(), draft.saved_at)


def draft_key(place: str) -> str:
    return hashlib.sha256(place.encode(errors="replace")).hexdigest()[:24]
