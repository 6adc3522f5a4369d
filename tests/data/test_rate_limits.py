"""Counters of the rate limits: exact across threads, and over when their window is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from limits import parse
from limits.strategies import FixedWindowRateLimiter

from app.data import rate_limits
from app.data.rate_limits import RateLimitStorage
from app.domain.errors import BadCredentials, RateLimited
from app.services.throttle import SIGN_IN_BY_ACCOUNT, Throttle, network_of

LIMIT = parse("3 per 15 minutes")


@pytest.fixture
def clock(monkeypatch):
    """A clock to set; windows of a quarter of an hour start at 0, 900, 1800 …"""

    class Clock:
        now = 900_000.0

        def __call__(self) -> datetime:
            return datetime.fromtimestamp(self.now, UTC)

    clock = Clock()
    monkeypatch.setattr(rate_limits, "utcnow", clock)
    monkeypatch.setattr("app.services.throttle.utcnow", clock)
    return clock


def test_hits_are_counted_in_their_window(any_store, clock):
    limiter = FixedWindowRateLimiter(RateLimitStorage(any_store))

    answers = [limiter.hit(LIMIT, "sign-in", "ada") for _ in range(4)]

    assert answers == [True, True, True, False]
    assert limiter.hit(LIMIT, "sign-in", "bob")


def test_a_new_window_starts_at_nought_whether_or_not_the_old_row_is_gone(any_store, clock):
    limiter = FixedWindowRateLimiter(RateLimitStorage(any_store))
    for _ in range(4):
        limiter.hit(LIMIT, "sign-in", "ada")

    clock.now += 900

    assert limiter.hit(LIMIT, "sign-in", "ada")
    assert limiter.get_window_stats(LIMIT, "sign-in", "ada").remaining == 2


def test_rows_say_when_they_may_go(any_store, clock):
    RateLimitStorage(any_store).incr("LIMITER/sign-in/ada/3/15/minute", 900)

    row = any_store._get("RateLimits", {"key": "LIMITER/sign-in/ada/3/15/minute@900900"})

    assert row == {"key": "LIMITER/sign-in/ada/3/15/minute@900900", "hits": 1, "expires_at": 900_960}


def test_refusal_says_how_long_to_wait(any_store, clock):
    throttle = Throttle(RateLimitStorage(any_store), 100)
    clock.now += 300
    for _ in range(3):
        throttle.hit(LIMIT, "redeem", "ada")

    with pytest.raises(RateLimited) as refusal:
        throttle.hit(LIMIT, "redeem", "ada")

    assert refusal.value.retry_after_seconds in (600, 601)


@pytest.mark.parametrize("way", ["succeeded", "refused"])
def test_what_is_taken_back_behind_the_end_of_its_window_makes_no_room_in_the_next(any_store, clock, monkeypatch, way):
    """A burst at the edge would otherwise be counted in the old window and taken back in the new one: guesses more."""
    storage = RateLimitStorage(any_store)
    throttle = Throttle(storage, 100)
    if way == "refused":
        for _ in range(SIGN_IN_BY_ACCOUNT.amount):
            with suppress(BadCredentials), throttle.sign_in("ada", "203.0.113.9"):
                raise BadCredentials
    clock.now += 899
    incr, found = storage.incr, []

    def slow(key, expiry, amount=1, **window):
        found.append(incr(key, expiry, amount, **window))
        clock.now += 900 if amount > 0 else 0
        return found[-1]

    monkeypatch.setattr(storage, "incr", slow)
    with suppress(RateLimited), throttle.sign_in("ada", "203.0.113.9"):
        clock.now += 3600

    assert len(found) >= 4
    assert min(found) == 0


def test_no_hit_is_lost_when_many_race(store):
    storage = RateLimitStorage(store)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: storage.incr("LIMITER/x/3/1/day", 86_400), range(64)))

    assert storage.get("LIMITER/x/3/1/day") == 64


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("garbage", "unknown"),
    ],
)
def test_an_ipv6_customer_is_their_whole_network(address, network):
    assert network_of(address) == network
