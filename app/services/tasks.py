"""Submitting tasks: the charge and the task are one write."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypedDict

from app.data import Store
from app.data.transaction import MAX_WRITES
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
    ReferenceUsed,
    StoreBusy,
)
from app.domain.labels import labels_of
from app.domain.tasks import MAX_BATCH, Brief, Task, new_task, task_id_for
from app.telemetry.spans import verb

from . import notices, webhook_events
from .api_keys import Purse

log = logging.getLogger(__name__)

BESIDE = 5  # writes of a batch that are of no task: the account, its key, a mail, finance's figures of two months


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
    """Charge an account for a task and put the task in the queue, once per idempotency key and once per reference.

    What was kept of the composer while credits were bought is done with, unless it is a program that submits. `key`:
    the API key that it was let in by, whose month the task counts in. Repeating an idempotency key, or a reference with
    the same brief, returns the first task, also on a drained balance or month. Raises InvalidInput,
    InsufficientCredits, KeyLimitReached, RateLimited, IdempotencyKeyReused and ReferenceUsed (another brief) and
    StoreUnavailable; after any of these nothing was charged, but for StoreUnavailable after a lost answer: repeat with
    the same idempotency key or reference.
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
            if _is_there(store, task, keyed=idempotency_key is not None):
                raise AlreadyRecorded from None
            raise
        with store.transaction() as tx:
            tx.ledger.append_once(posted)  # first: a replay is a replay, whatever else has changed
            tx.tasks.add(task)
            tx.labels.add([task])
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

    A `key` is charged for the whole, or not at all. Tasks that all have references are the first ones when all of them
    come again; where some do, nothing is done. Raises InvalidInput, InsufficientCredits, KeyLimitReached, RateLimited,
    IdempotencyKeyReused, ReferenceUsed and StoreUnavailable, as `submit` does.
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
    _check_references(tasks)
    total = sum(task.credits_spent for task in tasks)
    purse = Purse(store, key)

    def attempt(current: Account) -> Account:
        _check_signed_in(current, account, key)
        after, recent, entries = current, current.recent_marks, []
        try:
            _check_room(tasks, current)
            for task in tasks:
                posted, after = credits.post(after, credits.spend_entry(task), now)
                entries.append(posted)
                recent = remember(recent, task.description)
            charge = purse.charge(total, now)
        except (AccountFrozen, InsufficientCredits, InvalidInput, KeyLimitReached, RateLimited) as refusal:
            if any(_is_there(store, task, keyed=place == 0) for place, task in enumerate(tasks)):
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
            tx.labels.add(tasks)
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
        keyed = store.tasks.find(tasks[0].task_id) is not None
        firsts = [_first(store, task).task for task in tasks] if keyed else _by_references(store, tasks)
        return firsts, store.accounts.get(account.email)
    log.info("batch submitted", extra={"email": mask_email(account.email), "tasks": len(tasks)})
    return tasks, after


def first_answer(store: Store, made: Sequence[Task], account: Account, now: datetime) -> tuple[int, bool]:
    """What the first answer to a batch said was left, and whether `made` at `now` are tasks of before, told again."""
    if made[0].created_at == now + timedelta(microseconds=1):
        return account.credits_balance, False
    entry = store.ledger.find(f"spend#{made[-1].task_id}")
    return (entry.balance_after if entry else account.credits_balance), True


def find_twin(
    store: Store, account: Account, description: str, idempotency_key: str, reference: str = ""
) -> Task | None:
    """An earlier task that says nearly the same: to be asked about before it is paid for again.

    Reads nothing unless the account's marks say that there may be one; a repeat of the same request is no twin.
    """
    if not may_repeat(account.recent_marks, description):
        return None
    earlier = store.tasks.page(account.email, limit=LOOKED_AT).items
    repeated = task_id_for(account.email, idempotency_key)
    if any(task.task_id == repeated or (reference and task.reference == reference) for task in earlier):
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
    """What the first request with this id or reference did.

    Raises IdempotencyKeyReused, or ReferenceUsed, if that was for another brief.
    """
    first = store.tasks.find(repeat.task_id)
    if first is None and (named := _named(store, repeat)):
        first = named
        if first.brief != repeat.brief:
            raise ReferenceUsed(repeat.reference, first.task_id)
    # None: the first request had fewer lines.
    if first is None or first.user_email != repeat.user_email or first.brief != repeat.brief:
        raise IdempotencyKeyReused
    entry = store.ledger.find(f"spend#{first.task_id}")
    account = store.accounts.get(repeat.user_email)
    remaining = entry.balance_after if entry else account.credits_balance
    return Submitted(first, account, remaining, replayed=True)


def _named(store: Store, task: Task) -> Task | None:
    """The task of the same account that has the reference of this one."""
    task_id = store.labels.find(task.user_email, task.reference) if task.reference else None
    return store.tasks.find(task_id) if task_id else None


def _is_there(store: Store, task: Task, *, keyed: bool) -> bool:
    """Whether an earlier request has taken its id, where that follows from a key, or its reference."""
    return bool((keyed and store.tasks.find(task.task_id)) or _named(store, task))


def _by_references(store: Store, tasks: Sequence[Task]) -> list[Task]:
    """The tasks of an earlier request that have the references of all of these. Raises ReferenceUsed."""
    firsts = [_named(store, task) for task in tasks]
    same = [first for task, first in zip(tasks, firsts, strict=True) if first and first.brief == task.brief]
    if len(same) == len(tasks):
        return same
    for task, first in zip(tasks, firsts, strict=True):
        if first and first not in same:
            raise ReferenceUsed(task.reference, first.task_id)
    if not same:
        raise StoreBusy  # what was in the way a moment ago is not there any more
    said = "The other tasks of this batch are not there yet: send those by themselves."
    raise ReferenceUsed(same[0].reference, same[0].task_id, said)


def _check_references(tasks: Sequence[Task]) -> None:
    """Raise InvalidInput if two tasks have one reference."""
    references = [task.reference for task in tasks if task.reference]
    if repeated := next((one for place, one in enumerate(references) if one in references[:place]), ""):
        raise InvalidInput(f"Two of these tasks have the reference {repeated}.", field="tasks")


def _check_room(tasks: Sequence[Task], account: Account) -> None:
    """Raise InvalidInput if one transaction cannot hold what these tasks are to be found by as well."""
    labels = sum(1 for _ in labels_of(tasks))
    room = MAX_WRITES - 2 * len(tasks) - BESIDE - len(account.webhooks)
    if labels > room:
        raise InvalidInput(
            f"These {len(tasks)} tasks have {labels} references and different tags; {max(room, 0)} fit beside so many "
            "tasks. Send them in two batches.",
            field="tasks",
        )
