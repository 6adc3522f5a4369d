"""Submitting tasks: the charge and the task are one write."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime

from app.data import Store
from app.domain import credits
from app.domain.accounts import Account, mask_email
from app.domain.errors import AlreadyRecorded, InsufficientCredits, RateLimited, RequestIdReused
from app.domain.tasks import Task, new_task

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The task and its owner's account after the charge; `credits_remaining` is what the first answer said."""

    task: Task
    account: Account
    credits_remaining: int
    replayed: bool = False


def submit(
    store: Store, account: Account, description: object, *, now: datetime, request_id: str | None = None
) -> Submitted:
    """Charge an account for a task and put the task in the queue, once per request_id.

    Repeating a request_id returns the first task, also on a drained balance. Raises InvalidInput, InsufficientCredits,
    RateLimited, RequestIdReused (same id, other text) and StoreUnavailable; after any of these nothing was charged,
    but for StoreUnavailable after a lost answer: repeat with the same request_id.
    """
    task = new_task(account.email, description, request_id or secrets.token_urlsafe(16), now)

    def attempt(current: Account) -> Submitted:
        try:
            posted, after = credits.post(current, credits.spend_entry(task), now)
        except (InsufficientCredits, RateLimited):
            if request_id and store.find_task(task.task_id):
                raise AlreadyRecorded from None
            raise
        with store.transaction() as tx:
            tx.record_once(posted)  # first: a replay is a replay, whatever else has changed
            tx.put_task(task)
            tx.move_balance(current, after, open_tasks=1, draft=None)
        return Submitted(task, after, after.credits_balance)

    try:
        done = store.change_account(account, attempt)
    except AlreadyRecorded:
        return _first(store, task)
    log.info("task submitted", extra={"email": mask_email(account.email), "task_id": task.task_id})
    return done


def _first(store: Store, repeat: Task) -> Submitted:
    """What the first request with this id did. Raises RequestIdReused if that was for another text."""
    first = store.get_task(repeat.task_id, owner=repeat.user_email)
    if first.description != repeat.description:
        raise RequestIdReused
    entry = store.find_entry(f"spend#{first.task_id}")
    account = store.get_account(repeat.user_email)
    remaining = entry.balance_after if entry else account.credits_balance
    return Submitted(first, account, remaining, replayed=True)
