"""The books: do balances follow from the ledger, does the ledger agree with Stripe, what is owed to customers."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Protocol, TypeVar

from app.data import Store
from app.domain import payments as facts
from app.domain.accounts import Account, AccountKey, Address, mask_email
from app.domain.audit import AuditRow
from app.domain.by_hand import COMMAND_LINE, are_one, is_person
from app.domain.credits import PROMO, PURCHASE, REFUND, SPEND, PostedEntry
from app.domain.errors import BalanceUnexplained, InvalidPayload, LedgerWrong, WrongState
from app.domain.heartbeats import UNDER_WAY, moment_told
from app.domain.ledger_figures import LedgerFigures, Place
from app.domain.payments import Fact, PaymentRecord, SessionFact
from app.domain.sales import OURS, Named
from app.domain.tasks import CANCELLED, REJECTED, Task, check_reason
from app.telemetry.spans import verb

from . import ledger_figures, payments
from .acting import Act, acting
from .parked import CREDITED

log = logging.getLogger(__name__)

ADJUSTED = "adjust#"
FIGURES = "figures of finance"
CROSSING = timedelta(minutes=6)  # how far two machines' clocks may differ unnoticed, and what a request may take
SECOND = "second operator of the proposal"
MAX_REASON = 500
MOST_RELEASED = 100_000
SESSION_LASTS = timedelta(days=1)
SESSION_LEAD = timedelta(days=8)  # a session is paid up to a day after it was opened, a bank debit settles days later


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in the books that does not follow: `subject` is an account, a task or a payment."""

    subject: str
    what: str
    expected: str
    found: str
    email: AccountKey | None = None  # whose spending stops if asked for


@dataclass(slots=True)
class Rows:
    """One account's ledger, in as little as the check needs."""

    by_sequence: dict[int, tuple[int, int]] = field(default_factory=dict)  # sequence: amount, balance after
    repeated: list[int] = field(default_factory=list)
    total: int = 0
    brought: int = 0  # of it, rows of the original product: they have no place in the sequence

    def add(self, entry: PostedEntry) -> None:
        self.total += entry.amount
        if entry.is_original:
            self.brought += entry.amount
            return
        if entry.sequence in self.by_sequence:
            self.repeated.append(entry.sequence)
        self.by_sequence[entry.sequence] = (entry.amount, entry.balance_after)


Progress = Callable[[str, int], None]
Row = TypeVar("Row")
ROWS_A_WORD = 100


def told(rows: Iterable[Row], what: str, progress: Progress) -> Iterator[Row]:
    """The rows, with a word now and then of how many there were."""
    for number, row in enumerate(rows):
        if number % ROWS_A_WORD == 0:
            progress(what, number)
        yield row


def check(
    store: Store, *, again: Callable[[], None] | None = None, progress: Progress = lambda what, done: None
) -> list[Difference]:
    """Everything that differs, sorted; empty when the books agree. Reads whole tables: for a nightly run.

    Customers work meanwhile. Of an account only the rows up to its sequence number are looked at: they were durable
    before its row was read, so however busy it is, its balance must follow from them. Tasks and payments are read a
    moment after the ledger, so what differs there counts only if a second look, after `again` has waited, finds it too;
    so does a row beyond the account's number, which then is no row of the last moment (tables restored apart).
    """
    differences = list(_differences(store, progress))
    if differences and again is not None:
        again()
        first = {(difference.subject, difference.what) for difference in differences}
        differences = [d for d in _differences(store, progress) if (d.subject, d.what) in first]
    return sorted(differences, key=lambda d: (d.subject, d.what))


@dataclass(slots=True)
class Ledger:
    """The whole ledger, in as little as the check needs."""

    rows: dict[AccountKey, Rows] = field(default_factory=lambda: defaultdict(Rows))
    ahead: dict[AccountKey, int] = field(default_factory=dict)  # the first row beyond the account's sequence number
    spends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    refunds: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    owner: dict[str, AccountKey] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    unreadable: list[PostedEntry] = field(default_factory=list)
    redeemed: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # rows that name a code
    adjustments: dict[AccountKey, list[PostedEntry]] = field(default_factory=lambda: defaultdict(list))
    figures: ledger_figures.Count = field(default_factory=lambda: ledger_figures.Count({}))


