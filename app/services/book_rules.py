"""The rules of the books: what must follow from what, each told of one account, task, payment or code at a time.

They say nothing of how the rows are read: `books.check` reads tables, `account_differences` and the others judge.
scripts/books_sql says the same in SQL over an export (docs/decisions/0033), and a test holds both together.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from app.data import Store
from app.domain.accounts import Account, AccountKey
from app.domain.audit import AuditRow
from app.domain.by_hand import COMMAND_LINE, are_one, is_person
from app.domain.checks import Difference
from app.domain.credits import Link
from app.domain.sales import OURS
from app.domain.tasks import CANCELLED, REJECTED

from .work_file import LARGEST, fitting

ADJUSTED = "adjust#"
CROSSING = timedelta(minutes=6)  # how far two machines' clocks may differ unnoticed, and what a request may take
SECOND = "second operator of the proposal"
MOST_NAMED = 5  # sequence numbers in one difference


class Rows:
    """One account's ledger in the order of its sequence: on the disk once it is large."""

    def __init__(self) -> None:
        self.total = 0
        self.brought = 0  # of it, rows of the original product: they have no place in the sequence
        self._db = sqlite3.connect("", isolation_level=None)  # a file of its own, which goes when it is closed
        self._db.execute("CREATE TABLE rows (sequence, amount, after)")
        self._db.execute("BEGIN")

    def add(self, row: Link) -> None:
        self.total += row.amount
        if row.sequence == 0:
            self.brought += row.amount
            return
        after = row.balance_after if type(row.balance_after) is int else str(row.balance_after)
        self._db.execute("INSERT INTO rows VALUES (?, ?, ?)", (row.sequence, fitting(row.amount), fitting(after)))

    def last_balance(self) -> Any:
        """After the last row; None where there is none. Of several with one place, the one that was added last."""
        found = self._db.execute("SELECT after FROM rows ORDER BY sequence DESC, rowid DESC LIMIT 1").fetchone()
        return found[0] if found else None

    def missing(self, last: int) -> list[int]:
        """The first places from 1 to `last` that no row has."""
        found: list[int] = []
        expected = 1
        for (sequence,) in self._db.execute("SELECT DISTINCT sequence FROM rows WHERE sequence > 0 ORDER BY 1"):
            found += range(expected, min(sequence, expected + MOST_NAMED, last + 1))
            expected = sequence + 1
            if len(found) >= MOST_NAMED:
                break
        return (found + list(range(expected, min(last + 1, expected + MOST_NAMED))))[:MOST_NAMED]

    def repeated(self) -> list[int]:
        """The first places that more than one row has, each as often as it is too many."""
        ask = "SELECT sequence, COUNT(*) - 1 FROM rows GROUP BY sequence HAVING COUNT(*) > 1 ORDER BY 1 LIMIT ?"
        found = self._db.execute(ask, (MOST_NAMED,))
        return [sequence for sequence, more in found for _ in range(more)][:MOST_NAMED]

    def in_order(self) -> Iterator[tuple[int, int, Any]]:
        for sequence, amount, after in self._db.execute("SELECT sequence, amount, after FROM rows ORDER BY sequence"):
            yield sequence, int(amount), after


