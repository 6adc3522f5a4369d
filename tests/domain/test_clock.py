"""Moments as text: of one width, so that the order of the text is the order of time."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.domain.clock import from_iso, to_iso, utcnow
from tests.support import NOW


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW, "2026-11-22T12:00:00.000000Z"),
        (NOW + timedelta(microseconds=7), "2026-11-22T12:00:00.000007Z"),
        (datetime(2026, 11, 22, 14, 0, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T12:00:00.000000Z"),
        (datetime(987, 6, 5, tzinfo=UTC), "0987-06-05T00:00:00.000000Z"),
    ],
)
def test_a_moment_is_kept_in_utc_to_the_microsecond(moment, text):
    assert to_iso(moment) == text
    assert from_iso(text) == moment


def test_a_moment_is_kept_in_utc_when_the_machine_lives_elsewhere(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "America/New_York")
        time.tzset()
        text = to_iso(NOW)
    time.tzset()

    assert text == "2026-11-22T12:00:00.000000Z"


def test_the_zone_counts_when_the_text_names_one():
    assert from_iso("2026-11-22T14:00:00+02:00") == NOW


def test_utc_is_assumed_when_the_text_names_no_zone():
    assert from_iso("2026-11-22T12:00:00") == NOW


def test_the_clock_tells_utc():
    assert utcnow().tzinfo is UTC