def _differences(store: Store, progress: Progress) -> Iterator[Difference]:
    uses = {code.code: code.uses for code in store.codes.every()}
    accounts = {account.email: account for account in told(store.accounts.every(), "accounts", progress)}
    figures = store.ledger_figures.by_place()
    ledger = _read_ledger(store, accounts, progress)
    wrong_figures = list(_figure_differences(store, figures, ledger, accounts))
    of_accounts = list(_ledger_differences(store, ledger, accounts))
    yield from of_accounts or wrong_figures  # figures of a ledger that does not add up say nothing
    yield from _task_differences(told(store.tasks.every(), "tasks", progress), ledger)
    credited: list[PaymentRecord] = []
    every_payment = told(store.payments.every(), "payments", progress)
    yield from _payment_differences(every_payment, ledger, accounts, credited)
    yield from _code_differences(store, uses, ledger)
    yield from _by_hand_differences(store, ledger, credited)


def _ledger_differences(store: Store, ledger: Ledger, accounts: dict[AccountKey, Account]) -> Iterator[Difference]:
    for email in sorted(accounts.keys() | ledger.rows.keys()):
        account = accounts.get(email)
        if account is None and store.accounts.find(email) is not None:
            continue  # made while this ran
        yield from _account_differences(email, account, ledger.rows[email])
    for email, sequence in ledger.ahead.items():
        known = f"the account ends at {accounts[email].ledger_sequence}"
        yield Difference(email, f"ledger row {sequence}", "counted in the balance", known, email)
    for entry in ledger.unreadable:
        yield Difference(entry.transaction_id, "amount", "whole credits", str(entry.unreadable), entry.user_email)


def _figure_differences(
    store: Store, before: dict[Place, LedgerFigures], ledger: Ledger, accounts: dict[AccountKey, Account]
) -> Iterator[Difference]:
    after = store.ledger_figures.by_place()
    for one in ledger_figures.wrong(before, ledger.figures.by_place(), after):
        place = f"{one.place[0]}, shard {one.place[1]:02}"
        yield Difference(place, f"{FIGURES}: {one.name}", str(one.expected), str(one.found))
    behind = [account for account in accounts.values() if not account.is_folded and not account.unexplained]
    for account in behind if behind and ledger_figures.is_whole(store) else ():
        yield Difference(account.email, f"{FIGURES}: rows", str(account.ledger_sequence), str(account.folded_sequence))


def _read_ledger(store: Store, accounts: dict[AccountKey, Account], progress: Progress) -> Ledger:
    ledger = Ledger(figures=ledger_figures.Count(accounts))
    for entry in told(store.ledger.every(), "ledger rows", progress):
        account = accounts.get(entry.user_email)
        if account is None or entry.sequence <= account.ledger_sequence:
            ledger.rows[entry.user_email].add(entry)
        else:
            ahead = ledger.ahead.get(entry.user_email, entry.sequence)
            ledger.ahead[entry.user_email] = min(ahead, entry.sequence)
        if entry.is_original and (account is None or account.unexplained):
            continue  # its account is named, or nobody's
        if entry.unreadable:
            ledger.unreadable.append(entry)
        elif type(entry.balance_after) is int:
            ledger.figures.add(entry)
        if entry.type in (SPEND, REFUND) and not entry.is_original:
            task = entry.task_id or entry.transaction_id
            (ledger.spends if entry.type == SPEND else ledger.refunds)[task].append(entry.amount)
            ledger.owner[task] = entry.user_email
        if entry.payment_id:
            ledger.applied[entry.payment_id] += entry.amount
        if entry.type == PROMO and entry.transaction_id.count("#") == 2:
            ledger.redeemed[entry.transaction_id.split("#")[1]] += 1
        if entry.transaction_id.startswith(ADJUSTED):
            ledger.adjustments[entry.user_email].append(entry)
    return ledger


