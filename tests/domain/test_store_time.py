"""When the store's time stands in for the machine's, and which words about it are believed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.clock import StoreTime
from tests.support import NOW

YEARS = timedelta(days=3650)
SECOND = timedelta(seconds=1)


class World:
    """A true time that goes on, and a machine whose clock is off by `off`."""

    def __init__(self, off: timedelta = timedelta(0)):
        self.true = NOW
        self.off = off
        self.running = 0.0
        self.time = StoreTime(machine=lambda: self.true + self.off, monotonic=lambda: self.running)

    def wait(self, seconds: float, asleep: bool = False) -> None:
        self.true += timedelta(seconds=seconds)
        self.running += 0 if asleep else seconds

    def hear(self, wrong_by: timedelta = timedelta(0)) -> None:
        """A Date has whole seconds."""
        self.time.note((self.true + wrong_by).replace(microsecond=0))

    @property
    def wrong_by(self) -> timedelta:
        return self.time.correct(self.true + self.off) - self.true


@pytest.mark.threat(112)
@pytest.mark.parametrize("off", [YEARS, -YEARS, timedelta(seconds=302), timedelta(seconds=-302)])
def test_the_first_answer_puts_a_machine_right_that_is_far_off(off):
    world = World(off)
    assert world.wrong_by == off

    world.hear()

    assert abs(world.wrong_by) <= SECOND


@pytest.mark.parametrize("off", [0, 1, 299, -299])
def test_a_machine_that_is_near_the_truth_goes_by_its_own_clock(off):
    world = World(timedelta(seconds=off))

    world.hear()

    assert world.wrong_by == timedelta(seconds=off)


@pytest.mark.threat(112)
def test_time_goes_on_between_answers_and_a_clock_that_jumps_changes_nothing():
    world = World()
    world.hear()
    for off in (YEARS, -YEARS, timedelta(0), YEARS):
        world.wait(3600)
        world.off = off
        assert abs(world.wrong_by) <= SECOND


@pytest.mark.parametrize("off", [YEARS, -YEARS])
def test_nothing_stands_in_when_that_is_switched_off(off):
    world = World(off)
    world.time.tolerance = timedelta(0)

    world.hear()

    assert world.wrong_by == off


@pytest.mark.threat(112)
@pytest.mark.parametrize("off", [timedelta(0), YEARS, -YEARS])
def test_one_odd_date_among_right_ones_counts_for_nothing(off):
    world = World(off)
    world.hear()
    for wrong in (timedelta(hours=1), timedelta(days=-400), timedelta(days=1), timedelta(hours=1)):
        world.wait(25)
        world.hear(wrong)
        assert abs(world.wrong_by) <= SECOND
        world.wait(1)
        world.hear()
        assert abs(world.wrong_by) <= SECOND


@pytest.mark.threat(112)
@pytest.mark.parametrize("off", [timedelta(0), YEARS])
def test_a_date_that_is_only_repeated_is_no_clock(off):
    """As a cache in front of the store would answer."""
    world = World(off)
    world.hear()
    repeated = world.true

    for _ in range(1000):
        world.wait(7)
        world.time.note(repeated)
        assert abs(world.wrong_by) <= SECOND


@pytest.mark.parametrize("off", [timedelta(hours=1), YEARS])
def test_another_time_is_believed_once_it_has_gone_on_for_a_while(off):
    """The first answer was wrong, or the store's clock was put right; the machine's cannot say which."""
    world = World(off)
    world.hear(-timedelta(days=30))

    world.wait(5)
    world.hear()
    assert abs(world.wrong_by) > timedelta(days=29)
    for _ in range(4):
        world.wait(6)
        world.hear()

    assert abs(world.wrong_by) <= SECOND


def test_a_machine_that_is_right_is_believed_with_the_first_answer_that_confirms_it():
    world = World()
    world.hear(YEARS)
    assert world.wrong_by >= YEARS - SECOND

    world.wait(1)
    world.hear()

    assert world.wrong_by == timedelta(0)


def test_a_machine_that_slept_is_right_again_with_the_first_answer():
    world = World()
    world.hear()
    world.wait(8 * 3600, asleep=True)

    world.hear()

    assert world.wrong_by == timedelta(0)


def test_the_clocks_may_drift_apart_over_weeks():
    world = World(YEARS)
    for _ in range(30):
        world.hear()
        assert abs(world.wrong_by) <= 5 * SECOND
        world.wait(86_400)
        world.running += 4  # a crystal that is 46 millionths off
