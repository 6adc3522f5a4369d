"""bcrypt: hashing, checking in constant time, and noticing a hash of another cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from threading import BoundedSemaphore

import bcrypt

from app.domain.accounts import MAX_PASSWORD_BYTES

AT_ONCE = os.cpu_count() or 1  # more hashes at once only make each of them slower


class Passwords:
    """Hashes at one cost (2^rounds). About 245 ms at 12; bcrypt releases the GIL meanwhile.

    `aside` is entered while a hash waits its turn and is made: whoever hashes holds nothing that other requests need.
    """

    def __init__(self, rounds: int, aside: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._rounds = rounds
        self._aside = aside
        self._turns = BoundedSemaphore(AT_ONCE)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._aside(), self._turns:
            yield

    def hash(self, password: str) -> str:
        with self._turn():
            return bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._rounds)).decode()

    def matches(self, password: str, stored: str | None) -> bool:
        """Takes the same time whether there is a hash, none, or a password that bcrypt would not take."""
        raw = password.encode("utf-8", "surrogatepass")
        usable = stored is not None and len(raw) <= MAX_PASSWORD_BYTES
        known = stored if stored is not None and usable else self._dummy
        with self._turn():
            same = bcrypt.checkpw(raw[:MAX_PASSWORD_BYTES], known.encode())
        return same and usable

    def is_outdated(self, stored: str) -> bool:
        return stored.split("$")[2] != f"{self._rounds:02d}"

    @cached_property
    def _dummy(self) -> str:
        return self.hash("nobody has this password")
