"""Rate limits that hold across all workers and machines, and what each one is."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address, ip_network
from itertools import takewhile
from time import monotonic, sleep
from typing import NamedTuple

from limits import RateLimitItem, parse
from limits.strategies import FixedWindowRateLimiter

from app.data.rate_limits import RateLimitStorage, window_end
from app.data.threads import Readers
from app.domain.clock import utcnow
from app.domain.errors import BadCredentials, RateLimited, StoreUnavailable
from app.domain.rate_limits import Standing

log = logging.getLogger(__name__)

Limits = tuple[tuple[RateLimitItem, str, str], ...]

ENTER_SECONDS = 5.0  # how long a sign-in waits for others of the same account to end
SIGN_IN_BY_ACCOUNT = parse("10 per 15 minutes")
SIGN_IN_BY_ADDRESS = parse("100 per hour")
SIGN_IN_BY_DEVICE = parse("10 per 15 minutes")  # of a browser that has signed in before, or of an open session
SECOND_FACTOR_BY_ACCOUNT = parse("10 per 15 minutes")
SECOND_FACTOR_BY_DAY = parse("50 per day")
SECOND_FACTOR_IN_ALL = parse("250 per day")  # however often its owner has proven himself otherwise in between
UNGUESSABLE_BY_ADDRESS = parse("100 per hour")  # passkeys and recovery codes: only that nobody is kept busy
EXPORT_BY_ACCOUNT = parse("10 per hour")
FILE_BY_ACCOUNT = parse("60 per hour")  # CSV files and statements
SEARCH_BY_ACCOUNT = parse("60 per minute")  # the field asks when one pauses, at most twice a second
CANCEL_BY_ACCOUNT = parse("30 per hour")
CANCEL_BY_DAY = parse("100 per day")
FORGOT_BY_ADDRESS = parse("20 per hour")
FORGOT_BY_DEVICE = parse("5 per hour")
CHECKOUT_BY_ACCOUNT = parse("30 per hour")
CHECKOUT_BY_ADDRESS = parse("20 per hour")  # of guests, who have no account to be counted by
GUEST_LOOKS_BY_ADDRESS = parse("200 per hour")  # questions to Stripe by the page that waits for a guest's payment
REDEEM_BY_ACCOUNT = parse("10 per hour")
KEYS_BY_ACCOUNT = parse("60 per hour")
DRAFTS_BY_ACCOUNT = parse("240 per minute")  # a page keeps what is typed at most once a second
# Submits are counted in the account's own row (domain/credits.py): no call of their own. What is told of all these to
# programs, under the names that they are counted by, stands in web/rate_limits.py.


class Counted(NamedTuple):
    """What was counted, and when its window ends: there it is taken back, however long the attempt took. Out of the
    next window it would make room for an attempt more.
    """

    limit: RateLimitItem
    name: str
    who: str
    ends_at: int


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt to count. Beyond the limit it was counted as well; whether it was is unknown when the store fails."""

    counted: Counted
    refusal: RateLimited | StoreUnavailable | None = None

    @property
    def stands(self) -> bool:
        return not isinstance(self.refusal, StoreUnavailable)