def _account_differences(email: AccountKey, account: Account | None, rows: Rows) -> Iterator[Difference]:
    if account is None:
        yield Difference(email, "account of the ledger rows", "an account", "none")
        return
    if account.unexplained:  # frozen it would be no safer: nothing moves it as it is
        yield Difference(email, "opening row", "a balance that the ledger explains", account.unexplained)
        return
    balance, last = account.credits_balance, max(rows.by_sequence, default=0)
    if balance != rows.total:
        yield Difference(email, "balance and sum of the ledger", str(rows.total), str(balance), email)
    if rows.by_sequence and rows.by_sequence[last][1] != balance:
        yield Difference(email, "balance and last balance_after", str(rows.by_sequence[last][1]), str(balance), email)
    missing = sorted(set(range(1, account.ledger_sequence + 1)) - rows.by_sequence.keys())
    if missing:
        yield Difference(email, "sequence numbers", f"1 to {account.ledger_sequence}", f"without {missing[:5]}", email)
    if rows.repeated:
        yield Difference(email, "sequence numbers", "each once", f"again {sorted(rows.repeated)[:5]}", email)
    running = rows.brought
    for sequence in sorted(rows.by_sequence):
        amount, after = rows.by_sequence[sequence]
        running += amount
        if running != after and not missing and not rows.repeated:
            yield Difference(email, f"running balance at {sequence}", str(running), str(after), email)
            return


def _task_differences(every: Iterable[Task], ledger: Ledger) -> Iterator[Difference]:
    seen = set()
    for task in every:
        seen.add(task.task_id)
        if task.unexplained:
            yield Difference(task.task_id, "task of the original product", "a place in the queue", task.unexplained)
            continue
        charged, given_back = ledger.spends.get(task.task_id, []), ledger.refunds.get(task.task_id, [])
        cost = [-task.credits_spent] if task.credits_spent and not task.original else []
        if charged != cost:
            yield Difference(task.task_id, "spend of the task", str(cost), str(charged), task.user_email)
        given_up = task.status in (CANCELLED, REJECTED)
        by_the_original = task.original and task.version == 0  # and what it gave back for it is its own story
        back = [task.credits_spent] if task.credits_spent and given_up and not by_the_original else []
        if given_back != back:
            yield Difference(task.task_id, "refund of the task", str(back), str(given_back), task.user_email)
    for task_id in sorted((ledger.spends.keys() | ledger.refunds.keys()) - seen):
        yield Difference(task_id, "task of the ledger row", "a task", "none", ledger.owner[task_id])


def _payment_differences(
    every: Iterable[PaymentRecord], ledger: Ledger, accounts: dict[AccountKey, Account], credited: list[PaymentRecord]
) -> Iterator[Difference]:
    """Those that an operator has credited are put into `credited`: the payments are read once."""
    seen = set()
    for record in every:
        seen.add(record.payment_id)
        if record.resolution == CREDITED:
            credited.append(record)
        stands, owner = ledger.applied.get(record.payment_id, 0), record.user_email
        if owner in accounts and accounts[owner].unexplained:
            owner = None  # an adoption that broke off: the next one ends it, and a freeze would outlast it
        if stands != record.applied:
            yield Difference(record.payment_id, "credits of the payment", str(record.applied), str(stands), owner)
        if record.granted and record.delta:
            owed = str(facts.target(record))
            yield Difference(record.payment_id, "what the facts ask for", owed, str(record.applied), owner)
    for payment_id in sorted(ledger.applied.keys() - seen):
        yield Difference(payment_id, "payment of the ledger rows", "a payment", "none")


def _code_differences(store: Store, uses_before: dict[str, int], ledger: Ledger) -> Iterator[Difference]:
    """Codes are redeemed meanwhile: the rows found lie between the uses before the ledger was read and those after."""
    seen = set()
    for code in store.codes.every():
        seen.add(code.code)
        rows = ledger.redeemed.get(code.code, 0)
        if not uses_before.get(code.code, 0) <= rows <= code.uses:
            yield Difference(code.code, "uses of the code", str(code.uses), f"{rows} ledger rows")
    for name in sorted(ledger.redeemed.keys() - seen):
        yield Difference(name, "code of the ledger rows", "a code", "none")


