"""bcrypt: hashing, checking in constant time, and noticing a hash of another cost."""

from __future__ import annotations

from functools import cached_property

import bcrypt

from app.domain.accounts import MAX_PASSWORD_BYTES


class Passwords:
    """Hashes at one cost (2^rounds). About 245 ms at 12; bcrypt releases the GIL meanwhile."""

    def __init__(self, rounds: int):
        self._rounds = rounds

    def hash(self, password: str) -> str:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._rounds)).decode()

    def matches(self, password: str, stored: str | None) -> bool:
        """Takes the same time whether there is a hash, none, or a password that bcrypt would not take."""
        raw = password.encode("utf-8", "surrogatepass")
        usable = stored is not None and len(raw) <= MAX_PASSWORD_BYTES
        known = stored if stored is not None and usable else self._dummy
        same = bcrypt.checkpw(raw[:MAX_PASSWORD_BYTES], known.encode())
        return same and usable

    def is_outdated(self, stored: str) -> bool:
        return stored.split("$")[2] != f"{self._rounds:02d}"

    @cached_property
    def _dummy(self) -> str:
        return self.hash("nobody has this password")
