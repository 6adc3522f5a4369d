"""Counters of the rate limits: exact across threads, and over when their window is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from threading import Barrier, Event

import pytest
from limits import parse
from limits.strategies import FixedWindowRateLimiter

from app.data import rate_limits
from app.data.rate_limits import RateLimitStorage
from app.data.threads import Readers
from app.domain.errors import BadCredentials, RateLimited, StoreUnavailable
from app.services.throttle import CANCEL_BY_ACCOUNT, CANCEL_BY_DAY, SIGN_IN_BY_ACCOUNT, Throttle, network_of

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
    throttle = Throttle(RateLimitStorage(any_store), 100, Readers())
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
    throttle = Throttle(storage, 100, Readers())
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


def test_a_failure_belongs_to_the_window_that_counted_its_attempt(any_store, clock):
    """Else who proves himself in the next one would take out of it what never was in it: guesses more for others."""
    storage = RateLimitStorage(any_store)
    throttle = Throttle(storage, 100, Readers())
    clock.now += 899
    for _ in range(SIGN_IN_BY_ACCOUNT.amount):
        with suppress(BadCredentials), throttle.sign_in("ada", "203.0.113.9"):
            clock.now += 10
            raise BadCredentials
        clock.now -= 10
    clock.now += 10
    throttle.proven("ada")
    assert storage.get(SIGN_IN_BY_ACCOUNT.key_for("sign-in", "ada")) == 0


def test_a_cancel_that_fails_in_the_next_window_makes_no_room_there(any_store, clock):
    storage = RateLimitStorage(any_store)
    throttle = Throttle(storage, 100, Readers())
    clock.now += CANCEL_BY_ACCOUNT.get_expiry() - 1
    with suppress(BadCredentials), throttle.cancelling("ada"):
        clock.now += CANCEL_BY_DAY.get_expiry()
        raise BadCredentials

    for limit, name in ((CANCEL_BY_DAY, "cancel-day"), (CANCEL_BY_ACCOUNT, "cancel")):
        assert storage.get(limit.key_for(name, "ada")) == 0
    clock.now -= CANCEL_BY_DAY.get_expiry()
    assert storage.get(CANCEL_BY_ACCOUNT.key_for("cancel", "ada")) == 0


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


# Counters of one attempt, side by side


HERE, ACCOUNT, ADDRESS = "203.0.113.9", "sign-in", "sign-in-from"


@pytest.fixture
def two(monkeypatch, clock):
    """Small limits: what a test makes of `counters` is a throttle, and a look at how much a counter holds."""
    limits = {ACCOUNT: parse("4 per 15 minutes"), ADDRESS: parse("6 per hour")}
    monkeypatch.setattr("app.services.throttle.SIGN_IN_BY_ACCOUNT", limits[ACCOUNT])
    monkeypatch.setattr("app.services.throttle.SIGN_IN_BY_ADDRESS", limits[ADDRESS])

    def counters(store, readers=None):
        storage = RateLimitStorage(store)

        def held(name: str, who: str) -> tuple[int, int]:
            """Counted, and failed."""
            limit = limits[name]
            return storage.get(limit.key_for(name, who)), storage.get(limit.key_for(f"{name}-failed", who))

        return Throttle(storage, 100, readers or Readers()), held

    return counters


def guess(throttle: Throttle, account: str, address: str = HERE) -> bool:
    """Whether the guess was tried; it is wrong."""
    try:
        with throttle.sign_in(account, address):
            raise BadCredentials
    except BadCredentials:
        return True
    except RateLimited:
        return False


@pytest.mark.parametrize("threads", [1, 16])
def test_many_guesses_at_once_are_tried_as_often_as_both_limits_allow_and_leave_no_other_count(
    store, two, monkeypatch, threads
):
    monkeypatch.setattr("app.services.throttle.ENTER_SECONDS", 60)  # however slow the machine is
    throttle, held = two(store, Readers(threads))
    accounts = [f"u{number % 3}@example.com" for number in range(45)]

    with ThreadPoolExecutor(16) as pool:
        tried = list(pool.map(lambda account: guess(throttle, account), accounts))

    failed = {
        account: sum(one for one, who in zip(tried, accounts, strict=True) if who == account) for account in accounts
    }
    assert sum(tried) == 6
    assert held(ADDRESS, HERE) == (6, 6)
    assert {account: held(ACCOUNT, account) for account in failed} == {who: (n, n) for who, n in failed.items()}
    elsewhere = [guess(throttle, account, f"198.51.100.{number}") for number, account in enumerate(accounts)]
    assert sum(elsewhere) == 3 * 4 - 6


def test_who_is_refused_by_one_limit_is_counted_by_neither(any_store, two):
    throttle, held = two(any_store)
    for number in range(4):
        assert guess(throttle, "ada", f"198.51.100.{number}")

    assert [guess(throttle, "ada") for _ in range(8)] == [False] * 8
    assert (held(ACCOUNT, "ada"), held(ADDRESS, HERE)) == ((4, 4), (0, 0))
    assert [guess(throttle, f"u{number}") for number in range(7)] == [True] * 6 + [False]
    assert (held(ACCOUNT, "u6"), held(ADDRESS, HERE)) == ((0, 0), (6, 6))


def test_what_succeeds_leaves_no_count_however_often_it_is_repeated(any_store, two):
    throttle, held = two(any_store)

    for _ in range(9):
        with throttle.sign_in("ada", HERE):
            assert (held(ACCOUNT, "ada")[0], held(ADDRESS, HERE)[0]) == (1, 1)

    assert (held(ACCOUNT, "ada"), held(ADDRESS, HERE)) == ((0, 0), (0, 0))


def test_who_waits_for_others_of_an_account_is_not_counted_by_his_address_meanwhile(any_store, two, monkeypatch):
    throttle, held = two(any_store)
    meanwhile, monotonic = [], iter((0, 1, 99, 99))
    throttle.hit(parse("4 per 15 minutes"), ACCOUNT, "ada", count=4)  # what a process that died has left
    monkeypatch.setattr("app.services.throttle.monotonic", lambda: next(monotonic))
    monkeypatch.setattr(
        "app.services.throttle.sleep", lambda _: meanwhile.append((held(ACCOUNT, "ada"), held(ADDRESS, HERE)))
    )

    with throttle.sign_in("ada", HERE):
        assert (held(ACCOUNT, "ada")[0], held(ADDRESS, HERE)[0]) == (5, 1)

    assert meanwhile == [((4, 0), (0, 0))]


@pytest.mark.parametrize("lost", [ACCOUNT, ADDRESS])
def test_an_attempt_that_one_counter_does_not_take_is_taken_back_from_the_other(any_store, two, monkeypatch, lost):
    throttle, held = two(any_store)
    incr, tried = RateLimitStorage.incr, []

    def shaky(storage, key, *args, **window):
        if f"/{lost}/" in key:
            raise StoreUnavailable
        return incr(storage, key, *args, **window)

    monkeypatch.setattr(RateLimitStorage, "incr", shaky)
    with pytest.raises(StoreUnavailable), throttle.sign_in("ada", HERE):
        tried.append("a guess")

    assert tried == []
    assert (held(ACCOUNT, "ada"), held(ADDRESS, HERE)) == ((0, 0), (0, 0))


@pytest.mark.parametrize("fails", [False, True])
def test_counters_of_an_attempt_are_asked_side_by_side_before_it_and_behind_it(any_store, two, monkeypatch, fails):
    """Each waits for the other to have begun: one after the other, the first would wait in vain."""
    throttle, held = two(any_store)
    incr, together = RateLimitStorage.incr, Barrier(2, timeout=10)
    monkeypatch.setattr(RateLimitStorage, "incr", lambda *a, **k: (together.wait(), incr(*a, **k))[1])

    with suppress(BadCredentials), throttle.sign_in("ada", HERE):
        if fails:
            raise BadCredentials

    assert held(ACCOUNT, "ada") == held(ADDRESS, HERE) == ((1, 1) if fails else (0, 0))


def test_an_attempt_is_counted_all_the_same_when_no_thread_is_free(any_store, two):
    readers, hold = Readers(1), Event()
    throttle, held = two(any_store, readers)
    readers.begin(hold.wait)

    try:
        assert [guess(throttle, "ada") for _ in range(5)] == [True] * 4 + [False]
    finally:
        hold.set()
    assert held(ACCOUNT, "ada") == held(ADDRESS, HERE) == (4, 4)
