"""Time as stored: aware UTC datetimes in code, fixed-width ISO 8601 strings in the store, so that they sort.

What is stored is dated by the store's own time where this machine's clock is far from it: one machine whose clock is
wrong must not put its rows years away from those of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

WHOLE_SECOND = timedelta(seconds=1)  # a Date says no more than that
GOES_ON_FOR = 20.0  # seconds that two words must lie apart to prove that a clock runs behind them
GOES_ON_WITHIN = timedelta(seconds=10)  # what the way here may add to a word, well below GOES_ON_FOR


def machine_now() -> datetime:
    """What this machine's clock says, right or wrong."""
    return datetime.now(UTC)


def utcnow() -> datetime:
    """The time to store, and to judge by: this machine's, or the store's where the two are far apart."""
    return store_time.correct(machine_now())


@dataclass(frozen=True, slots=True)
class Word:
    """One time that was told. `zero` is what it makes of the moment at which the monotonic clock began."""

    zero: datetime
    heard_at: float  # by the monotonic clock

    def is_like(self, other: Word) -> bool:
        return abs(self.zero - other.zero) <= GOES_ON_WITHIN

    def goes_on_in(self, later: Word) -> bool:
        """A clock runs behind both: a Date that is only repeated falls behind."""
        return later.heard_at - self.heard_at >= GOES_ON_FOR and self.is_like(later)


class StoreTime:
    """The store's time, out of the Date of its answers and of how long ago they came. One for each process.

    The first word is believed, for the first write needs one; then what this machine's clock confirms, and what goes on
    from an earlier word as time does. So neither one odd answer counts nor what a cache repeats, and a machine that
    slept, or whose clock was put right, is believed at once. Words may come from many threads.
    """

    def __init__(
        self, machine: Callable[[], datetime] = machine_now, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.tolerance = timedelta(seconds=300)  # a setting, CLOCK_TOLERANCE_SECONDS; zero: never instead of the clock
        self._machine = machine
        self._monotonic = monotonic
        self.forget()

    def forget(self) -> None:
        """As at the start of the process."""
        self._known: Word | None = None
        self._doubted: Word | None = None

    def note(self, stated: datetime) -> None:
        """An answer of the store has just come, with this Date."""
        heard_at = self._monotonic()
        word = Word(stated + WHOLE_SECOND / 2 - timedelta(seconds=heard_at), heard_at)
        known, doubted = self._known, self._doubted
        goes_on = any(earlier.goes_on_in(word) for earlier in (known, doubted) if earlier)
        if known is None or goes_on or self._is_confirmed(stated):
            self._known, self._doubted = word, None
        elif doubted is None or not doubted.is_like(word):
            self._doubted = word

    def correct(self, moment: datetime) -> datetime:
        """`moment`, which this machine's clock has just said, or the store's time if it is far from that."""
        known = self._known
        if known is None or not self.tolerance:
            return moment
        told = known.zero + timedelta(seconds=self._monotonic())
        return told if abs(moment - told) > self.tolerance else moment

    def _is_confirmed(self, stated: datetime) -> bool:
        return abs(self._machine() - stated) <= self.tolerance


store_time = StoreTime()


def to_iso(moment: datetime) -> str:
    """`2026-11-22T15:27:52.123456Z`: always microseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def month_of(moment: datetime) -> str:
    """The UTC month, as `2026-11`."""
    return to_iso(moment)[:7]


def from_iso(text: str) -> datetime:
    """The original product wrote UTC without saying so."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
