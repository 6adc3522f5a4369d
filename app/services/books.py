"""The books: do balances follow from the ledger, does the ledger agree with Stripe, what is owed to customers."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from app.data import Store
from app.domain import payments as facts
from app.domain.accounts import mask_email
from app.domain.credits import PURCHASE, SPEND, PostedEntry
from app.domain.errors import InvalidPayload
from app.domain.payments import Fact, PaymentRecord

from . import payments

log = logging.getLogger(__name__)

SESSION_LEAD = timedelta(days=8)  # a session is paid up to a day after it was opened, a bank debit settles days later


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in the books that does not follow: `subject` is an account, a task or a payment."""

    subject: str
    what: str
    expected: str
    found: str
    email: str | None = None  # whose spending stops if asked for


@dataclass(slots=True)
class Rows:
    """One account's ledger, in as little as the check needs."""

    by_sequence: dict[int, tuple[int, int]] = field(default_factory=dict)  # sequence: amount, balance after
    repeated: list[int] = field(default_factory=list)
    total: int = 0

    def add(self, entry: PostedEntry) -> None:
        if entry.sequence in self.by_sequence:
            self.repeated.append(entry.sequence)
        self.by_sequence[entry.sequence] = (entry.amount, entry.balance_after)
        self.total += entry.amount


def check(store: Store, *, again: Callable[[], None] | None = None) -> list[Difference]:
    """Everything that differs, sorted; empty when the books agree. Reads whole tables: for a nightly run.

    The tables are read one after the other while customers work, so a difference counts only if a second look, after
    `again` has waited, finds it too.
    """
    differences = set(_differences(store))
    if differences and again is not None:
        again()
        differences &= set(_differences(store))
    return sorted(differences, key=lambda d: (d.subject, d.what))


def _differences(store: Store) -> Iterator[Difference]:
    accounts = {account.email: account for account in store.every_account()}
    rows: dict[str, Rows] = defaultdict(Rows)
    spends: dict[str, list[int]] = defaultdict(list)
    owner_of_spend: dict[str, str] = {}
    applied: dict[str, int] = defaultdict(int)
    for entry in store.every_entry():
        rows[entry.user_email].add(entry)
        if entry.type == SPEND:
            spends[entry.task_id or entry.transaction_id].append(entry.amount)
            owner_of_spend[entry.task_id or entry.transaction_id] = entry.user_email
        if entry.payment_id:
            applied[entry.payment_id] += entry.amount
    for email in sorted(accounts.keys() | rows.keys()):
        account = accounts.get(email)
        yield from _account_differences(email, account.credits_balance if account else None, rows[email])
    tasks = {task.task_id: task for task in store.every_task()}
    for task in tasks.values():
        charged = spends.get(task.task_id, [])
        expected = [-task.credits_spent] if task.credits_spent else []
        if charged != expected:
            yield Difference(task.task_id, "spend of the task", str(expected), str(charged), task.user_email)
    for task_id in sorted(spends.keys() - tasks.keys()):
        yield Difference(task_id, "task of the spend", "a task", "none", owner_of_spend[task_id])
    for record in store.every_payment():
        if applied.get(record.payment_id, 0) != record.applied:
            found = str(applied.get(record.payment_id, 0))
            yield Difference(record.payment_id, "credits of the payment", str(record.applied), found, record.user_email)
        if record.granted and record.delta:
            owed = str(facts.target(record))
            yield Difference(record.payment_id, "what the facts ask for", owed, str(record.applied), record.user_email)


def _account_differences(email: str, balance: int | None, rows: Rows) -> Iterator[Difference]:
    if balance is None:
        yield Difference(email, "account of the ledger rows", "an account", "none")
        return
    if balance != rows.total:
        yield Difference(email, "balance and sum of the ledger", str(rows.total), str(balance), email)
    last = max(rows.by_sequence, default=0)
    if rows.by_sequence and rows.by_sequence[last][1] != balance:
        yield Difference(email, "balance and last balance_after", str(rows.by_sequence[last][1]), str(balance), email)
    missing = sorted(set(range(1, last + 1)) - rows.by_sequence.keys())
    if missing:
        yield Difference(email, "sequence numbers", f"1 to {last}", f"without {missing[:5]}", email)
    if rows.repeated:
        yield Difference(email, "sequence numbers", "each once", f"again {sorted(rows.repeated)[:5]}", email)
    running = 0
    for sequence in sorted(rows.by_sequence):
        amount, after = rows.by_sequence[sequence]
        running += amount
        if running != after and not missing and not rows.repeated:
            yield Difference(email, f"running balance at {sequence}", str(running), str(after), email)
            return


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
    unknown_to_stripe: list[str] = field(default_factory=list)


