"""How far this machine's clock is from another's, and how much of that matters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

UNKNOWN, RIGHT, DRIFTING, OFF = "unknown", "right", "drifting", "off"

DRIFT = timedelta(seconds=30)  # nothing breaks yet, but no machine that is kept in time is so far off
TOLERANCE = timedelta(seconds=300)  # of webhooks, and of most of AWS for the time in a signature
WHOLE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """`ahead` is negative for a clock that is behind; the truth lies within `margin` of it."""

    ahead: timedelta
    margin: timedelta

    @classmethod
    def of(cls, stated: datetime, answered_at: datetime, round_trip: timedelta) -> ClockReading:
        """Compare the Date of an answer with the local time at which it came.

        The header was written somewhere on the way, and has whole seconds: it may mean a moment up to a second later.
        """
        return cls(
            ahead=(answered_at - round_trip / 2) - (stated + WHOLE_SECOND / 2),
            margin=(round_trip + WHOLE_SECOND) / 2,
        )

    @property
    def state(self) -> str:
        """Only what is certain is held against the clock: a slow answer has a wide margin."""
        surely = abs(self.ahead) - self.margin
        if surely > TOLERANCE:
            return OFF
        return DRIFTING if surely > DRIFT else RIGHT

    @property
    def ahead_seconds(self) -> int:
        return int(self.ahead.total_seconds())

    @property
    def margin_seconds(self) -> int:
        return int(self.margin.total_seconds()) + 1
