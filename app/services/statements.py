"""The ledger as a whole, and monthly statements: opening balance, movements, closing balance.

The order of an account's rows is their sequence. Each row lies in one month: that of its own time, or of the earliest
time that a later row states, if a clock was ahead when it was written. Lists and files show the time as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, TypeVar

from app.data import Store
from app.domain.accounts import Account, AccountKey
from app.domain.clock import to_iso, utcnow
from app.domain.credits import OUT_OF_TIME, PostedEntry, dated, whole_words
from app.domain.errors import LedgerBehind
from app.domain.formatting import excerpt
from app.domain.paging import Page
from app.domain.statement import MAX_IN_FULL, Money, Statement, StatementRow, money_moved

MAX_MONTHS = 60
MAX_OF_A_ROW = 6_000  # characters: a task's words, and what stands before them
MAX_WORDS = 500_000  # characters of its tasks together
SETTLING_SECONDS = (0.1, 0.4)  # the index follows the table within a fraction of a second
NEWEST = "~"  # after every key

Answer = TypeVar("Answer")


def list_page(
    store: Store, account: Account, *, limit: int, cursor: str | None, type: str = "", month: str = ""
) -> Page[PostedEntry]:
    """One page of what the filter names, newest first."""
    keys = _keys(store, account, month, utcnow())
    return store.ledger.page(account.email, limit=limit, cursor=cursor, type=type, month=month, keys=keys)


def whole_ledger(store: Store, email: AccountKey, *, type: str = "", month: str = "") -> Iterator[PostedEntry]:
    """Every row that the filter names, newest first, or LedgerBehind: none that stood as this began may be missing.

    They are read from an index that lags a little behind. Sequence numbers show a gap, the account the newest of them;
    so rows of other types are read as well. Rows that are added meanwhile are newer than all of these.
    """
    account, now = store.accounts.get(email), utcnow()
    last_month = _month_of_newest(account, now)
    following = None
    for entry in store.ledger.every_of(email, month=month, keys=_keys(store, account, month, now)):
        if not entry.is_original:
            is_newest = following is None and (not month or month == last_month)
            if entry.sequence < account.ledger_sequence if is_newest else following not in (None, entry.sequence + 1):
                raise LedgerBehind
            following = entry.sequence
        if type in ("", entry.type):
            yield entry
    if account.ledger_sequence and (following != 1 if not month else following is None and month == last_month):
        raise LedgerBehind


def once_settled(read: Callable[[], Answer]) -> Answer:
    """What `read` returns once the index has followed. Raises LedgerBehind when that takes too long."""
    for seconds in SETTLING_SECONDS:
        try:
            return read()
        except LedgerBehind:
            sleep(seconds)
    return read()


def of_month(store: Store, email: AccountKey, month: str) -> dict[str, Any]:
    """The statement of one UTC month (`yyyy-mm`), movements oldest first; all amounts in credits.

    Raises LedgerBehind.
    """
    entries = list(dated(whole_ledger(store, email, month=month), utcnow()))[::-1]
    if entries and not entries[0].is_original:
        opening = entries[0].balance_after - entries[0].amount
    else:
        opening = _balance_before(store, store.accounts.get(email), _begin(month), utcnow())
    credits_in = sum(entry.amount for entry in entries if entry.amount > 0)
    credits_out = -sum(entry.amount for entry in entries if entry.amount < 0)
    return {
        "entries": entries,
        "opening": opening,
        "closing": opening + credits_in - credits_out,
        "credits_in": credits_in,
        "credits_out": credits_out,
    }


def statement(store: Store, email: AccountKey, month: str) -> Statement:
    """The same with all that is shown beside it: whole words, and the money of payments. Raises LedgerBehind.

    A month of very many rows, or words, has the first words of each task, as they stand in the ledger.
    """
    found = of_month(store, email, month)
    entries: list[PostedEntry] = found.pop("entries")
    money, words = _money(store, entries), _words(store, email, entries)
    rows = [
        StatementRow(
            entry,
            excerpt(whole_words(entry, (words or {}).get(entry.task_id or "", "")), MAX_OF_A_ROW),
            money.get(entry.transaction_id),
        )
        for entry in entries
    ]
    return Statement(month=month, rows=rows, in_full=words is not None, **found)


def _words(store: Store, email: AccountKey, entries: list[PostedEntry]) -> dict[str, str] | None:
    """Of each task that the rows are of; None for more than one statement holds."""
    if len(entries) > MAX_IN_FULL:
        return None
    found: dict[str, str] = {}
    length = 0
    for task_id, words in store.tasks.descriptions(email, [entry.task_id for entry in entries if entry.task_id]):
        found[task_id], length = words, length + len(words)
        if length > MAX_WORDS:
            return None
    return found


def _money(store: Store, entries: list[PostedEntry]) -> dict[str, Money | None]:
    records = store.payments.find_many(entry.payment_id for entry in entries if entry.payment_id)
    moved: dict[str, Money | None] = {}
    for entry in entries:
        record = records.get(entry.payment_id or "")
        if record and entry.transaction_id not in moved:
            moved |= money_moved(record, [entry] if record.entries == 1 else store.ledger.of_payment(record))
    return moved


def _balance_before(store: Store, account: Account, moment: datetime, now: datetime) -> int:
    """Rows of the original product name no balance: there, what they add up to."""
    row = _last_before(store, account, moment, now)
    if row is None or not row.is_original:
        return row.balance_after if row else 0
    return sum(entry.amount for entry in store.ledger.every_of(account.email, keys=("0", _after(row))))


def _is_ahead(account: Account, now: datetime) -> bool:
    """Whether rows of it are listed elsewhere than at their time."""
    ahead_of_now = account.last_entry_at is not None and account.last_entry_at > now + OUT_OF_TIME
    return account.ahead_since is not None or ahead_of_now


def _month_of_newest(account: Account, now: datetime) -> str:
    """The month that its newest row lies in; empty without one."""
    newest = account.last_happened_at or account.last_entry_at
    if newest is None:
        return ""
    return (now if newest > now + OUT_OF_TIME else newest).strftime("%Y-%m")


def _keys(store: Store, account: Account, month: str, now: datetime) -> tuple[str, str] | None:
    """Between which places the rows of a month are listed; None where the month itself says it."""
    if not month or not _is_ahead(account, now):
        return None
    begin = _begin(month)
    if begin > now:
        return NEWEST, NEWEST
    end = (begin + timedelta(days=31)).replace(day=1)
    return _edge(store, account, begin, now), _edge(store, account, end, now)


def _edge(store: Store, account: Account, moment: datetime, now: datetime) -> str:
    """The place before which lies all that happened before `moment`. What is yet to come lies behind every row."""
    if moment > now:
        return NEWEST
    row = _last_before(store, account, moment, now)
    return _after(row) if row else "0"


def _last_before(store: Store, account: Account, moment: datetime, now: datetime) -> PostedEntry | None:
    if _is_ahead(account, now) and moment > now:
        return next(iter(store.ledger.page(account.email, limit=1).items), None)
    ahead = account.ahead_since is not None and account.ahead_since < moment
    return store.ledger.last_before(account.email, moment, ahead=ahead)


def _after(row: PostedEntry) -> str:
    """Behind this row and before the next one, which is listed at least a microsecond later."""
    return to_iso(row.listed_at) + NEWEST


def _begin(month: str) -> datetime:
    return datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)


def months(since: datetime, now: datetime) -> list[str]:
    """The months from an account's first to this one, newest first; of one made by a clock that was ahead, all."""
    names: list[str] = []
    first = (since.year, since.month) if since <= now else (0, 0)
    year, month = now.year, now.month
    while (year, month) >= first and len(names) < MAX_MONTHS:
        names.append(f"{year}-{month:02d}")
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return names
