"""How numbers, money and moments read on a page: pure functions, offered to Jinja as filters of the same name."""

import calendar
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from app.domain.audit import act_in_words
from app.domain.charts import Chart, columns
from app.domain.clock import utcnow
from app.domain.money import MINUS, money
from app.domain.tasks import MAX_TITLE
from app.domain.text import one_line, shows

NO_WORDS = "(without words)"  # of a row that is older than the rule that a text shows something
MONTHS = tuple(calendar.month_name)
KINDS = {
    "purchase": "Purchase",
    "spend": "Task",
    "refund": "Task refund",
    "clawback": "Payment taken back",
    "reinstatement": "Payment restored",
    "adjustment": "Adjustment",
    "promo": "Promotion",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_TWO = tuple(f"{number:02}" for number in range(60))  # an hour, a minute or a second, in two digits
_STEPS = ((_DAY, "day", _HOUR, "hour"), (_HOUR, "hour", _MINUTE, "minute"), (_MINUTE, "minute", 1, "second"))


class DaySpend(NamedTuple):
    """The credits that one UTC day cost."""

    day: date
    credits: int


class Spend(NamedTuple):
    """Credits spent over some days: the sum, the day that cost most, and a column for each day."""

    total: int
    peak: DaySpend
    chart: Chart


@lru_cache(maxsize=4096)  # the prices and small balances of every page; Python writes commas at leisure
def credits(amount: int) -> str:
    """1000 reads "1,000"; a negative number takes a real minus sign."""
    return f"{MINUS if amount < 0 else ''}{abs(amount):,}"


def signed_credits(amount: int) -> str:
    """A movement: "+1,000", "−10", and a plain "0"."""
    return f"+{amount:,}" if amount > 0 else credits(amount)


def count(amount: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: "1 credit", "980 credits"."""
    return f"{credits(amount)} {singular if abs(amount) == 1 else plural or singular + 's'}"


def dollars(cents: int) -> str:
    """1000 cents read "$10.00"."""
    return money(cents, "usd")


def cents_per_credit(price_cents: int, credits_bought: int) -> str:
    """What one credit costs, to a hundredth of a cent: "1¢", "0.91¢"."""
    hundredths = (price_cents * 200 + credits_bought) // (2 * credits_bought)
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + "¢"


def about_tasks(balance: int, cost: int = 10) -> str:
    """How far a balance reaches: "about 98 tasks"."""
    tasks = max(balance, 0) // cost
    if tasks == 0:
        return "not enough for a task"
    return f"about {count(tasks, 'task')}"


def duration(seconds: int) -> str:
    """A wait in words, rounded up so that it is never too short: "45 seconds", "2 minutes"."""
    seconds = max(int(seconds), 1)
    if seconds < 2 * _MINUTE:
        return count(seconds, "second")
    if seconds < 2 * _HOUR:
        return count(-(-seconds // _MINUTE), "minute")
    return count(-(-seconds // _HOUR), "hour")


def elapsed(seconds: int) -> str:
    """How long something took, in its two largest units: "45 seconds", "7 minutes", "1 hour 27 minutes", "2 days"."""
    for size, name, smaller, name_of_smaller in _STEPS:
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            more = rest // smaller
            return count(whole, name) + (f" {count(more, name_of_smaller)}" if more else "")
    return count(max(seconds, 0), "second")


def relative_time(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, in words; a date once that says more than a count of days."""
    now = now or utcnow()
    since = now - moment
    seconds = since.days * _DAY + since.seconds
    if seconds < 0:
        return f"in {duration(-seconds)}" if seconds <= -_MINUTE else "just now"
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{count(seconds // _MINUTE, 'minute')} ago"
    if seconds < _DAY:
        return f"{count(seconds // _HOUR, 'hour')} ago"
    if seconds < 7 * _DAY:
        return f"{count(seconds // _DAY, 'day')} ago"
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b}" if moment.year == now.year else f"{moment.day} {moment:%b %Y}"


def iso_time(moment: datetime) -> str:
    """For <time datetime>: "2026-11-22T14:03:09Z"."""
    moment = moment.astimezone(UTC)
    day, clock = _written(moment.date()), f"{_TWO[moment.hour]}:{_TWO[moment.minute]}:{_TWO[moment.second]}"
    return f"{day.iso}T{clock}Z"


def exact_time(moment: datetime) -> str:
    """For a title or a receipt: "22 November 2026, 14:03 UTC"."""
    moment = moment.astimezone(UTC)
    return f"{_written(moment.date()).words}, {_TWO[moment.hour]}:{_TWO[moment.minute]} UTC"


def short_date(moment: date) -> str:
    """A column of dates: "22 Nov 2026" (of a moment: its UTC day)."""
    if isinstance(moment, datetime):
        moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y}"


def month_name(month: str) -> str:
    """ "2026-11" reads "November 2026"."""
    return f"{date.fromisoformat(month + '-01'):%B %Y}"


def kind_name(type: str) -> str:
    """What kind of ledger row; rows of the original product may have one of their own."""
    return KINDS.get(type, type)


def excerpt(text: str, length: int = 120) -> str:
    """A text on one line, cut at a word; for lists, where the full text is one click away."""
    line = " ".join(text[: length * 4].split())  # a list of long texts would spend its time on what it does not show
    if len(line) <= length < len(text) or not shows(line[:60]):
        line = one_line(text) or NO_WORDS
    return line if len(line) <= length else _cut(line, length)


def _cut(line: str, length: int) -> str:
    cut = line[: length - 1]
    head, space, _ = cut.rpartition(" ")
    return (head if space and len(head) > length // 2 else cut) + "…"


def listed(title: str) -> str:
    """The title of a task as a list shows it: one that fills its room may have been longer, and is cut at a word."""
    return _cut(title, MAX_TITLE - 1) if len(title) == MAX_TITLE else title or NO_WORDS


def file_size(size_bytes: int) -> str:
    """How large a file is: "3 bytes", "12 KB", "1.4 MB"."""
    if size_bytes < 1024:
        return count(size_bytes, "byte")
    if size_bytes < 1024 * 1024:
        return f"{size_bytes // 1024:,} KB"
    return f"{size_bytes / 1024 / 1024:,.1f}".removesuffix(".0") + " MB"


def spend(spend_by_day: Mapping[str, int] | None) -> Spend:
    """What the chart of the last 30 days shows."""
    days = daily_spend(spend_by_day)
    words = [f"{_written(day).short}: {_spent(spent)}" if spent else "" for day, spent in days]
    chart = columns([spent for _, spent in days], words)
    return Spend(sum(spent for _, spent in days), max(days, key=itemgetter(1)), chart)


def daily_spend(spend_by_day: Mapping[str, int] | None, days: int = 30, today: date | None = None) -> list[DaySpend]:
    """One entry for each of the last days, oldest first, with 0 for a day without spending."""
    spent = spend_by_day or {}
    return [DaySpend(day, int(spent.get(iso, 0))) for day, iso in _window(today or utcnow().date(), days)]


@lru_cache(maxsize=1024)
def _spent(amount: int) -> str:
    return f"{count(amount, 'credit')}, {dollars(amount)}"


class _Written(NamedTuple):
    """A day in the ways that lists name it: "2026-11-22", "22 November 2026", "22 Nov"."""

    iso: str
    words: str
    short: str


@lru_cache(maxsize=4096)  # lists name the same days again and again, whoever looks at them
def _written(day: date) -> _Written:
    return _Written(day.isoformat(), f"{day.day} {MONTHS[day.month]} {day.year}", f"{day.day} {day:%b}")


@lru_cache(maxsize=8)
def _window(today: date, days: int) -> list[tuple[date, str]]:
    window = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    return [(day, day.isoformat()) for day in window]


FILTERS = {
    function.__name__: function
    for function in (
        credits,
        signed_credits,
        count,  # Jinja has a filter "count" of its own, an alias of "length" that no template of ours uses
        money,
        dollars,
        cents_per_credit,
        about_tasks,
        duration,
        elapsed,
        relative_time,
        iso_time,
        exact_time,
        short_date,
        month_name,
        kind_name,
        excerpt,
        file_size,
        spend,
        act_in_words,
    )
}
