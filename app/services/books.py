"""The books: do balances follow from the ledger, does the ledger agree with Stripe, what is owed to customers."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from app.data import Store
from app.domain import payments as facts
from app.domain.accounts import Account, AccountKey, Address, mask_email
from app.domain.checks import Difference
from app.domain.clock import utcnow
from app.domain.credits import PURCHASE, Link, PostedEntry
from app.domain.errors import BalanceUnexplained, InvalidPayload, LedgerWrong, WrongState
from app.domain.heartbeats import UNDER_WAY, moment_told
from app.domain.payments import Fact, PaymentRecord, SessionFact
from app.domain.sales import OURS, Named
from app.domain.tasks import check_reason
from app.telemetry.spans import verb

from . import payments
from .acting import Act, acting
from .book_look import Kept, Look, Progress, Unkept, look_again, told
from .book_rules import Rows, balance_differences
from .work_file import WorkFile, closing_when_done

__all__ = ["Difference", "Progress", "told"]

log = logging.getLogger(__name__)

MAX_REASON = 500
MOST_RELEASED = 100_000
SESSION_LASTS = timedelta(days=1)
SESSION_LEAD = timedelta(days=8)  # a session is paid up to a day after it was opened, a bank debit settles days later


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check has found, sorted, and what each of the last days sold and spent."""

    differences: list[Difference]
    days: dict[str, dict[str, int]]


def check(
    store: Store, *, again: Callable[[], None] | None = None, progress: Progress = lambda what, done: None
) -> list[Difference]:
    """Everything that differs, sorted; empty when the books agree. Reads whole tables: for a nightly run."""
    return look(store, Unkept(), now=utcnow(), again=again, progress=progress).differences


def look(
    store: Store,
    kept: Kept,
    *,
    now: datetime,
    again: Callable[[], None] | None = None,
    progress: Progress = lambda what, done: None,
) -> Checked:
    """Everything that differs, as `check` says it. `kept` is where a check that is broken off goes on.

    Customers work meanwhile. Of an account only the rows up to its sequence number are looked at: they were durable
    before its row was read, so however busy it is, its balance must follow from them. Tasks and payments are read a
    moment after the ledger, so what differs there counts only if a second look, after `again` has waited, finds it too;
    so does a row beyond the account's number, which then is no row of the last moment (tables restored apart). The
    second look is at those accounts alone, and at all tables where anything else differs; at the accounts there is a
    third one in the end, since the list of a ledger may lag, and since an operator may have put one right meanwhile.

    Memory stays the same however large the tables are: an account's ledger is looked at as it is read, and what has to
    be brought together lies on the disk (TMPDIR). Raises NoRoom, StoreUnavailable; running it again goes on.
    """
    with closing_when_done(WorkFile(kept.name)) as work:
        first = Look(store, work, kept, now, progress)
        of_accounts = first.of_accounts()
        if of_accounts and again is not None:
            again()
            of_accounts = _still(of_accounts, look_again(store, of_accounts))
        others = first.of_others(bool(of_accounts))
        days = first.days()
    if others and again is not None:
        again()
        with closing_when_done(WorkFile()) as work:
            second = Look(store, work, Unkept(accounts=False), now, progress)
            second.of_accounts()
            others = _still(others, second.of_others(bool(of_accounts)))
    if of_accounts and again is not None:  # other tables have taken their time: what was put right since counts no more
        of_accounts = _still(of_accounts, look_again(store, of_accounts))
    kept.end()
    return Checked(sorted([*of_accounts, *others], key=lambda d: (d.subject, d.what)), days)


def _still(before: list[Difference], now: list[Difference]) -> list[Difference]:
    """What differs now and did before."""
    first = {(difference.subject, difference.what) for difference in before}
    return [one for one in now if (one.subject, one.what) in first]


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
    unread: list[str] = field(default_factory=list)  # payments with a refund or dispute that this release cannot read
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
    unread: list[Mapping[str, Any]] = []
    for what, fact, known_since in _facts(stripe, since, livemode, now, unread):
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
    result.unread = [ours for thing in unread if (ours := payments.named_of_ours(store, thing))]
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
    stripe: Listing, since: datetime, livemode: bool, now: datetime, unread: list[Mapping[str, Any]]
) -> Iterator[tuple[str, Fact, datetime | None]]:
    """What Stripe's lists say, as words of `now`: the moment before they are read, so that no event since is older;
    each with the moment since when Stripe has known it for sure. What says nothing that is known here goes to `unread`.
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
        else:
            unread.append(refund)
    for dispute in stripe.list_disputes(since - SESSION_LEAD):
        if (held := facts.dispute_fact(dispute)) is not None:
            yield "dispute", replace(held, told=told), moment_told(dispute.get("created"))
        else:
            unread.append(dispute)


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
            rows.add(Link(entry.sequence, entry.amount, entry.balance_after))
        stated, found = rows.total, replace(current, credits_balance=rows.total)
        if current.frozen_at is None:
            raise WrongState("Its spending has not been stopped. Run books check --freeze first.")
        if wrong := list(balance_differences(found, rows)):
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
