"""One look at everything that the books are made of: tables read in parts side by side, judged by `book_rules`.

Two ways lead through the rows. The ledger of an account is read from its index, in its order, and judged as it comes:
an account is done when its rows are, and what was found is kept with the part that it belongs to. What crosses accounts
(tasks, payments, codes, finance's figures, value made by hand) is read by a scan, which comes in no order, and brought
together on the disk: docs/decisions/0033.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from threading import Event
from typing import Any, NamedTuple, Protocol, TypeVar

from app.data import Store
from app.data.base import Part
from app.data.threads import BOOKS
from app.domain.accounts import AccountKey
from app.domain.checks import Begun, Difference
from app.domain.credits import PROMO, REFUND, SPEND, PostedEntry
from app.domain.ledger_figures import NAMES, LedgerFigures, Place
from app.domain.paging import batched
from app.domain.payments import target

from . import ledger_figures
from .book_rules import (
    ADJUSTED,
    Adjusted,
    Paid,
    account_differences,
    by_hand_differences,
    code_differences,
    counted,
    no_account,
    no_payment,
    no_place,
    no_task,
    odd_numbers,
    payment_differences,
    task_differences,
    unreadable_amount,
)
from .figures import DaysOfLedger
from .parked import CREDITED
from .work_file import KnownAccount, WorkFile

FIGURES = "figures of finance"
ROWS_AT_ONCE = 1_000
ACCOUNTS_A_PART, ROWS_A_PART = 4_000, 100_000
MOST_PARTS = 500
TOGETHER = timedelta(hours=1)  # within which the tables are read that are compared with one another
ROWS_A_WORD = 100
LOOKS_EVERY = 0.5  # seconds between two words of how far all parts are

Progress = Callable[[str, int], None]
Row = TypeVar("Row")
Reading = Callable[[Callable[[], None]], None]  # reads one part, and says so at each row


def told(rows: Iterable[Row], what: str, progress: Progress) -> Iterator[Row]:
    """The rows, with a word now and then of how many there were."""
    for number, row in enumerate(rows):
        if number % ROWS_A_WORD == 0:
            progress(what, number)
        yield row


class Kept(Protocol):
    """Where a check keeps what its parts have found."""

    name: str  # of its file on the disk; empty: nobody goes on in it

    def begin(self, parts: int) -> int:
        """How many parts the accounts have: those of the check that goes on, or `parts`."""

    def found(self, part: int) -> Sequence[Difference] | None:
        """What was found in a part; None where it has not ended."""

    def keep(self, part: int, differences: Sequence[Difference]) -> None: ...

    def end(self) -> None:
        """The check has come to its end."""


class Unkept:
    """Nowhere. Without `accounts` their ledgers are not looked at: somebody else has done that."""

    name = ""

    def __init__(self, *, accounts: bool = True) -> None:
        self._accounts = accounts

    def begin(self, parts: int) -> int:
        return parts

    def found(self, part: int) -> Sequence[Difference] | None:
        return None if self._accounts else ()

    def keep(self, part: int, differences: Sequence[Difference]) -> None:
        pass

    def end(self) -> None:
        pass


class KeptInStore:
    """In the store, for six hours: who asks for a check within them goes on with the one that was broken off.

    Any number may be at work on one: each part is kept as whoever ended it last has found it.
    """

    def __init__(
        self, store: Store, run: str, now: datetime, say: Callable[[str], None], *, anew: bool = False
    ) -> None:
        self._store, self._say = store, say
        begun = store.checks.begun()
        self._goes_on = begun is not None and begun.lasts(now) and not anew
        self._begun = begun if begun and self._goes_on else Begun(run, now, 0)
        self._ended = store.checks.ended_parts(self._begun) if self._goes_on else {}
        self.name = self._begun.run

    def begin(self, parts: int) -> int:
        if self._goes_on:
            done = f"{len(self._ended)} of {self._begun.parts} parts of the accounts are done"
            self._say(f"Going on with the check that was begun at {self._begun.begun_at:%H:%M} UTC: {done}.")
        else:
            self._begun = Begun(self._begun.run, self._begun.begun_at, parts)
            self._store.updates.checks.begin(self._begun)
        return self._begun.parts

    def found(self, part: int) -> Sequence[Difference] | None:
        return self._ended.get(part)

    def keep(self, part: int, differences: Sequence[Difference]) -> None:
        self._ended[part] = tuple(differences)
        self._store.updates.checks.keep_part(self._begun, part, differences)

    def end(self) -> None:
        self._store.updates.checks.forget(self._begun, [part for part, found in self._ended.items() if found])


class _Task(NamedTuple):
    task_id: str
    user_email: AccountKey
    status: str
    credits_spent: int
    original: bool
    version: int
    unexplained: str | None


class Look:
    """`of_accounts`, then `of_others`: accounts are read first, then the ledger, then what a transaction writes beside
    its row, so that whatever a row asks for has been written before it is looked for.
    """

    def __init__(self, store: Store, work: WorkFile, kept: Kept, now: datetime, progress: Progress) -> None:
        self._store, self._work, self._kept, self._progress = store, work, kept, progress
        self._now = now

    def of_accounts(self) -> list[Difference]:
        """What differs in the ledgers of the accounts, each by itself."""
        if not self._work.has("codes"):
            uses = [("codes before", "", code.code, code.uses) for code in self._store.codes.every()]
            self._work.write("codes", {"sums": uses}, ends=True)
        parts = self._kept.begin(self._parts("Users", ACCOUNTS_A_PART))
        found: list[list[Difference]] = [[] for _ in range(parts)]
        self._read("accounts", [partial(self._accounts, (part, parts), found[part]) for part in range(parts)])
        return [difference for some in found for difference in some]

    def of_others(self, ledger_differs: bool) -> list[Difference]:
        """What differs between tables. Figures of a ledger that does not add up say nothing, and are left out then."""
        self._forget_what_is_old()
        before = self._figures_once("figures before")
        self._read_in_parts("ledger rows", "Transactions", self._ledger)
        after = self._figures_once("figures after")
        self._read_in_parts("tasks", "Tasks", self._tasks)
        self._read_in_parts("payments", "Payments", self._payments)
        self._progress("what belongs together", 0)
        of_ledger = list(self._of_ledger())
        found = of_ledger
        if not of_ledger and not ledger_differs:
            found += self._figure_differences(before, after)
        for differences in (self._task_differences, self._payment_differences, self._code_differences):
            found += differences()
        adjusted = ((email, [Adjusted(*row[2:]) for row in rows]) for email, rows in self._work.adjusted())
        found += by_hand_differences(self._store, adjusted, self._work.credited(CREDITED))
        return found

    def _forget_what_is_old(self) -> None:
        """Of tables that were begun long ago: every task and payment since would seem to lack its rows."""
        begun = min((value for _, _, value in self._work.sums("begun")), default=None)
        now = int(self._now.timestamp())
        if begun is None or not 0 <= now - begun <= TOGETHER.total_seconds():
            self._work.forget_but("accounts ", "codes")
            self._work.write("begun", {"sums": [("begun", "", "", now)]}, ends=True)

    def days(self) -> dict[str, dict[str, int]]:
        """What each of the last days sold and spent."""
        days: dict[str, dict[str, int]] = {}
        for day, name, value in self._work.sums("day"):
            days.setdefault(day, {})[name] = value
        return days

    def _parts(self, table: str, rows: int) -> int:
        return min(self._store.whole.size(table) // rows + 1, MOST_PARTS)

    def _read_in_parts(self, what: str, table: str, read: Callable[[Part, str, Callable[[], None]], None]) -> None:
        """Read a table, but for the parts that stand in the file."""
        parts = next((of for of in self._begun_in(what)), None) or self._parts(table, ROWS_A_PART)
        if not self._work.has(f"{what}, begun"):
            self._work.write(f"{what}, begun", {"sums": [("parts", what, "", parts)]}, ends=True)
        names = [f"{what} {part} of {parts}" for part in range(parts)]
        left = [(part, name) for part, name in enumerate(names) if not self._work.has(name)]
        self._read(what, [partial(read, (part, parts), name) for part, name in left])

    def _begun_in(self, what: str) -> Iterator[int]:
        return (value for place, _, value in self._work.sums("parts") if place == what)

    def _read(self, what: str, parts: Sequence[Reading]) -> None:
        """Read parts side by side; what is thrown in one ends the others at their next row.

        Progress is told by the caller's own thread alone.
        """
        self._progress(what, 0)
        if len(parts) == 1:
            rows = count(1)

            def tell() -> None:
                if (number := next(rows)) % ROWS_A_WORD == 0:
                    self._progress(what, number)

            parts[0](tell)
            return
        stop, rows_read = Event(), [0] * len(parts)

        def one_of(number: int) -> None:
            def tell() -> None:
                rows_read[number] += 1
                if stop.is_set():
                    raise _Stopped

            parts[number](tell)

        reads = [BOOKS.submit(one_of, number) for number in range(len(parts))]
        try:
            while True:
                done, at_work = wait(reads, LOOKS_EVERY, FIRST_EXCEPTION)
                if not at_work or any(read.exception() for read in done):
                    break
                self._progress(what, sum(rows_read))
        finally:
            stop.set()
            at_work = {read for read in reads if not read.cancel()}
            wait(at_work)
        failures = [failure for read in at_work if (failure := read.exception())]
        for failure in sorted(failures, key=lambda failure: isinstance(failure, _Stopped)):
            raise failure

    def _accounts(self, part: Part, found: list[Difference], tell: Callable[[], None]) -> None:
        known = self._kept.found(part[0])
        name = f"accounts {part[0]} of {part[1]}"
        if known is not None and self._work.has(name):
            found += known
            return
        differences: list[Difference] = list(known or ())
        for some in batched(self._store.accounts.every(part), ROWS_AT_ONCE):
            rows = []
            for account in some:
                tell()
                last, folded = counted(account.ledger_sequence) or 0, counted(account.folded_sequence) or 0
                rows.append((account.email, last, folded, account.unexplained))
                if known is None:
                    differences += account_differences(account, partial(self._store.ledger.links_of, account.email))
            self._work.write(name, {"accounts": rows})
        self._work.write(name, {}, ends=True)
        if known is None:
            self._kept.keep(part[0], differences)
        found += differences

    def _ledger(self, part: Part, name: str, tell: Callable[[], None]) -> None:
        known: dict[AccountKey, KnownAccount] = {}
        figures, days = ledger_figures.Count(known), DaysOfLedger(self._now)
        redeemed: dict[str, int] = {}
        for some in batched(self._store.ledger.every(part), ROWS_AT_ONCE):
            known.clear()
            known |= self._work.accounts({entry.user_email for entry in some})
            rows: dict[str, list[tuple[Any, ...]]] = {}
            for entry in some:
                tell()
                days.add(entry)
                for table, *values in _facts(entry, known.get(entry.user_email)):
                    if table == "redeemed":
                        redeemed[values[0]] = redeemed.get(values[0], 0) + 1
                    elif table == "figures":
                        figures.add(entry)
                    else:
                        rows.setdefault(table, []).append(tuple(values))
            self._work.write(name, rows)
        sums = [("code", "", code, rows_of_it) for code, rows_of_it in redeemed.items()]
        sums += [("day", day, what, value) for day, values in days.days.items() for what, value in values.items()]
        self._work.write(name, {"sums": [*sums, *_as_sums("figures", figures.by_place())]}, ends=True)

    def _tasks(self, part: Part, name: str, tell: Callable[[], None]) -> None:
        for some in batched(self._store.tasks.every(part), ROWS_AT_ONCE):
            rows = []
            for task in some:
                tell()
                facts = (task.status, task.credits_spent, task.original, task.version, task.unexplained)
                rows.append((task.task_id, task.user_email, *facts))
            self._work.write(name, {"tasks": rows})
        self._work.write(name, {}, ends=True)

    def _payments(self, part: Part, name: str, tell: Callable[[], None]) -> None:
        for some in batched(self._store.payments.every(part), ROWS_AT_ONCE):
            rows = []
            for paid in some:
                tell()
                odd = odd_numbers(paid, "granted", "applied", "total_cents")
                credits = (0, 0, odd) if odd else (paid.granted, paid.applied, target(paid))
                rows.append((paid.payment_id, paid.user_email, *credits, paid.resolution))
            self._work.write(name, {"payments": rows})
        self._work.write(name, {}, ends=True)

    def _figures_once(self, name: str) -> dict[Place, LedgerFigures]:
        """Finance's figures as they were when this was first asked for."""
        if not self._work.has(name):
            now = self._store.ledger_figures.by_place()
            self._work.write(name, {"sums": _as_sums(name, now)}, ends=True)
        return self._figures(name)

    def _figures(self, kind: str) -> dict[Place, LedgerFigures]:
        by_place: dict[Place, dict[str, int]] = {}
        for place, name, value in self._work.sums(kind):
            month, _, shard = place.partition("#")
            by_place.setdefault((month, int(shard)), {})[name] = value
        return {place: LedgerFigures(**values) for place, values in by_place.items()}

    def _of_ledger(self) -> Iterator[Difference]:
        for email in self._work.ownerless():
            if self._store.accounts.find(AccountKey(email)) is None:  # else it was made while this ran
                yield no_account(AccountKey(email))
        for transaction_id, stored, email in self._work.unreadable():
            yield unreadable_amount(transaction_id, stored, AccountKey(email))
        for transaction_id, stored, email in self._work.misplaced():
            yield no_place(transaction_id, stored, AccountKey(email))

    def _figure_differences(
        self, before: dict[Place, LedgerFigures], after: dict[Place, LedgerFigures]
    ) -> Iterator[Difference]:
        for one in ledger_figures.wrong(before, self._figures("figures"), after):
            place = f"{one.place[0]}, shard {one.place[1]:02}"
            yield Difference(place, f"{FIGURES}: {one.name}", str(one.expected), str(one.found))
        whole = None
        for email, last, folded in self._work.behind():
            whole = ledger_figures.is_whole(self._store) if whole is None else whole
            if whole:
                yield Difference(email, f"{FIGURES}: rows", str(last), str(folded))

    def _task_differences(self) -> Iterator[Difference]:
        for row, moved in told(self._work.tasks(), "tasks and their rows", self._progress):
            if row is None:
                yield no_task(moved[0][0], moved[-1][3])
                continue
            charged, given_back = ([int(each[2]) for each in moved if each[1] == type] for type in (SPEND, REFUND))
            task = _Task(*row)
            yield from task_differences(task._replace(credits_spent=int(task.credits_spent)), charged, given_back)

    def _payment_differences(self) -> Iterator[Difference]:
        for row, rows in told(self._work.payments(), "payments and their rows", self._progress):
            if row is None:
                yield no_payment(rows[0][0])
                continue
            payment_id, email, granted, applied, asked_for, _ = row
            paid = Paid(payment_id, email, granted, applied, asked_for)
            differences = list(payment_differences(paid, sum(int(each[1]) for each in rows), email))
            if differences and email and self._is_unexplained(AccountKey(email)):
                # an adoption that broke off: the next one ends it, and a freeze would outlast it
                differences = [replace(difference, email=None) for difference in differences]
            yield from differences

    def _is_unexplained(self, email: AccountKey) -> bool:
        account = self._work.accounts([email]).get(email)
        return bool(account and account.unexplained)

    def _code_differences(self) -> Iterator[Difference]:
        before = {name: uses for _, name, uses in self._work.sums("codes before")}
        rows = {name: many for _, name, many in self._work.sums("code")}
        after = {code.code: code.uses for code in self._store.codes.every()}
        return code_differences(before, rows, after)