def reconcile(
    store: Store,
    stripe: Listing,
    *,
    since: datetime,
    livemode: bool,
    now: datetime,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Reconciliation:
    """Compare Stripe's sessions, refunds and disputes with our payments, and record what never reached us.

    The same function as the webhook's records it, so a second run changes nothing. With `dry_run` only says what it
    would do. Raises PaymentsUnavailable; what was recorded until then stands, and running again goes on.
    """
    result = Reconciliation()
    seen: set[str] = set()
    for what, fact in _facts(stripe, since, livemode):
        result.looked_at += 1
        progress(result.looked_at)
        seen.add(fact.payment_id)
        before = store.find_payment(fact.payment_id)
        after = facts.merge(before or PaymentRecord(fact.payment_id), fact)
        if before is not None and after == before:
            continue
        if dry_run:
            moved = after.delta if after.granted else 0
        else:
            moved = payments.record_fact(store, fact, now=now).moved
        result.missing.append((fact.payment_id, what, moved))
    for record in store.every_payment():
        if record.is_parked:
            result.parked.append(record.payment_id)
        recent = record.created_at is not None and record.created_at >= since
        if record.granted and recent and record.payment_id not in seen:
            result.unknown_to_stripe.append(record.payment_id)
    return result


def _facts(stripe: Listing, since: datetime, livemode: bool) -> Iterator[tuple[str, Fact]]:
    for session in stripe.list_sessions(since - SESSION_LEAD):
        if session.get("status") != "complete":
            continue
        try:
            fact = facts.session_fact(session, livemode)
        except InvalidPayload:
            continue
        yield "session", fact
    for refund in stripe.list_refunds(since):
        if (read := facts.refund_fact(refund)) is not None:
            yield "refund", read
    for dispute in stripe.list_disputes(since - SESSION_LEAD):
        if (held := facts.dispute_fact(dispute)) is not None:
            yield "dispute", held


def freeze(store: Store, differences: list[Difference], *, now: datetime) -> list[str]:
    """Stop spending on the accounts whose books differ, until a person has looked. Nothing is put right by itself."""
    emails = sorted({difference.email for difference in differences if difference.email})
    frozen = []
    for email in emails:
        if store.find_account(email) is not None:
            store.update_account(email, frozen_at=now)
            log.error("account frozen: its books differ", extra={"email": mask_email(email)})
            frozen.append(email)
    return frozen


def unfreeze(store: Store, email: str, *, actor: str, reason: str, now: datetime) -> None:
    """Let an account spend again. Raises NotFound."""
    store.get_account(email)
    with store.transaction() as tx:
        tx.change_settings(email, frozen_at=None)
        tx.record_audit(actor=actor, action="account.unfreeze", subject=email, reason=reason, now=now)


@dataclass(frozen=True, slots=True)
class Liability:
    """Credits in customers' hands at a moment: what is owed to them, and what they owe after clawbacks."""

    at: datetime
    accounts: int
    owed_to_customers: int
    owed_by_customers: int


def liability(store: Store, *, at: datetime) -> Liability:
    """Sum of every account's balance at a moment, from the ledger alone. Reads the whole ledger."""
    balances: dict[str, int] = defaultdict(int)
    for entry in store.every_entry():
        if entry.timestamp <= at:
            balances[entry.user_email] += entry.amount
    return Liability(
        at=at,
        accounts=len(balances),
        owed_to_customers=sum(b for b in balances.values() if b > 0),
        owed_by_customers=-sum(b for b in balances.values() if b < 0),
    )


def unspent_by_payment(entries: list[PostedEntry]) -> dict[str, int]:
    """What of each payment is unspent, first in first out: the most that a fair refund would take back.

    `entries` is one account's ledger, oldest first. Credits that came from elsewhere are used up in their turn too; a
    correction of a payment touches that payment first.
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
