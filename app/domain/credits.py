"""Credits and the ledger: every entry that can move a balance, and what posting it does to the account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from .accounts import Account, AccountKey, mask_email
from .clock import to_iso
from .errors import AccountFrozen, BalanceUnexplained, InsufficientCredits, LedgerWrong, RateLimited
from .rate_limits import Standing
from .tasks import Task
from .text import one_line

CREDITS_PER_CENT = 1  # $10.00 buys 1,000 credits
DAYS_OF_SPEND = 30
SUBMITS_A_MINUTE = 600
OUT_OF_TIME = timedelta(minutes=15)  # beyond it a row's place in the list and its time are kept apart

PURCHASE, SPEND, REFUND = "purchase", "spend", "refund"
CLAWBACK, REINSTATEMENT, ADJUSTMENT, PROMO = "clawback", "reinstatement", "adjustment", "promo"
REFUNDED, DISPUTED = "refunded", "disputed"  # why a payment was taken back
TYPES = (PURCHASE, SPEND, REFUND, CLAWBACK, REINSTATEMENT, ADJUSTMENT, PROMO)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A movement to be: `amount` is signed credits, `transaction_id` follows from what caused it."""

    transaction_id: str
    user_email: AccountKey
    type: str
    amount: int
    description: str
    task_id: str | None = None
    payment_id: str | None = None
    stripe_payment_intent: str | None = None
    cause: str | None = None
    key_id: str | None = None


class Link(NamedTuple):
    """What a row says of its place in the ledger of its account: all that tells whether it follows from the one before.

    As it is stored: a sequence or a balance that is no whole number is handed on as it stands, an amount counts as 0.
    """

    sequence: Any
    amount: int
    balance_after: Any


@dataclass(frozen=True, slots=True)
class PostedEntry:
    """A row of the ledger: an entry with its place in the account's sequence. Never changed, never removed.

    `timestamp` is when it happened. An account's rows are listed by `listed_at`, which is the same but after a row of a
    machine whose clock was far ahead: there it goes on from that row's.

    Rows of the original product have no place (`sequence` 0) and no balance; they count towards the sum all the same.
    """

    transaction_id: str
    user_email: AccountKey
    type: str
    amount: int
    description: str
    timestamp: datetime
    balance_after: int
    sequence: int
    task_id: str | None = None
    payment_id: str | None = None
    stripe_payment_intent: str | None = None
    cause: str | None = None  # of a clawback or a reinstatement: REFUNDED or DISPUTED; earlier rows say it in words
    unreadable: str | None = None  # what stands there where a whole number of credits should
    ahead_at: datetime | None = None  # its place in the list, where that is not its time
    key_id: str | None = None  # of the API key that spent it

    @property
    def is_original(self) -> bool:
        return self.sequence == 0

    @property
    def listed_at(self) -> datetime:
        return self.ahead_at or self.timestamp


def post(account: Account, entry: LedgerEntry, now: datetime) -> tuple[PostedEntry, Account]:
    """The ledger row that `entry` becomes and the account after it.

    Only a clawback may leave the balance below zero. `listed_at` strictly rises within an account, whatever the clocks
    of the machines say, so that the order of the list is that of the sequence. Raises InsufficientCredits, RateLimited,
    AccountFrozen and BalanceUnexplained.
    """
    if account.unexplained is not None:
        raise BalanceUnexplained
    if entry.type == SPEND and account.frozen_at is not None:
        raise AccountFrozen
    balance = account.credits_balance + entry.amount
    if entry.amount < 0 and balance < 0 and entry.type != CLAWBACK:
        raise InsufficientCredits(required=-entry.amount, available=account.credits_balance)
    moment, ahead_at = _place_after(account.last_entry_at, now)
    posted = PostedEntry(
        transaction_id=entry.transaction_id,
        user_email=entry.user_email,
        type=entry.type,
        amount=entry.amount,
        description=entry.description,
        timestamp=moment,
        balance_after=balance,
        sequence=account.ledger_sequence + 1,
        task_id=entry.task_id,
        payment_id=entry.payment_id,
        stripe_payment_intent=entry.stripe_payment_intent,
        cause=entry.cause,
        ahead_at=ahead_at,
        key_id=entry.key_id,
    )
    after = replace(_account_after(account, posted), credits_balance=balance)
    if entry.type == SPEND:
        window, count = _window_after(account, now)
        after = replace(
            after,
            spend_by_day=_spend_after(account.spend_by_day, moment, -entry.amount),
            submit_window=window,
            submits_in_window=count,
        )
    return posted, after


