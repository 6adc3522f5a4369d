"""Submitting tasks: the charge and the task are one write."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypedDict

from app.data import Store
from app.domain import credits, duplicates
from app.domain.accounts import Account, mask_email
from app.domain.api_keys import ApiKey
from app.domain.duplicates import LOOKED_AT, may_repeat, remember
from app.domain.errors import (
    AccountFrozen,
    AlreadyRecorded,
    IdempotencyKeyReused,
    InsufficientCredits,
    InvalidInput,
    KeyLimitReached,
    KeyRefused,
    NotSignedIn,
    RateLimited,
)
from app.domain.tasks import MAX_BATCH, Brief, Task, new_task, task_id_for
from app.telemetry.spans import verb

from . import notices, webhook_events
from .api_keys import Purse

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The task and its owner's account after the charge; `credits_remaining` is what the first answer said."""

    task: Task
    account: Account
    credits_remaining: int
    replayed: bool = False


class Sent(TypedDict, total=False):
    """What a person has typed is no draft any more; a program typed nothing."""

    draft: None


@verb
def submit(
    store: Store,
    account: Account,
    brief: Brief | str,
    *,
    now: datetime,
    idempotency_key: str | None = None,
    by_program: bool = False,
    key: ApiKey | None = None,
) -> Submitted:
    """Charge an account for a task and put the task in the queue, once per idempotency key.

    What was kept of the composer while credits were bought is done with, unless it is a program that submits. `key`:
    the API key that it was let in by, whose month the task counts in. Repeating an idempotency key returns the first
    task, also on a drained balance or month. Raises InvalidInput, InsufficientCredits, KeyLimitReached, RateLimited,
    IdempotencyKeyReused (another brief) and StoreUnavailable; after any of these nothing was charged,
    but for StoreUnavailable after a lost answer: repeat with the same idempotency key.
    """
    task = replace(
        new_task(account.email, brief, idempotency_key or secrets.token_urlsafe(16), now),
        key_id=key.key_id if key else None,
    )
    purse = Purse(store, key)

    def attempt(current: Account) -> Submitted:
        _check_signed_in(current, account, key)
        try:
            posted, after = credits.post(current, credits.spend_entry(task), now)
            charge = purse.charge(task.credits_spent, now)
        except (AccountFrozen, InsufficientCredits, KeyLimitReached, RateLimited):
            if idempotency_key and store.tasks.find(task.task_id):
                raise AlreadyRecorded from None
            raise
        with store.transaction() as tx:
            tx.ledger.append_once(posted)  # first: a replay is a replay, whatever else has changed
            tx.tasks.add(task)
            recent = remember(current.recent_marks, task.description)
            mail, noted = notices.low_balance(current, after, now)
            sent: Sent = {} if by_program else {"draft": None}
            tx.accounts.move_balance(
                current, after, open_tasks=1, spending=True, key=key, recent_marks=recent, **noted, **sent
            )
            charge(tx)
            if mail:
                tx.mails.enqueue(mail)
            webhook_events.fell_low(tx, after, noted, now)
        # What the page shows next is this account: it has to know of the open task, or it would not start to poll.
        draft = after.draft if by_program else ""
        shown = replace(after, open_tasks=after.open_tasks + 1, draft=draft, **noted)
        return Submitted(task, shown, after.credits_balance)

    try:
        done = store.accounts.decide(account, attempt)
    except AlreadyRecorded:
        return _first(store, task)
    log.info("task submitted", extra={"email": mask_email(account.email), "task_id": task.task_id})
    return done


