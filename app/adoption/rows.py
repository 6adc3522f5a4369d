"""Rows of the original product join the ledger: an opening row for each balance, a place in the queue for each task.

The original kept a balance, and rows of what moved it, without a sequence number and without the balance after each.
Those rows stay as they are and count towards the sum. The opening row makes up the difference, so that afterwards
balance = sum of all rows, for anybody who adds them up. docs/decisions/0010 says why.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.data.account_rows import ACCOUNT
from app.data.base import Base
from app.data.client import Stale
from app.data.ledger import LedgerReads
from app.data.lives import Life, LifeUpdates, LifeWrites
from app.data.payments import PaymentReads
from app.data.store import Transaction
from app.data.tables import TASKS, USERS
from app.data.tasks import TASK, queue_shard, user_status
from app.domain import credits
from app.domain.accounts import NOT_ADOPTED, Account, mask_email, new_account_id, normalise_email
from app.domain.clock import to_iso, utcnow
from app.domain.credits import CREDITS_PER_CENT, PURCHASE, PostedEntry
from app.domain.errors import AlreadyRecorded, InvalidInput, StoreBusy
from app.domain.payments import PaymentRecord
from app.domain.tasks import Task, title_of

log = logging.getLogger(__name__)

ACTOR = "adoption"
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Opening:
    """What adopting an account would record, or the `problem` that a person has to settle first."""

    account: Account
    counted: int = 0  # what the rows of the original add up to
    newest: datetime | None = None  # the time of the last of them
    payments: tuple[PaymentRecord, ...] = ()
    untraced: tuple[str, ...] = ()  # purchases that name no payment: a late delivery of one would be credited again
    problem: str | None = None

    @property
    def amount(self) -> int:
        return self.account.credits_balance - self.counted


def unadopted_accounts(base: Base, without: Container[str]) -> Iterator[Opening]:
    """A consistent scan: accounts without an opening row, and what adopting each would record."""
    for row in base._scan(USERS.suffix, "attribute_not_exists(ledger_sequence)"):
        if row["email"] not in without:
            yield opening_of(base, row)


def unadopted_tasks(base: Base, without: Container[str]) -> Iterator[Task]:
    """A consistent scan: tasks that no operator's queue shows yet."""
    for row in base._scan(TASKS.suffix, "attribute_not_exists(version)"):
        if row["task_id"] not in without:
            yield TASK.record(row)


def opening_of(base: Base, row: dict[str, Any]) -> Opening:
    """Reads the account's rows through their index: those of the original are older than any lag of it."""
    account = ACCOUNT.record(row)
    if account.unexplained != NOT_ADOPTED:
        return Opening(account, problem=account.unexplained)
    if not _is_normal(account.email):
        return Opening(account, problem="its address is not in the form that sign-in looks for")
    counted, newest = 0, None
    bought: dict[str, list[PostedEntry]] = defaultdict(list)
    untraced = []
    for entry in LedgerReads(base.client, base.prefix).every_of(account.email, as_they_stand=True):
        if not entry.is_original:
            return Opening(account, problem=f"its ledger has begun already, with row {entry.sequence}")
        if entry.unreadable:
            return Opening(account, problem=f"a row cannot be read: {entry.transaction_id}, {entry.unreadable}")
        counted += entry.amount
        newest = max(newest or entry.timestamp, entry.timestamp)
        if entry.payment_id:
            bought[entry.payment_id].append(entry)
        elif entry.type == PURCHASE:
            untraced.append(entry.transaction_id)
    payments = tuple(_payment(payment_id, entries) for payment_id, entries in bought.items())
    return Opening(account, counted, newest, payments, tuple(untraced))


