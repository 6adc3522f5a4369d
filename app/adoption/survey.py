"""What of the original's three tables cannot be brought in as it stands: every such row by its key, what is wrong with
it, and what would mend it where there is one right answer.

Rows are read as DynamoDB holds them: what would stop any other reading is what is looked for here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from app.data.base import Base
from app.data.codec import Item, decode, whole
from app.data.tables import TASKS, TRANSACTIONS, USERS, Table
from app.domain.accounts import normalise_email
from app.domain.clock import from_iso, to_iso
from app.domain.credits import PURCHASE, SPEND
from app.domain.errors import InvalidInput
from app.domain.tasks import STATUSES, TASK_COST

OURS = {USERS: "ledger_sequence", TRANSACTIONS: "sequence", TASKS: "version"}  # who has it is not the original's
WHOSE = {USERS: "email", TRANSACTIONS: "user_email", TASKS: "user_email"}
TABLES = {table.suffix.lower(): table for table in OURS}

NOBODY = "no account has this address"
HIDE = ("user_email", "timestamp")  # without these no index has a row, and its account is adopted without it
ABSENT, NULL = "none", "NULL"
SINCE = datetime(2015, 1, 1, tzinfo=UTC)  # no row of the original is older: what says so is another number
OF_A_BROWSER = re.compile(r"\w{3} (\w{3} \d{2} \d{4} \d{2}:\d{2}:\d{2} GMT[+-]\d{4})( \(.*\))?")

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One attribute of one row. `value` is what would mend it; without one a person has to say (`--set`)."""

    table: Table
    key: str
    field: str
    problem: str
    value: Any = None
    kind: str = ABSENT  # of what stands there: DynamoDB's name for it
    stands: str = ""  # and what it is, where it is text
    whose: str = ""  # the address that the row names

    @property
    def moves(self) -> bool:
        """Whether mending it gives an account another key."""
        return self.table is USERS and self.field == USERS.key

    def __str__(self) -> str:
        mend = "a person has to say" if self.value is None else f"becomes {self.value}"
        return f"{self.table.suffix} {self.key}, {self.field}: {self.problem}; {mend}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is stored, so that nothing about it stops the look."""

    table: Table
    item: Item

    @property
    def key(self) -> str:
        return self.text(self.table.key) or ""

    @property
    def whose(self) -> str:
        return self.text(WHOSE[self.table]) or ""

    @property
    def is_ours(self) -> bool:
        return OURS[self.table] in self.item

    def kind(self, name: str) -> str:
        return next(iter(self.item.get(name, {ABSENT: None})))

    def text(self, name: str) -> str | None:
        value = self.item.get(name, {}).get("S")
        return value if isinstance(value, str) else None

    def plain(self, name: str) -> Any:
        """None also for what is neither text nor a number: the original wrote nothing else."""
        return decode(self.item[name]) if self.kind(name) in ("S", "N") else None

    def said(self, name: str) -> str:
        kind, value = self.kind(name), self.plain(name)
        return "there is none" if kind in (ABSENT, NULL) else f"of the type {kind}" if value is None else f"'{value}'"

    def fault(self, name: str, problem: str, value: Any = None) -> Finding:
        return Finding(self.table, self.key, name, problem, value, self.kind(name), self.text(name) or "", self.whose)


@dataclass(slots=True)
class People:
    """What accounts and rows tell of one another; a few hundred bytes an account."""

    homes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # address in our form: as it is
    joined: set[str] = field(default_factory=set)  # those that are adopted
    since: dict[str, datetime] = field(default_factory=dict)  # the first that is known of each
    sums: dict[str, int | None] = field(default_factory=lambda: defaultdict(int))  # None: an amount cannot be read

    def meet(self, row: Row) -> None:
        self.homes[normal_form(row.key) or row.key].append(row.key)
        if row.is_ours:
            self.joined.add(row.key)

    def hear(self, row: Row) -> None:
        """Of an account or a ledger row."""
        happened = moment_meant(row.plain("created_at" if row.table is USERS else "timestamp"))
        if happened:
            self.since[row.whose] = min(self.since.get(row.whose, happened), happened)
        if row.table is TRANSACTIONS:
            amount, before = whole(row.plain("amount")), self.sums[row.whose]
            self.sums[row.whose] = None if amount is None or before is None else before + amount

    def lack(self, row: Row) -> bool:
        return not row.is_ours and row.whose not in self.homes

    def is_adopted(self, address: str) -> bool:
        return not self.joined.isdisjoint((address, normal_form(address)))

    def home(self, address: str) -> str | None:
        """The address in our form, where that mailbox has one account; else None."""
        normal = normal_form(address)
        return normal if normal and len(self.homes.get(normal, ())) == 1 else None


@dataclass(frozen=True, slots=True)
class Survey:
    findings: list[Finding]
    people: People

    @property
    def unsettled(self) -> set[str]:
        """Addresses whose account has something to mend, in itself or in a row: as they stand, and in our form."""
        named = {found.whose for found in self.findings if found.table is not TASKS}
        return named | {normal for address in named if (normal := normal_form(address))}

    @property
    def nobodys(self) -> list[str]:
        """Ledger rows that may be anybody's: whoever is adopted without one has it made up for, and gets it twice."""
        return [
            found.key
            for found in self.findings
            if found.table is TRANSACTIONS and found.field == "user_email" and normal_form(found.whose) is None
        ]

    @property
    def tasks(self) -> set[str]:
        return {found.key for found in self.findings if found.table is TASKS}


