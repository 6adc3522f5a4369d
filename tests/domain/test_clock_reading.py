"""How far a clock is off, and how sure of that one answer can make us."""

from datetime import timedelta

import pytest

from app.domain.clock_reading import DRIFTING, OFF, RIGHT, ClockReading
from tests.support import NOW

SECOND, MOMENT = timedelta(seconds=1), timedelta(microseconds=1)


def test_the_middle_of_the_round_trip_is_held_against_the_middle_of_the_second():
    reading = ClockReading.of(NOW, NOW + 10 * SECOND, 4 * SECOND)

    assert reading == ClockReading(ahead=7.5 * SECOND, margin=2.5 * SECOND)
    assert (reading.ahead_seconds, reading.margin_seconds) == (7, 3)
    assert ClockReading.of(NOW, NOW - 10 * SECOND, 4 * SECOND).ahead_seconds == -12


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("surely", "state"),
    [
        (-2 * SECOND, RIGHT),
        (30 * SECOND, RIGHT),
        (30 * SECOND + MOMENT, DRIFTING),
        (300 * SECOND, DRIFTING),
        (300 * SECOND + MOMENT, OFF),
    ],
)
def test_only_what_is_certain_counts_against_a_clock(sign, surely, state):
    margin = 2 * SECOND

    assert ClockReading(sign * (surely + margin), margin).state == state