class _Stopped(Exception):
    """Another part has failed."""


def look_again(store: Store, differences: Iterable[Difference]) -> list[Difference]:
    """What differs now in the ledgers of the accounts that these name."""
    found: list[Difference] = []
    for email in sorted({difference.subject for difference in differences}):
        account = store.accounts.find(AccountKey(email))
        if account is not None:
            found += account_differences(account, partial(store.ledger.links_of, account.email))
    return found


def _facts(entry: PostedEntry, account: KnownAccount | None) -> Iterator[tuple[Any, ...]]:
    """What one ledger row says of other tables."""
    place = entry.sequence if type(entry.sequence) is int else None
    if account is None:
        yield "ownerless", entry.user_email
    if place is None:
        yield "misplaced", entry.transaction_id, str(entry.sequence), entry.user_email
    if entry.is_original and (account is None or account.unexplained):
        return  # its account is named, or nobody's
    if entry.unreadable:
        yield "unreadable", entry.transaction_id, entry.unreadable, entry.user_email
    elif type(entry.balance_after) is int and place is not None:
        yield ("figures",)
    if entry.type in (SPEND, REFUND) and not entry.is_original:
        yield "moved", entry.task_id or entry.transaction_id, entry.type, entry.amount, entry.user_email
    if entry.payment_id:
        yield "applied", entry.payment_id, entry.amount
    if entry.type == PROMO and entry.transaction_id.count("#") == 2:
        yield "redeemed", entry.transaction_id.split("#")[1]
    if entry.transaction_id.startswith(ADJUSTED):
        yield "adjusted", entry.user_email, place or 0, entry.transaction_id, entry.amount


def _as_sums(kind: str, figures: dict[Place, LedgerFigures]) -> list[tuple[str, str, str, int]]:
    return [
        (kind, f"{month}#{shard:02}", name, getattr(one, name))
        for (month, shard), one in figures.items()
        for name in NAMES
    ]