def opening_id(email: str) -> str:
    return f"opening#{email}"


def opening(account: Account, counted: int, newest: datetime | None, now: datetime) -> tuple[PostedEntry, Account]:
    """The first row of our ledger for an account of the original product, and the account after it.

    `counted` is what the rows that the original wrote add up to, `newest` the time of the last of them: with this row
    they add up to the balance, which stays as it is.
    """
    moment, ahead_at = _place_after(newest, now)
    posted = PostedEntry(
        transaction_id=opening_id(account.email),
        user_email=account.email,
        type=ADJUSTMENT,
        amount=account.credits_balance - counted,
        description=f"Brought forward: a balance of {account.credits_balance:,} credits",
        timestamp=moment,
        balance_after=account.credits_balance,
        sequence=1,
        ahead_at=ahead_at,
    )
    return posted, _account_after(account, posted)


def check_row(entry: PostedEntry) -> None:
    """What a row of ours must hold by itself. Raises LedgerWrong.

    Below zero leads a clawback alone, and an opening brings forward what stood; what adds to a debt's account may leave
    it below.
    """
    if entry.is_original or entry.unreadable:
        return
    if any(isinstance(number, bool) or not isinstance(number, int) for number in (entry.sequence, entry.balance_after)):
        raise _wrong(entry, "its place or balance is no whole number")
    if entry.sequence < 1:
        raise _wrong(entry, f"its place is {entry.sequence}")
    opens = entry.transaction_id == opening_id(entry.user_email)
    if entry.sequence == 1 and entry.balance_after != entry.amount and not opens:
        raise _wrong(entry, f"the first row, of {entry.amount}, leaves {entry.balance_after}")
    if entry.balance_after < 0 and entry.amount < 0 and entry.type != CLAWBACK and not opens:
        raise _wrong(entry, f"a {entry.type} leaves {entry.balance_after}")


def _wrong(entry: PostedEntry, what: str) -> LedgerWrong:
    """Names the row by its id, which an address may stand in: logs hold none."""
    row = entry.transaction_id.replace(entry.user_email, mask_email(entry.user_email))
    return LedgerWrong(f"{row}: {what}", entry.user_email)


def check_follows(before: tuple[int, int], entry: PostedEntry) -> None:
    """That `entry` follows what stood, sequence and balance, as the next row. Raises LedgerWrong."""
    sequence, balance = before[0] + 1, before[1] + entry.amount
    if (entry.sequence, entry.balance_after) != (sequence, balance):
        found = f"is {entry.sequence} and leaves {entry.balance_after} instead of {sequence} and {balance}"
        raise _wrong(entry, found)


def check_listed(newer: PostedEntry, older: PostedEntry, now: datetime) -> None:
    """That two rows which are listed side by side chain. Raises LedgerWrong.

    The index gets rows one by one, so between the newest one may be missing for a moment: a gap counts once the row
    after it is old. Rows of the original product have no place in the sequence.
    """
    if newer.is_original or older.is_original or newer.unreadable or older.unreadable:
        return
    if newer.sequence > older.sequence + 1 and newer.timestamp > now - OUT_OF_TIME:
        return
    check_follows((older.sequence, older.balance_after), newer)


def check_moved(before: Account | None, after: Account, rows: Sequence[PostedEntry]) -> None:
    """That an account goes from `before` to `after` by these rows and nothing else; one that is made may come to rows
    that stand already. Raises LedgerWrong.
    """
    if before is None and not rows:
        return
    stands = (before.ledger_sequence, before.credits_balance) if before else (0, 0)
    for entry in sorted(rows, key=lambda entry: entry.sequence):
        check_follows(stands, entry)
        stands = entry.sequence, entry.balance_after
    if stands != (after.ledger_sequence, after.credits_balance):
        found = f"{after.credits_balance} after row {after.ledger_sequence}"
        raise LedgerWrong(f"the rows lead to {stands[1]} after row {stands[0]}, the account to {found}", after.email)