@dataclass(frozen=True, slots=True)
class ByHand:
    """One thing of value made by hand, with the act of the audit log that stands for it."""

    thing: str
    amount: int
    act: AuditRow


def _by_hand_differences(store: Store, ledger: Ledger, credited: list[PaymentRecord]) -> Iterator[Difference]:
    """Each adjustment, parked payment credited, code and named link has its operator in the audit log, and two of them
    once one had made more than the limit of that day alone.

    Acts that name their `day` were booked under one limit over all accounts and means; those from before it are held to
    what held then: adjustments of one account by one operator added up, payments, codes and names did not count.
    """
    made: list[ByHand] = []
    for email, entries in sorted(ledger.adjustments.items()):
        acts = {row.after["correction"]: row for row in store.audit.every_of(email) if "correction" in row.after}
        before: dict[tuple[str, date], int] = defaultdict(int)
        for entry in sorted(entries, key=lambda entry: entry.sequence):
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
    for record in credited:
        act = next((row for row in store.audit.every_of(record.payment_id) if row.action == "payment.credit"), None)
        if act is None:
            yield Difference(record.payment_id, "operator of the credited payment", "one in the audit log", "none")
        elif "day" in act.after:
            made.append(ByHand(record.payment_id, record.granted, act))
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


class Listing(Protocol):
    """What reconciliation asks of Stripe."""

    def list_sessions(self, created_from: datetime) -> Iterator[dict[str, Any]]: ...

    def list_refunds(self, created_from: datetime) -> Iterator[dict[str, Any]]: ...

    def list_disputes(self, created_from: datetime) -> Iterator[dict[str, Any]]: ...


@dataclass(slots=True)
class Reconciliation:
    """What a run looked at, what it found missing, and what it could not explain."""

    looked_at: int = 0
    missing: list[tuple[str, str, int]] = field(default_factory=list)  # payment, what, credits moved (or to move)
    parked: list[str] = field(default_factory=list)
    not_ours: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # payments by link or product
    unknown_to_stripe: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)  # payments of accounts whose balance nothing explains
    overdue: int = 0  # of what was missing: surely known to Stripe for longer than a webhook takes