class Throttle:
    """Refuses with RateLimited, which says how long to wait. Nobody is ever locked out for good."""

    def __init__(
        self,
        storage: RateLimitStorage,
        signups_per_hour: int,
        readers: Readers,
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
        only_looking: Callable[[], bool] = lambda: False,
        tell: Callable[[Standing], None] = lambda standing: None,
    ) -> None:
        """`readers` lend threads to count an attempt by all of its limits at once. `aside` is entered while an attempt
        waits for others, which need what a waiting request holds.

        `only_looking` says whether what happens now is nobody's act: then limits refuse, but count nothing. `tell` is
        handed how it stands with each limit that is asked.
        """
        self._readers = readers
        self._aside = aside
        self._only_looking = only_looking
        self._tell = tell
        self._storage = storage
        self._limiter = FixedWindowRateLimiter(storage)
        self.signup_by_address = parse(f"{signups_per_hour} per hour")

    def hit(
        self,
        limit: RateLimitItem,
        name: str,
        who: str,
        *,
        count: int = 1,
        said: str = "",
        costs: bool = False,
        ends_at: int | None = None,
    ) -> None:
        """Count once, in the window that ends then, or the present one.

        With the counters out of reach this lets pass: only sign-in fails closed. `said` is the sentence for who is over
        the limit, in place of the common one; what `costs` the same for who only looks is counted for them, too. Who
        asks is told how many are left.
        """
        try:
            looks = self._only_looking() and not costs
            ask = self._look if looks else self._hit
            self._tell(ask(limit, name, who, ends_at or window_end(limit.get_expiry()), count))
        except StoreUnavailable:
            log.error("rate limits out of reach", extra={"limit": name})
        except RateLimited as error:
            log.warning("rate limited", extra={"limit": name})
            if error.standing:
                self._tell(error.standing)
            raise (RateLimited(error.retry_after_seconds, said, error.standing) if said else error) from None

    @contextmanager
    def cancelling(self, account: str) -> Iterator[None]:
        """Count a task that is being cancelled: to submit and to cancel costs no credits, and leaves rows behind.

        Taken back when nothing was cancelled.
        """
        said = "You have cancelled many tasks. This one stays as it is."
        entered: list[Counted] = []
        try:
            for limit, name in ((CANCEL_BY_DAY, "cancel-day"), (CANCEL_BY_ACCOUNT, "cancel")):
                counted = Counted(limit, name, account, window_end(limit.get_expiry()))
                self.hit(limit, name, account, said=said, ends_at=counted.ends_at)
                entered.append(counted)
            yield
        except Exception:
            for limit, name, who, ends_at in entered:
                self.hit(limit, name, who, count=-1, ends_at=ends_at)
            raise

    @contextmanager
    def sign_in(self, account: str, address: str, device: str | None = None) -> Iterator[None]:
        """Count a sign-in before it is tried, by account and by address, and take that back unless it failed.

        Counting first keeps a burst of parallel guesses within the limit. Raises StoreUnavailable: fails closed.
        A browser that has signed in to the account before (`device`) has a count of its own; once that is full it is
        any browser again.
        """
        own = ((SIGN_IN_BY_DEVICE, "sign-in-device", device or ""),)
        limits = ((SIGN_IN_BY_ACCOUNT, "sign-in", account), (SIGN_IN_BY_ADDRESS, "sign-in-from", network_of(address)))
        with self._attempt(own if device and self._has_room(own) else limits):
            yield

    @contextmanager
    def password_again(self, session_key: str) -> Iterator[None]:
        """The same for a password asked for again: who is signed in is not kept out by a stranger's failures."""
        with self._attempt(((SIGN_IN_BY_DEVICE, "password-again", session_key),), "password-again"):
            yield

    @contextmanager
    def second_factor(self, account: str, since: str, device: str | None = None) -> Iterator[None]:
        """The same for the codes of an authenticator, which are short: few tries, also over a whole day.

        `since` stands for what the owner last proved himself by otherwise: with a new password or a used recovery code
        the count begins anew, but for the one over all of the day.
        """
        own = (
            (SECOND_FACTOR_BY_ACCOUNT, "second-factor-device", f"{device} {since}"),
            (SECOND_FACTOR_BY_DAY, "second-factor-device-day", f"{device} {since}"),
        )
        limits = (
            (SECOND_FACTOR_BY_ACCOUNT, "second-factor", f"{account} {since}"),
            (SECOND_FACTOR_BY_DAY, "second-factor-day", f"{account} {since}"),
        )
        in_all = ((SECOND_FACTOR_IN_ALL, "second-factor-all", account),)
        with self._attempt((own if device and self._has_room(own) else limits) + in_all):
            yield

    @contextmanager
    def unguessable(self, address: str, device: str | None = None) -> Iterator[None]:
        """The same for passkeys and recovery codes, which nobody guesses: a stranger's wrong codes do not stop them."""
        with self._attempt(((UNGUESSABLE_BY_ADDRESS, "second-factor-from", device or network_of(address)),)):
            yield

    def proven(self, account: str) -> None:
        """The owner has proven himself otherwise, by a mailed link or with a new password: failures are forgotten.

        What is under way stays counted: a burst gains nothing.
        """
        limit = SIGN_IN_BY_ACCOUNT
        ends_at = window_end(limit.get_expiry())
        with suppress(StoreUnavailable):
            failed = limit.amount - self._limiter.get_window_stats(limit, "sign-in-failed", account).remaining
            if failed > 0:
                for name in ("sign-in", "sign-in-failed"):
                    self._hit(limit, name, account, ends_at, -failed)

    def _has_room(self, limits: Limits) -> bool:
        return all(self._limiter.test(limit, f"{name}-failed", who) for limit, name, who in limits)

    @contextmanager
    def _attempt(self, limits: Limits, told: str = "sign-in") -> Iterator[None]:
        """Nobody is told how many tries are left, nor which of the limits refused: an account's owner and a stranger
        who guesses at it have one count, and would read of each other.
        """
        public = Standing(told, SIGN_IN_BY_ACCOUNT.amount, SIGN_IN_BY_ACCOUNT.get_expiry())
        self._tell(public)
        entered: list[Counted] = []
        try:
            self._enter(limits, entered)
            yield
        except BadCredentials:
            self._readers.side_by_side([partial(self._note_failure, counted) for counted in entered])
            raise
        except RateLimited as error:
            self._take_back(entered)
            seconds = error.retry_after_seconds
            raise RateLimited(seconds, standing=replace(public, left=0, resets_in=seconds)) from None
        except Exception:
            self._take_back(entered)
            raise
        self._take_back(entered)

    def _enter(self, limits: Limits, entered: list[Counted]) -> None:
        """Count an attempt that is about to be made, by all of its limits at once.

        From the first on that has no room they follow one another: whoever waits there, or is refused, stays counted by
        none behind it, where he would keep out others.
        """
        tries = self._readers.side_by_side([partial(self._try, *limit) for limit in limits])
        entered += [tried.counted for tried in takewhile(lambda tried: tried.refusal is None, tries)]
        rest = tries[len(entered) :]
        self._take_back([tried.counted for tried in rest[1:] if tried.stands])
        for number, tried in enumerate(rest):
            limit, name, who, _ = tried.counted
            entered.append(self._wait(self._try(limit, name, who) if number else tried))

    def _try(self, limit: RateLimitItem, name: str, who: str) -> Tried:
        counted = Counted(limit, name, who, window_end(limit.get_expiry()))
        try:
            self._hit(*counted, 1)
        except (RateLimited, StoreUnavailable) as refusal:
            return Tried(counted, refusal)
        return Tried(counted)

    def _wait(self, tried: Tried) -> Counted:
        """Those under way count as well, so the attempt that finds no room because of them alone waits for them to end:
        twenty programs may sign in to one account at once.
        """
        deadline = monotonic() + ENTER_SECONDS
        while tried.refusal:
            limit, name, who, _ = tried.counted
            if not tried.stands:
                raise tried.refusal
            failed = self._limiter.get_window_stats(limit, f"{name}-failed", who)
            if failed.remaining and monotonic() > deadline:
                break  # what a process that died has left counted keeps nobody out
            self._take_back([tried.counted])
            if not failed.remaining:
                log.warning("rate limited", extra={"limit": name})
                raise tried.refusal
            with self._aside():
                sleep(random.uniform(0.02, 0.1))  # nosec B311 # noqa: S311 - jitter, no secret
            tried = self._try(limit, name, who)
        return tried.counted

    def _note_failure(self, counted: Counted) -> None:
        limit, name, who, ends_at = counted
        with suppress(StoreUnavailable, RateLimited):
            self._hit(limit, f"{name}-failed", who, ends_at, 1)

    def _take_back(self, counted: Sequence[Counted]) -> None:
        self._readers.side_by_side([partial(self._take_one_back, each) for each in counted])

    def _take_one_back(self, counted: Counted) -> None:
        try:
            self._hit(*counted, -1)
        except StoreUnavailable:
            log.error("rate limits out of reach", extra={"limit": counted.name})

    def _hit(self, limit: RateLimitItem, name: str, who: str, ends_at: int, count: int) -> Standing:
        hits = self._storage.incr(limit.key_for(name, who), limit.get_expiry(), count, ends_at=ends_at)
        return self._judge(limit, name, hits, ends_at, refused=count > 0 and hits > limit.amount)

    def _look(self, limit: RateLimitItem, name: str, who: str, ends_at: int, count: int) -> Standing:
        hits = self._storage.get(limit.key_for(name, who))
        return self._judge(limit, name, hits, ends_at, refused=hits + count > limit.amount)

    def _judge(self, limit: RateLimitItem, name: str, hits: int, ends_at: int, *, refused: bool) -> Standing:
        seconds = math.ceil(ends_at - utcnow().timestamp())
        left = max(0, limit.amount - hits)
        standing = Standing(name, limit.amount, limit.get_expiry(), left, max(1, seconds))
        if refused:
            raise RateLimited(seconds, standing=standing)
        return standing


def network_of(address: str) -> str:
    """An IPv4 address as it is; of IPv6 the /64, which one customer of a provider holds whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else str(parsed)
