"""Is this machine's clock right? Compared with the store's at start and with each health check; an alert when not.

A wrong clock is quiet: pages work, while each webhook is refused as too old or from the future, and sessions and tokens
end early or late.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime

from app.data import Store
from app.domain.clock import machine_now
from app.domain.clock_reading import OFF, RIGHT, UNKNOWN, ClockReading
from app.domain.errors import StoreUnavailable

log = logging.getLogger(__name__)

REPEAT_SECONDS = 600.0  # a clock that stays wrong is said again this often, not with each health check


class ClockCheck:
    """One for each process; remembers what was found, so that it is logged when it changes."""

    def __init__(
        self, now: Callable[[], datetime] = machine_now, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._logged: str | None = None
        self._logged_at = 0.0
        self.latest: ClockReading | None = None

    def check(self, store: Store) -> ClockReading | None:
        """One call to the store; None when its answer has no date. Raises StoreUnavailable."""
        self.latest = store.read_clock(self._now)
        self._log(self.latest)
        return self.latest

    def check_at_start(self, store: Store) -> None:
        """Like `check`, but a process starts without its store, too: its health check will tell."""
        try:
            self.check(store)
        except StoreUnavailable:
            log.warning("clock not compared: the store is out of reach")

    def _log(self, reading: ClockReading | None) -> None:
        state, before, now = reading.state if reading else UNKNOWN, self._logged, self._monotonic()
        lasting = state not in (RIGHT, UNKNOWN) and now - self._logged_at >= REPEAT_SECONDS
        if state == before and not lasting:
            return
        self._logged, self._logged_at = state, now
        if reading is None:
            log.warning("clock not compared: the store's answers have no date")
        elif state != RIGHT:
            found = {"state": state, "ahead_seconds": reading.ahead_seconds, "margin_seconds": reading.margin_seconds}
            log.log(
                logging.ERROR if state == OFF else logging.WARNING,
                "alert: clock is wrong",
                extra={"alert": "clock"} | found,
            )
        elif before not in (None, UNKNOWN):
            log.info("clock is right again")


def sentence(reading: ClockReading | None) -> str | None:
    """What is wrong with the clock and what follows from it; None while nothing is known to be wrong."""
    if reading is None or reading.state == RIGHT:
        return None
    way = "ahead" if reading.ahead_seconds > 0 else "behind"
    found = f"This machine's clock is {abs(reading.ahead_seconds)} s {way}."
    return found + (" Stripe's webhooks are refused until it is right." if reading.state == OFF else "")