def reconcile(
    store: Store,
    stripe: Listing,
    *,
    since: datetime,
    livemode: bool,
    now: datetime,
    named: Named = payments.NOTHING_NAMED,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Reconciliation:
    """Compare Stripe's sessions, refunds and disputes with our payments, and record what never reached us.

    The same function as the webhook's records it, so a second run changes nothing, and what is not ours is set aside
    here too, however old. What was set aside and is named since is credited. With `dry_run` only says what it would do.
    An account whose balance nothing explains keeps no other waiting: `check` names it. Raises PaymentsUnavailable; what
    was recorded until then stands, and running again goes on.
    """
    result = Reconciliation()
    seen: set[str] = set()
    for what, fact, known_since in _facts(stripe, since, livemode, now):
        result.looked_at += 1
        progress(result.looked_at)
        seen.add(fact.payment_id)
        before, told = payments.judged(store, fact, named)
        after = facts.merge(before or PaymentRecord(fact.payment_id), told)
        if before is not None and not facts.says_more(before, after) and not (before.granted and before.delta):
            continue
        if after.source is not None or (before is None and not isinstance(fact, SessionFact)):
            # not ours, or money that went back of something that we never heard of: kept quietly
            if dry_run:
                if after.source is not None:
                    result.not_ours[after.source] += before is None
            else:
                payments.record_fact(store, fact, now=now, named=named)
            continue
        if dry_run:
            moved = after.delta if after.granted else 0
        else:
            try:
                moved = payments.record_fact(store, fact, now=now, named=named).moved
            except BalanceUnexplained:
                result.unexplained.append(fact.payment_id)
                continue
        result.missing.append((fact.payment_id, what, moved))
        result.overdue += known_since is None or now - known_since >= UNDER_WAY
    _credit_what_was_named(store, result, named, now, dry_run)
    for record in store.payments.every():
        if record.is_parked and record.source is not None:
            result.not_ours[record.source] += 1
        elif record.is_parked:
            result.parked.append(record.payment_id)
        recent = record.created_at is not None and record.created_at >= since
        if record.granted and recent and record.payment_id not in seen:
            result.unknown_to_stripe.append(record.payment_id)
    return result


def _credit_what_was_named(store: Store, result: Reconciliation, named: Named, now: datetime, dry_run: bool) -> None:
    """What a setting or an operator names since it was set aside; an operator's click credits some, this the rest."""
    if dry_run:
        return
    for sale in store.sales.every():
        if sale.decision == OURS or sale.source in named.ids:
            released = payments.release(store, sale.source, named=named, now=now, limit=MOST_RELEASED)
            if released.payments:
                result.missing.append((sale.source, f"{released.payments} set aside", released.credits))


def _facts(
    stripe: Listing, since: datetime, livemode: bool, now: datetime
) -> Iterator[tuple[str, Fact, datetime | None]]:
    """What Stripe's lists say, as words of `now`: the moment before they are read, so that no event since is older;
    each with the moment since when Stripe has known it for sure.
    """
    told = int(now.timestamp())
    for session in stripe.list_sessions(since - SESSION_LEAD):
        if session.get("status") != "complete":
            continue
        try:
            fact = facts.session_fact(session, livemode)
        except InvalidPayload:
            continue
        opened = moment_told(session.get("created"))
        yield "session", fact, opened + SESSION_LASTS if opened else None
    for refund in stripe.list_refunds(since):
        if (read := facts.refund_fact(refund)) is not None:
            yield "refund", replace(read, told=told), moment_told(refund.get("created"))
    for dispute in stripe.list_disputes(since - SESSION_LEAD):
        if (held := facts.dispute_fact(dispute)) is not None:
            yield "dispute", replace(held, told=told), moment_told(dispute.get("created"))


@verb
def freeze(store: Store, differences: list[Difference], *, now: datetime, actor: str = "books check") -> list[str]:
    """Stop spending on the accounts whose books differ, until a person has looked. Nothing is put right by itself.

    Returns all that are frozen now; one that was so already stays as it is.
    """
    why: dict[AccountKey, list[str]] = defaultdict(list)
    for difference in differences:
        if difference.email:
            why[difference.email].append(f"{difference.what}: {difference.expected}, found {difference.found}")

    frozen: list[str] = []
    for email, reasons in sorted(why.items()):
        account = store.accounts.find(email)
        if account is not None:
            _freeze(store, account, "; ".join(reasons)[:MAX_REASON], actor, now)
            log.error("account frozen: its books differ", extra={"email": mask_email(email)})
            frozen.append(email)
    return frozen


def _freeze(store: Store, account: Account, reason: str, actor: str, now: datetime) -> None:
    def attempt(current: Account) -> None:
        if current.frozen_at is not None:
            return
        act = Act(actor, "account.freeze", current.email, now, reason=reason)
        with acting(store, act) as tx:
            tx.accounts.change_settings(current, still="frozen_at", frozen_at=now)

    store.accounts.decide(account, attempt)


@verb
def restate(store: Store, address: Address, *, actor: str, reason: str, now: datetime) -> int:
    """Put a frozen account's balance back to what its ledger says, and return it. Safe to repeat.

    For a balance that something else than the app has changed: no row explains what never was, and a row on top of it
    would follow from nothing. Raises NotFound, InvalidInput; WrongState for an account that is not frozen, and for a
    ledger that does not add up by itself or has not been read whole.
    """
    words, stated = check_reason(reason), 0

    def attempt(current: Account) -> None:
        nonlocal stated
        rows = Rows()
        for entry in store.ledger.every_of(current.email, as_they_stand=True):
            rows.add(entry)
        stated, found = rows.total, replace(current, credits_balance=rows.total)
        if current.frozen_at is None:
            raise WrongState("Its spending has not been stopped. Run books check --freeze first.")
        if wrong := list(_account_differences(current.email, found, rows)):
            raise WrongState(f"Its ledger does not add up by itself: {wrong[0].what}. Nothing was changed.")
        if stated != current.credits_balance:
            before, after = {"credits_balance": current.credits_balance}, {"credits_balance": stated}
            act = Act(actor, "account.restate", current.email, now, reason=words, before=before, after=after)
            with acting(store, act) as tx:
                tx.accounts.restate_balance(current, stated)

    store.accounts.decide(store.accounts.get_holder(address), attempt)
    return stated


@verb
def unfreeze(store: Store, address: Address, *, actor: str, reason: str, now: datetime) -> None:
    """Let an account spend again. Raises NotFound, InvalidInput."""
    words = check_reason(reason)

    def attempt(current: Account) -> None:
        act = Act(actor, "account.unfreeze", current.email, now, reason=words)
        with acting(store, act) as tx:
            tx.accounts.change_settings(current, frozen_at=None)

    store.accounts.decide(store.accounts.get_holder(address), attempt)


@dataclass(frozen=True, slots=True)
class Liability:
    """Credits in customers' hands at a moment: what is owed to them, and what they owe after clawbacks."""

    at: datetime
    accounts: int
    owed_to_customers: int
    owed_by_customers: int


def liability(store: Store, *, at: datetime, now: datetime) -> Liability:
    """Sum of every account's balance at a moment, from the ledger alone. Reads the whole ledger.

    A row that a later one of its account shows to have happened by then counts, whatever its own time is.
    """
    balances: dict[str, int] = defaultdict(int)
    until: dict[str, int] = defaultdict(int)  # the last place in each account's sequence that says so
    later: list[PostedEntry] = []
    for entry in store.ledger.every():
        if entry.timestamp <= at or at >= now:
            balances[entry.user_email] += entry.amount
            until[entry.user_email] = max(until[entry.user_email], entry.sequence)
        else:
            later.append(entry)
    for entry in later:
        if entry.sequence < until.get(entry.user_email, 0):
            balances[entry.user_email] += entry.amount
    return Liability(
        at=at,
        accounts=len(balances),
        owed_to_customers=sum(b for b in balances.values() if b > 0),
        owed_by_customers=-sum(b for b in balances.values() if b < 0),
    )


@dataclass(frozen=True, slots=True)
class PaymentLedger:
    """The rows of one payment, newest last, and what of its credits is unspent: None where the ledger of its account
    does not add up, and the rows are as they stand.
    """

    entries: list[PostedEntry]
    unspent: int | None


def ledger_of_payment(store: Store, record: PaymentRecord) -> PaymentLedger:
    """Reads the whole ledger of its account."""
    owner = record.user_email
    if owner is None:
        return PaymentLedger([], 0)
    try:
        every = list(store.ledger.every_of(owner))[::-1]
        unspent = unspent_by_payment(every).get(record.payment_id, 0)
    except LedgerWrong:
        every = list(store.ledger.every_of(owner, as_they_stand=True))[::-1]
        unspent = None
    return PaymentLedger([entry for entry in every if entry.payment_id == record.payment_id], unspent)


def unspent_by_payment(entries: list[PostedEntry]) -> dict[str, int]:
    """What of each payment is unspent, first in first out: the most that a fair refund would take back.

    `entries` is one account's ledger, oldest first. Credits that came from elsewhere are used up in their turn too; a
    clawback of a payment touches that payment first.
    """
    lots: list[tuple[str, int]] = []
    for entry in entries:
        source = entry.payment_id or entry.transaction_id
        if entry.amount > 0:
            lots.append((source, entry.amount))
            continue
        left = -entry.amount
        if entry.payment_id:
            lots, left = _use(lots, left, only=entry.payment_id)
        lots, _ = _use(lots, left)
    unspent: dict[str, int] = {e.payment_id: 0 for e in entries if e.type == PURCHASE and e.payment_id}
    for source, amount in lots:
        if source in unspent:
            unspent[source] += amount
    return unspent


def _use(lots: list[tuple[str, int]], wanted: int, only: str | None = None) -> tuple[list[tuple[str, int]], int]:
    remaining = []
    for source, amount in lots:
        taken = min(amount, wanted) if only in (None, source) else 0
        wanted -= taken
        if amount > taken:
            remaining.append((source, amount - taken))
    return remaining, wanted