def dated(newest_first: Iterable[PostedEntry], now: datetime) -> Iterator[PostedEntry]:
    """Rows of one account, none of which happened after the next: a clock that was ahead is found out by what follows.

    What is later than `now` has happened by now. With the newest row at the beginning every row gets its one time,
    however many pages there are; the order is the sequence and stays.
    """
    latest = None
    for entry in newest_first:
        moment = entry.timestamp if entry.timestamp <= now + OUT_OF_TIME else now
        latest = moment if latest is None else min(moment, latest)
        yield entry if latest == entry.timestamp else replace(entry, timestamp=latest, ahead_at=entry.listed_at)


def _place_after(newest: datetime | None, now: datetime) -> tuple[datetime, datetime | None]:
    """The time of a row that follows one listed at `newest`, and where it is listed if that is far from its time.

    `now` is the store's time where the store tells it, so it is believed before what an earlier machine has written.
    """
    if newest is None or newest < now:
        return now, None
    following = newest + timedelta(microseconds=1)
    return (now, following) if following - now > OUT_OF_TIME else (following, None)


def _account_after(account: Account, posted: PostedEntry) -> Account:
    ahead = [moment for moment in (account.ahead_since, posted.ahead_at and posted.timestamp) if moment]
    return replace(
        account,
        ledger_sequence=posted.sequence,
        folded_sequence=posted.sequence if account.is_folded else account.folded_sequence,
        last_entry_at=posted.listed_at,
        last_happened_at=posted.timestamp if posted.ahead_at else None,
        ahead_since=min(ahead, default=None),
        version=account.version + 1,
    )


def spend_entry(task: Task) -> LedgerEntry:
    return LedgerEntry(
        transaction_id=f"spend#{task.task_id}",
        user_email=task.user_email,
        type=SPEND,
        amount=-task.credits_spent,
        description=f"Task: {_first_words(task.description)}",
        task_id=task.task_id,
        key_id=task.key_id,
    )


def task_refund_entry(task: Task, reason: str) -> LedgerEntry:
    return LedgerEntry(
        transaction_id=f"refund#{task.task_id}",
        user_email=task.user_email,
        type=REFUND,
        amount=task.credits_spent,
        description=f"Refund, {reason}: {_first_words(task.description)}",
        task_id=task.task_id,
    )


def _spend_after(by_day: Mapping[str, int], moment: datetime, credits: int) -> dict[str, int]:
    """Without the days that fall out, and those that have not come: they are of a clock that was ahead."""
    oldest = (moment - timedelta(days=DAYS_OF_SPEND - 1)).date().isoformat()
    tomorrow = (moment + timedelta(days=1)).date().isoformat()
    kept = {day: spent for day, spent in by_day.items() if oldest <= day <= tomorrow}
    today = moment.date().isoformat()
    return {**kept, today: kept.get(today, 0) + credits}


def _window_after(account: Account, now: datetime) -> tuple[str, int]:
    """Count this submit in the account's current minute: the throttle rides in the row that is written anyway."""
    window = to_iso(now)[:16]
    count = account.submits_in_window + 1 if account.submit_window == window else 1
    if count > SUBMITS_A_MINUTE:
        raise RateLimited(60 - now.second, standing=submits(account, now))
    return window, count


def submits(account: Account, now: datetime) -> Standing:
    """How many tasks an account may still submit in this minute."""
    used = account.submits_in_window if account.submit_window == to_iso(now)[:16] else 0
    return Standing("submit", SUBMITS_A_MINUTE, 60, max(0, SUBMITS_A_MINUTE - used), 60 - now.second)


def whole_words(entry: PostedEntry, description: str) -> str:
    """What a row says, with all the words of its task where it has the first of them."""
    first = _first_words(description)
    if not first or not entry.description.endswith(first):
        return entry.description
    return entry.description.removesuffix(first) + one_line(description)


def _first_words(text: str, limit: int = 60) -> str:
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