@verb
def submit_batch(
    store: Store,
    account: Account,
    briefs: Sequence[Brief | str],
    *,
    now: datetime,
    idempotency_key: str,
    key: ApiKey | None = None,
) -> tuple[list[Task], Account]:
    """Charge an account for several tasks and queue them all, or none: one transaction, once per idempotency key.

    A `key` is charged for the whole, or not at all. Raises InvalidInput, InsufficientCredits, KeyLimitReached,
    RateLimited, IdempotencyKeyReused and StoreUnavailable, as `submit` does.
    """
    if not 1 <= len(briefs) <= MAX_BATCH:
        raise InvalidInput(f"A batch holds 1 to {MAX_BATCH} tasks.", field="lines")
    # A moment apart, so that they stay in their order wherever they are listed.
    tasks = [
        replace(
            new_task(account.email, brief, f"{idempotency_key}#{place}", now + timedelta(microseconds=place)),
            key_id=key.key_id if key else None,
        )
        for place, brief in enumerate(briefs, 1)
    ]
    total = sum(task.credits_spent for task in tasks)
    purse = Purse(store, key)

    def attempt(current: Account) -> Account:
        _check_signed_in(current, account, key)
        after, recent, entries = current, current.recent_marks, []
        try:
            for task in tasks:
                posted, after = credits.post(after, credits.spend_entry(task), now)
                entries.append(posted)
                recent = remember(recent, task.description)
            charge = purse.charge(total, now)
        except (AccountFrozen, InsufficientCredits, KeyLimitReached, RateLimited) as refusal:
            if store.tasks.find(tasks[0].task_id):
                raise AlreadyRecorded from None
            if isinstance(refusal, RateLimited):  # nothing is charged: what there was is left
                standing = credits.submits(current, now)
                raise RateLimited(refusal.retry_after_seconds, standing=standing) from None
            if not isinstance(refusal, InsufficientCredits):
                raise
            several = len(tasks) > 1
            raise InsufficientCredits(required=total, available=current.credits_balance, several=several) from None
        with store.transaction() as tx:
            for posted in entries:
                tx.ledger.append_once(posted)
            for task in tasks:
                tx.tasks.add(task)
            mail, noted = notices.low_balance(current, after, now)
            tx.accounts.move_balance(
                current, after, open_tasks=len(tasks), spending=True, key=key, recent_marks=recent, **noted
            )
            charge(tx)
            if mail:
                tx.mails.enqueue(mail)
            webhook_events.fell_low(tx, after, noted, now)
        return replace(after, open_tasks=after.open_tasks + len(tasks), **noted)

    try:
        after = store.accounts.decide(account, attempt)
    except AlreadyRecorded:
        beyond = task_id_for(account.email, f"{idempotency_key}#{len(tasks) + 1}")
        if store.tasks.find(beyond):  # the first request had more lines
            raise IdempotencyKeyReused from None
        return [_first(store, task).task for task in tasks], store.accounts.get(account.email)
    log.info("batch submitted", extra={"email": mask_email(account.email), "tasks": len(tasks)})
    return tasks, after


def first_answer(store: Store, made: Sequence[Task], account: Account, now: datetime) -> tuple[int, bool]:
    """What the first answer to a batch said was left, and whether `made` at `now` are tasks of before, told again."""
    if made[0].created_at == now + timedelta(microseconds=1):
        return account.credits_balance, False
    entry = store.ledger.find(f"spend#{made[-1].task_id}")
    return (entry.balance_after if entry else account.credits_balance), True


def find_twin(store: Store, account: Account, description: str, idempotency_key: str) -> Task | None:
    """An earlier task that says nearly the same: to be asked about before it is paid for again.

    Reads nothing unless the account's marks say that there may be one; a repeat of the same request is no twin.
    """
    if not may_repeat(account.recent_marks, description):
        return None
    earlier = store.tasks.page(account.email, limit=LOOKED_AT).items
    if any(task.task_id == task_id_for(account.email, idempotency_key) for task in earlier):
        return None
    return duplicates.find_twin(description, earlier)


def _check_signed_in(current: Account, asking: Account, key: ApiKey | None) -> None:
    """Raise NotSignedIn if whoever asked has been signed out since; a hash of higher cost is no change of password.

    A key outlives the sessions: it is asked whether the account still has it.
    """
    if key is not None:
        if not key.is_named_by(current):
            raise KeyRefused
        return
    if current.disabled or current.deleted_at or current.session_version != asking.session_version:
        raise NotSignedIn


def _first(store: Store, repeat: Task) -> Submitted:
    """What the first request with this id did. Raises IdempotencyKeyReused if that was for another brief."""
    first = store.tasks.find(repeat.task_id)  # none: the first request had fewer lines
    if first is None or first.user_email != repeat.user_email or first.brief != repeat.brief:
        raise IdempotencyKeyReused
    entry = store.ledger.find(f"spend#{first.task_id}")
    account = store.accounts.get(repeat.user_email)
    remaining = entry.balance_after if entry else account.credits_balance
    return Submitted(first, account, remaining, replayed=True)
