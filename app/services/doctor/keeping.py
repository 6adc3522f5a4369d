"""The last examination is kept for operators' pages, which ask nobody themselves; what is newly wrong is an alert."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as TooSlow
from contextlib import suppress
from datetime import datetime

from app.config import Config
from app.data import Store
from app.data.threads import Readers
from app.domain.clock import to_iso
from app.domain.doctor import WRONG, Finding, Kept, names_of
from app.domain.errors import DomainError

from .secrets import fingerprint, named

log = logging.getLogger(__name__)

MOST = 200  # findings
LOOK_SECONDS = 60.0
PATIENCE_SECONDS = 0.3  # of the one page that a look falls to


def keep(store: Store, config: Config, findings: Iterable[Finding], *, every_seconds: float, now: datetime) -> Kept:
    """Keep it in the place of the one before. Safe to repeat. Raises StoreUnavailable.

    What is wrong now and was not the last time is told as an alert, once.
    """
    before = store.doctor.find()
    since = before.secrets if before else {}
    secrets = {mark: since.get(mark, to_iso(now)) for _, secret, _ in named(config) if (mark := fingerprint(secret))}
    kept = Kept(now, tuple(findings)[:MOST], int(every_seconds), secrets)
    store.updates.doctor.keep(kept)
    known = set(names_of(before.findings, WRONG)) if before else set()
    for name in names_of(kept.findings, WRONG):
        if name not in known:  # the sentence may name somebody: it is on the page
            log.warning("the doctor finds something wrong", extra={"alert": "doctor", "check": name})
    return kept


class Dot:
    """Whether the operators' navigation has a red dot: a process looks once a minute, and no page waits for it."""

    def __init__(self, store: Store, readers: Readers, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._readers = readers
        self._monotonic = monotonic
        self._next_look = float("-inf")
        self._known: Kept | None = None

    def is_red(self, now: datetime) -> bool:
        """Something is wrong, or nobody has looked for too long. Never while nothing was ever kept."""
        if self._monotonic() >= self._next_look:
            self._next_look = self._monotonic() + LOOK_SECONDS
            look = self._readers.begin(self._look)
            with suppress(TooSlow):
                if look:
                    look.result(PATIENCE_SECONDS)
        return self._known is not None and (self._known.is_red or self._known.is_stale(now))

    def know(self, kept: Kept | None) -> None:
        """What a page has just read anyway."""
        self._known = kept
        self._next_look = self._monotonic() + LOOK_SECONDS

    def _look(self) -> None:
        try:
            self._known = self._store.doctor.find()
        except DomainError as error:
            log.warning("the doctor's findings not read", extra={"code": error.code})