class Chain:
    """One account's ledger as it comes from the list, oldest first, in no memory: whether nothing is wrong with it.

    Where something may be, `is_plain` is False, and `Rows` says what.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._last = self._total = 0
        self._follows = True
        self.ahead: int | None = None  # the first row beyond the account's sequence number

    def add(self, row: Link) -> None:
        if row.sequence == 0:
            self._total += row.amount
            self._follows = self._follows and self._last == 0
        elif type(row.sequence) is not int:
            self._follows = False
        elif row.sequence > self._account.ledger_sequence:
            self.ahead = min(row.sequence, self.ahead or row.sequence)
        else:
            self._total += row.amount
            self._follows = (
                self._follows
                and row.sequence == self._last + 1
                and type(row.balance_after) is int
                and row.balance_after == self._total
            )
            self._last = row.sequence

    @property
    def is_plain(self) -> bool:
        counted = (self._last, self._total)
        return self._follows and counted == (self._account.ledger_sequence, self._account.credits_balance)


def account_differences(account: Account, read: Callable[[], Iterable[Link]]) -> Iterator[Difference]:
    """All that is wrong with one account's ledger. `read` hands out its rows, oldest first; twice if need be.

    Of an account only the rows up to its sequence number are looked at: they were durable before its row was read.
    """
    email = account.email
    chain = Chain(account)
    odd = odd_numbers(account, "ledger_sequence")
    for row in () if odd else read():
        chain.add(row)
    if account.unexplained:  # frozen it would be no safer: nothing moves it as it is
        yield Difference(email, "opening row", "a balance that the ledger explains", account.unexplained)
    elif odd:
        yield Difference(email, "numbers of the account", "whole numbers", odd, email)
    elif not chain.is_plain:
        rows = Rows()
        for row in read():
            if type(row.sequence) is int and row.sequence <= account.ledger_sequence:
                rows.add(row)
        yield from balance_differences(account, rows)
    if chain.ahead is not None:
        known = f"the account ends at {account.ledger_sequence}"
        yield Difference(email, f"ledger row {chain.ahead}", "counted in the balance", known, email)


def balance_differences(account: Account, rows: Rows) -> Iterator[Difference]:
    """Whether a balance follows from the rows up to its sequence number, and each row from the one before."""
    email, balance, last = account.email, account.credits_balance, rows.last_balance()
    if balance != rows.total:
        yield Difference(email, "balance and sum of the ledger", str(rows.total), str(balance), email)
    if last is not None and last != balance:
        yield Difference(email, "balance and last balance_after", str(last), str(balance), email)
    missing, repeated = rows.missing(account.ledger_sequence), rows.repeated()
    if missing:
        yield Difference(email, "sequence numbers", f"1 to {account.ledger_sequence}", f"without {missing}", email)
    if repeated:
        yield Difference(email, "sequence numbers", "each once", f"again {repeated}", email)
    if missing or repeated:
        return
    running = rows.brought
    for sequence, amount, after in rows.in_order():
        running += amount
        if running != after:
            yield Difference(email, f"running balance at {sequence}", str(running), str(after), email)
            return


def odd_numbers(row: object, *names: str) -> str:
    """Those attributes of a row that count something and hold no whole number of 64 bits: somebody else wrote them."""
    return ", ".join(f"{name} {value}" for name in names if counted(value := getattr(row, name)) is None)


def counted(value: object) -> int | None:
    return value if type(value) is int and -LARGEST <= value < LARGEST else None


def no_account(email: AccountKey) -> Difference:
    return Difference(email, "account of the ledger rows", "an account", "none")


def unreadable_amount(transaction_id: str, stored: str, email: AccountKey) -> Difference:
    return Difference(transaction_id, "amount", "whole credits", stored, email)


def no_place(transaction_id: str, stored: str, email: AccountKey) -> Difference:
    """Of a row whose sequence is no number: no chain has it, so nothing but this says what it holds."""
    return Difference(transaction_id, "place in the ledger", "a whole number", stored, email)


class TaskFacts(Protocol):
    """What the books ask of a task."""

    @property
    def task_id(self) -> str: ...
    @property
    def user_email(self) -> AccountKey: ...
    @property
    def status(self) -> str: ...
    @property
    def credits_spent(self) -> int: ...
    @property
    def original(self) -> bool: ...
    @property
    def version(self) -> int: ...
    @property
    def unexplained(self) -> str | None: ...


def task_differences(task: TaskFacts, charged: list[int], given_back: list[int]) -> Iterator[Difference]:
    """Whether a task has its spend, and its refund where it was given up: the amounts of the rows that name it."""
    if task.unexplained:
        yield Difference(task.task_id, "task of the original product", "a place in the queue", task.unexplained)
        return
    cost = [-task.credits_spent] if task.credits_spent and not task.original else []
    if charged != cost:
        yield Difference(task.task_id, "spend of the task", str(cost), str(charged), task.user_email)
    given_up = task.status in (CANCELLED, REJECTED)
    by_the_original = task.original and task.version == 0  # and what it gave back for it is its own story
    back = [task.credits_spent] if task.credits_spent and given_up and not by_the_original else []
    if given_back != back:
        yield Difference(task.task_id, "refund of the task", str(back), str(given_back), task.user_email)


def no_task(task_id: str, owner: AccountKey) -> Difference:
    return Difference(task_id, "task of the ledger row", "a task", "none", owner)


class Paid(NamedTuple):
    """What the books ask of a payment; `target` is what its facts ask for, or why that cannot be told."""

    payment_id: str
    user_email: AccountKey | None
    granted: int
    applied: int
    target: int | str


def payment_differences(paid: Paid, stands: int, owner: AccountKey | None) -> Iterator[Difference]:
    """Whether the ledger holds what a payment says of it, and what its facts ask for; or that it says it in no numbers.

    `stands`: what its rows add up to; `owner`: whose spending stops.
    """
    if isinstance(paid.target, str):
        yield Difference(paid.payment_id, "numbers of the payment", "whole numbers", paid.target, owner)
        return
    if stands != paid.applied:
        yield Difference(paid.payment_id, "credits of the payment", str(paid.applied), str(stands), owner)
    if paid.granted and paid.target != paid.applied:
        yield Difference(paid.payment_id, "what the facts ask for", str(paid.target), str(paid.applied), owner)


def no_payment(payment_id: str) -> Difference:
    return Difference(payment_id, "payment of the ledger rows", "a payment", "none")


def code_differences(before: dict[str, int], rows: dict[str, int], after: dict[str, int]) -> Iterator[Difference]:
    """Codes are redeemed meanwhile: the rows found lie between the uses before the ledger was read and those after."""
    for name in sorted(after):
        found = rows.get(name, 0)
        if not before.get(name, 0) <= found <= after[name]:
            yield Difference(name, "uses of the code", str(after[name]), f"{found} ledger rows")
    for name in sorted(rows.keys() - after.keys()):
        yield Difference(name, "code of the ledger rows", "a code", "none")


class Adjusted(NamedTuple):
    """A ledger row that an operator made by hand."""

    transaction_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class ByHand:
    """One thing of value made by hand, with the act of the audit log that stands for it."""

    thing: str
    amount: int
    act: AuditRow


def by_hand_differences(
    store: Store, adjusted: Iterable[tuple[str, list[Adjusted]]], credited: Iterable[tuple[str, int]]
) -> Iterator[Difference]:
    """Each adjustment, parked payment credited, code and named link has its operator in the audit log, and two of them
    once one had made more than the limit of that day alone.

    Acts that name their `day` were booked under one limit over all accounts and means; those from before it are held to
    what held then: adjustments of one account by one operator added up, payments, codes and names did not count.

    `adjusted`: the adjustments of each account in the order of its ledger; `credited`: payments that an operator has
    credited, with how much. Holds what was made by hand, which a day's limits keep few.
    """
    made: list[ByHand] = []
    for email, entries in adjusted:
        acts = {row.after["correction"]: row for row in store.audit.every_of(email) if "correction" in row.after}
        before: dict[tuple[str, date], int] = defaultdict(int)
        for entry in entries:
            act = acts.get(entry.transaction_id.removeprefix(ADJUSTED))
            if act is None:
                yield Difference(entry.transaction_id, "operator of the adjustment", "one in the audit log", "none")
            elif "day" in act.after:
                made.append(ByHand(entry.transaction_id, entry.amount, act))
            elif act.action == "credits.approve":
                if act.after.get("proposed_by") in (None, act.actor):
                    yield Difference(entry.transaction_id, SECOND, "another than who proposed it", act.actor)
            else:
                place = (act.actor, act.at.date())
                yield from _above(before, place, entry.transaction_id, entry.amount, act)
    for payment_id, granted in credited:
        act = next((row for row in store.audit.every_of(payment_id) if row.action == "payment.credit"), None)
        if act is None:
            yield Difference(payment_id, "operator of the credited payment", "one in the audit log", "none")
        elif "day" in act.after:
            made.append(ByHand(payment_id, granted, act))
    for code in store.codes.every():
        act = next((row for row in store.audit.every_of(code.code) if row.action == "code.create"), None)
        if act is None:
            yield Difference(code.code, "operator of the code", "one in the audit log", "none")
        elif "day" in act.after:
            made.append(ByHand(code.code, code.worth, act))
    for sale in store.sales.every():
        named = [row for row in store.audit.every_of(sale.source) if row.action == "sale.name"]
        if sale.decision == OURS and not named:
            yield Difference(sale.source, "operator of the name", "one in the audit log", "none")
        made += [ByHand(sale.source, row.after["amount"], row) for row in named if "day" in row.after]
    yield from _authority_differences(store, made)


def _authority_differences(store: Store, made: list[ByHand]) -> Iterator[Difference]:
    alone: dict[tuple[str, str], int] = defaultdict(int)
    were_operators = _Operators(store)
    for one in sorted(made, key=lambda one: (one.act.at, one.act.audit_id)):
        about, actor, thing = one.act.after, one.act.actor, one.thing
        proposer = about.get("proposed_by")
        if about.get("amount") != one.amount:
            yield Difference(thing, "credits made by hand", f"{about.get('amount')} in the audit log", str(one.amount))
        for name in filter(None, (actor, proposer)):
            if is_person(name) and not were_operators.at(name, one.act.at):
                yield Difference(thing, "operator of what was made by hand", "an operator at that time", name)
        if proposer is not None:
            if are_one(proposer, actor):
                yield Difference(thing, SECOND, "another than who proposed it", actor)
            continue
        counted = about.get("counted", [])
        if actor not in counted and COMMAND_LINE not in counted:
            yield Difference(thing, "count of what was made by hand", actor, ", ".join(counted) or "nobody")
        for name in counted:
            yield from _above(alone, (name, about["day"]), thing, one.amount, one.act)


def _above(
    alone: dict[Any, int], place: tuple[str, Any], thing: str, amount: int, act: AuditRow
) -> Iterator[Difference]:
    """Add to what one made alone in a day; a difference once that is above the limit that the act was booked under."""
    limit = act.after.get("limit", 0)
    alone[place] += abs(amount)
    if alone[place] > limit:
        yield Difference(thing, SECOND, f"at most {limit} a day alone", f"{alone[place]} by {place[0]}")


class _Operators:
    """Who was an operator when, by the grants and revocations of the audit log.

    Grants left no row once: somebody without any row was what the account's row says now. Times are those of two
    machines, each taken as its request began; what was in force is decided by the transactions alone. So whoever was an
    operator within CROSSING of an act was one as it was booked.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[bool, list[tuple[datetime, bool]]]] = {}

    def at(self, email: AccountKey, moment: datetime) -> bool:
        if email not in self._known:
            rows = [row for row in self._store.audit.every_of(email) if row.action in ("admin.grant", "admin.revoke")]
            turns = sorted((row.at, row.action == "admin.grant") for row in rows)
            account = self._store.accounts.find(email)
            at_first = not turns[0][1] if turns else account is not None and account.is_operator
            self._known[email] = at_first, turns
        role, turns = self._known[email]
        held = [role] + [became for at, became in turns if at <= moment + CROSSING]
        ended = sum(at <= moment - CROSSING for at, _ in turns)
        return any(held[ended:])