def adopt_account(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """The row as it is once it has all that later writes build on, and its opening row stands in the ledger.

    Safe to repeat and to race. What cannot be adopted comes back as it is, for `flask books check` to name; nothing
    moves its balance. Raises StoreBusy when the row keeps changing.
    """
    for _ in range(ATTEMPTS):
        try:
            row = _with_maps(base, row)
            if "ledger_sequence" in row:
                return row
            found = opening_of(base, row)
            if found.problem:
                now = base._get(USERS.suffix, {"email": row["email"]}) or row
                if now != row:  # somebody else was quicker: it may be adopted
                    row = now
                    continue
                log.error("account not adopted: %s", found.problem, extra={"email": mask_email(found.account.email)})
                return row
            for payment in found.payments:
                _record_payment(base, payment, utcnow())
            return _open_ledger(base, row, found)
        except (Stale, AlreadyRecorded):  # somebody else adopted it, or its balance moved under the original
            row = base._get(USERS.suffix, {"email": row["email"]}) or row
    raise StoreBusy


def adopt_task(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """The row as it is once the queue shows it and its owner's open tasks count it. Safe to repeat and to race."""
    key = {"task_id": row["task_id"]}
    for _ in range(ATTEMPTS):
        task = TASK.record(row)
        if task.unexplained != NOT_ADOPTED:  # it is adopted, or cannot be
            return row
        owner = {"email": task.user_email}
        added = {
            "version": 0,
            "original": True,
            "title": title_of(task.description),
            "user_status": user_status(task.user_email, task.status),
            "queue_shard": queue_shard(task.task_id, task.status),
        }
        writes = LifeWrites(base.client, base.prefix)
        writes.update(
            TASKS.suffix,
            key,
            set=added,
            condition="attribute_not_exists(#version) AND #status = :status",
            status=task.status,
        )
        if task.is_open and base._get(USERS.suffix, owner):
            counters = {"open_tasks": 1, "version": 1}
            writes.update_account(Life.of_owner(task), add=counters)
        try:
            writes.commit()
        except Stale:
            row = base._get(TASKS.suffix, key) or row
            continue
        return row | {name: value for name, value in added.items() if value is not None}
    raise StoreBusy


def _with_maps(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """What sign-in and links build on: an id of our own, and the maps. Raises Stale."""
    values: dict[str, Any] = {"account_id": new_account_id(), "sessions": {}, "link_nonces": {}}
    missing = {name: value for name, value in values.items() if name not in row}
    if not missing:
        return row
    if "account_id" in missing:  # before anybody is shown it
        writes = Transaction(base.client, base.prefix)
        writes.accounts.announce_id(values["account_id"], row["email"])
        writes.commit()
    condition = " AND ".join(f"attribute_not_exists({name})" for name in missing)
    accounts = LifeUpdates(base.client, base.prefix)
    return accounts._update_account(Life.of_original(row["email"], condition), set=missing)


def _open_ledger(base: Base, row: dict[str, Any], found: Opening) -> dict[str, Any]:
    """Raises Stale when the balance is not the one that was read, AlreadyRecorded when there is an opening row."""
    now = utcnow()
    posted, after = credits.opening(found.account, found.counted, found.newest, now)
    set_now: dict[str, Any] = {
        "searched_by": [after.email],
        "credits_balance": after.credits_balance,
        "ledger_sequence": after.ledger_sequence,
        "folded_sequence": after.folded_sequence,
        "last_entry_at": to_iso(posted.listed_at),
    }
    if after.ahead_since:
        set_now |= {"last_happened_at": to_iso(posted.timestamp), "ahead_since": to_iso(after.ahead_since)}
    writes = Transaction(base.client, base.prefix)
    writes.ledger.append_once(posted)
    writes.fold([posted])
    unopened = "attribute_not_exists(ledger_sequence) AND #credits_balance = :stored"
    life = Life.of_original(after.email, unopened, stored=row["credits_balance"])
    writes.search_keys.follow(after.email, found.account.searched_by, (after.email,))
    writes.accounts.update_account(life, set=set_now, add={"version": 1})
    writes.audit.record(
        actor=ACTOR,
        action="account.adopt",
        subject=after.email,
        now=now,
        before={"balance": str(row["credits_balance"]), "sum_of_rows": found.counted},
        after={"balance": after.credits_balance, "opening": posted.amount},
    )
    writes.commit()
    log.info("account adopted", extra={"email": mask_email(after.email), "credits": after.credits_balance})
    return row | set_now | {"version": after.version}


def _payment(payment_id: str, entries: list[PostedEntry]) -> PaymentRecord:
    """What the original credited for one payment, at its only price: a later refund then takes its share back.

    Credited twice, it still was one payment: a full refund takes all of it.
    """
    granted = sum(entry.amount for entry in entries)
    return PaymentRecord(
        payment_id=payment_id,
        payment_intent=payment_id,
        state="paid",
        granted=granted,
        total_cents=max(entry.amount for entry in entries) // CREDITS_PER_CENT,
        currency="usd",
        user_email=entries[0].user_email,
        applied=granted,
        entries=len(entries),
        created_at=min(entry.timestamp for entry in entries),
    )


def _record_payment(base: Base, payment: PaymentRecord, now: datetime) -> None:
    """Without it, a late delivery or a reconciliation would credit the payment again. Raises Stale."""
    before = PaymentReads(base.client, base.prefix).find(payment.payment_id)
    after = payment
    if before is not None:
        if before.granted or before.parked_reason or before.resolution:
            return
        after = replace(
            before,  # a refund or dispute was told first: its facts stay
            payment_intent=payment.payment_intent,
            state=payment.state,
            granted=payment.granted,
            total_cents=payment.total_cents,
            currency=payment.currency,
            user_email=payment.user_email,
            applied=payment.applied,
            entries=payment.entries,
        )
    writes = Transaction(base.client, base.prefix)
    writes.payments.save(before, after, payment.created_at or now)
    writes.commit()


def _is_normal(email: str) -> bool:
    try:
        return normalise_email(email) == email
    except InvalidInput:
        return False