def survey(base: Base, now: datetime, progress: Progress = lambda table, rows: None) -> Survey:
    """One consistent scan of each table. Raises StoreUnavailable."""
    people = People()
    found: list[Finding] = []
    for row in every_row(base, USERS, progress):
        people.meet(row)
        people.hear(row)
        found += faults_of(row)
    for row in every_row(base, TRANSACTIONS, progress):
        people.hear(row)
        faults = faults_of(row)
        found += [row.fault("user_email", NOBODY)] if not faults and people.lack(row) else faults
    for row in every_row(base, TASKS, progress):
        found += faults_of(row)
    return Survey([settled(each, people, now) for each in found], people)


def every_row(base: Base, table: Table, progress: Progress = lambda table, rows: None) -> Iterator[Row]:
    read = 0
    for page in base._scan_pages(table.suffix):
        progress(table.suffix, read)
        read += len(page["Items"])
        yield from (Row(table, item) for item in page["Items"])


def faults_of(row: Row) -> list[Finding]:
    """What is wrong with a row by itself, whatever the others say; nothing is wrong with one of ours."""
    return [] if row.is_ours else [found for check in CHECKS[row.table] if (found := check(row))]


def settled(found: Finding, people: People, now: datetime) -> Finding:
    """With what would mend it, where that follows from other rows."""
    if found.table is TRANSACTIONS and found.field in HIDE and people.is_adopted(found.whose):
        late = "its account was adopted without it, so its opening row has made up for it"
        return replace(found, problem=f"{found.problem} ({late})", value=None)
    if found.field in ("email", "user_email"):
        return _at_home(found, people)
    if found.value is None and found.field in ("created_at", "timestamp") and found.kind in (ABSENT, NULL):
        known = people.since.get(found.whose)
        said = "" if known else ", and no row of its account has a time"
        return replace(found, problem=found.problem + said, value=to_iso(known or now))
    if found.field == "credits_balance" and found.kind in (ABSENT, NULL):
        return replace(found, value=people.sums[found.whose])
    return found


def _at_home(found: Finding, people: People) -> Finding:
    address = found.whose
    home, normal = people.home(address), normal_form(address)
    if found.problem == NOBODY:
        return found
    if home is None and normal and len(rivals := people.homes.get(normal, [])) > 1:
        return replace(found, problem=f"{found.problem}; one mailbox has {len(rivals)} accounts: {', '.join(rivals)}")
    return replace(found, value=home)


def normal_form(address: str) -> str | None:
    try:
        return normalise_email(address)
    except InvalidInput:
        return None


def moment_meant(value: object) -> datetime | None:
    """A time in any of the forms that mean one thing only: ISO, seconds or milliseconds since 1970, a mail's, a
    browser's. None for `03/04/2025`, and for what lies before the original.
    """
    for read in (_iso, _since_1970, _of_a_browser, _of_a_mail):
        try:
            moment = read(str(value).strip())
        except (ValueError, OverflowError, ArithmeticError):
            continue
        if moment >= SINCE:
            return moment
    return None


def _iso(text: str) -> datetime:
    return from_iso(text)


def _since_1970(text: str) -> datetime:
    number = Decimal(text)
    return datetime.fromtimestamp(float(number / 1000 if number > 10**11 else number), UTC)


def _of_a_mail(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _of_a_browser(text: str) -> datetime:
    match = OF_A_BROWSER.fullmatch(text)
    return datetime.strptime(match[1] if match else "", "%b %d %Y %H:%M:%S GMT%z")


def _address(row: Row) -> Finding | None:
    name, address = WHOSE[row.table], row.whose
    if not address:
        return row.fault(name, row.said(name))
    normal = normal_form(address)
    if normal is None:
        return row.fault(name, f"'{address}' is no e-mail address")
    return None if normal == address else row.fault(name, f"'{address}' is not in the form that sign-in looks for")


def _time(name: str, *, may_lack: bool = False) -> Check:
    def check(row: Row) -> Finding | None:
        text = row.text(name)
        if _is_iso(text) if text is not None else may_lack and row.kind(name) == ABSENT:
            return None
        meant = moment_meant(row.plain(name))
        problem = row.said(name) if row.kind(name) in (ABSENT, NULL) else f"{row.said(name)} is no ISO time"
        return row.fault(name, problem, to_iso(meant) if meant else None)

    return check


def _is_iso(text: str) -> bool:
    try:
        from_iso(text)
    except ValueError:
        return False
    return True


def _number(name: str, instead: int | None = None) -> Check:
    def check(row: Row) -> Finding | None:
        if whole(row.plain(name)) is not None:
            return None
        lacks = row.kind(name) in (ABSENT, NULL)
        return row.fault(
            name, row.said(name) if lacks else f"{row.said(name)} is no whole number", instead if lacks else None
        )

    return check


def _type(row: Row) -> Finding | None:
    """A purchase came from a payment, and took nothing away; the original knew nothing else but spends."""
    if row.text("type"):
        return None
    amount, paid = whole(row.plain("amount")) or 0, row.text("stripe_payment_intent")
    meant = SPEND if amount < 0 and not paid else PURCHASE if amount > 0 and paid else None
    return row.fault("type", row.said("type"), meant)


def _status(row: Row) -> Finding | None:
    status = row.text("status")
    if status in STATUSES:
        return None
    meant = re.sub(r"[\s_-]+", "-", (status or "").strip().lower())
    problem = row.said("status") if status is None else f"'{status}' is not one of ours"
    return row.fault("status", problem, meant if meant in STATUSES else None)


Check = Callable[[Row], Finding | None]
CHECKS: dict[Table, tuple[Check, ...]] = {
    USERS: (_address, _number("credits_balance"), _time("created_at")),
    TRANSACTIONS: (_address, _number("amount"), _type, _time("timestamp")),
    TASKS: (
        *(_address, _status, _number("credits_spent", TASK_COST)),  # the price was always the same
        *(_time("created_at"), _time("updated_at", may_lack=True)),
    ),
}
