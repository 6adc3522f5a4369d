"""A task's way through the queue: claimed, renewed, released, completed, rejected, cancelled and redone.

Each change is one transaction, conditioned on the very state that it was decided on: of two that race one wins, and
the other decides again on what it finds then, which mostly means that it is told why not.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from app.data import Store
from app.data.client import Stale
from app.data.erasure import ERASED
from app.data.store import Transaction
from app.data.threads import KINDS, side_by_side
from app.data.transaction import optimistic
from app.domain import credits, webhooks
from app.domain import tasks as rules
from app.domain.accounts import Account, Address, as_address, mask_email
from app.domain.desk import is_worked_on
from app.domain.errors import (
    AlreadyRecorded,
    DomainError,
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    NotSignedIn,
    StoreUnavailable,
    WrongState,
)
from app.domain.formatting import excerpt
from app.domain.mails import Mail
from app.domain.tasks import (
    CANCELLED,
    COMPLETED,
    DEFAULT_LEASE_MINUTES,
    IN_PROGRESS,
    PENDING,
    Result,
    ResultFile,
    Task,
)
from app.domain.text import first_part, shows
from app.domain.webhooks import COMPLETED as TASK_COMPLETED
from app.domain.webhooks import REJECTED as TASK_REJECTED
from app.domain.webhooks import STARTED
from app.telemetry.spans import verb

from . import webhook_events
from .acting import Act, acting

log = logging.getLogger(__name__)

CANDIDATES = 50  # of the queue's oldest, read at once when the next task is claimed
LOOKS = 3
REDO = "redo"  # what one is kept under
IN_THE_MAIL = 1200  # characters of a result

Beside = Callable[[Transaction, Task], None]


@verb
def claim(store: Store, operator: str, task_id: str, *, now: datetime, minutes: int = DEFAULT_LEASE_MINUTES) -> Task:
    """Lease a chosen task for some minutes. Claiming what one holds already renews it. Raises NotFound, WrongState."""

    def beside(tx: Transaction, task: Task) -> None:
        if task.started_at == now:  # and not renewed
            _tell(tx, STARTED, task, store.accounts.find(task.user_email))

    return _move(
        store,
        task_id,
        lambda task: rules.claimed(task, operator, now, minutes),
        "task.claim",
        operator,
        now,
        beside=beside,
    )


@verb
def claim_next(store: Store, operator: str, *, now: datetime, minutes: int = DEFAULT_LEASE_MINUTES) -> Task | None:
    """Lease the oldest task that is free: pending, or with a lease that has run out. None when there is none."""
    rules.check_lease(minutes)
    for _ in range(LOOKS):
        candidates = list(_free_tasks(store, now))
        for candidate in candidates:
            try:
                return claim(store, operator, candidate.task_id, now=now, minutes=minutes)
            except (WrongState, NotFound):  # somebody was quicker
                continue
        if not candidates:
            return None
    return None


@verb
def renew(store: Store, operator: str, task_id: str, *, now: datetime, minutes: int = DEFAULT_LEASE_MINUTES) -> Task:
    """Extend a lease that one holds. It keeps its customer from cancelling, so the audit log says it."""

    def attempt(task: Task) -> Task:
        after = rules.renewed(task, operator, now, minutes)
        with acting(store, _act(task, after, "task.renew", operator, "", now)) as tx:
            tx.tasks.change(task, after)
        return after

    return optimistic(task_id, attempt, _read(store, task_id), lambda _stale: _read(store, task_id))


@verb
def hold(store: Store, operator: str, task_id: str, *, now: datetime) -> Task:
    """Keep a lease alive for an operator who is typing: renewed once half of it is over, so that few rows tell of it.

    Raises NotFound, WrongState.
    """
    task = _read(store, task_id)
    if rules.is_half_over(task, now):
        return renew(store, operator, task_id, now=now)
    return rules.check_holder(task, operator, now)


@verb
def release(store: Store, operator: str, task_id: str, *, now: datetime, reason: str = "") -> Task:
    """Give a task back to the queue. Raises NotFound, WrongState."""
    return _move(
        store, task_id, lambda task: rules.released(task, operator, now), "task.release", operator, now, reason
    )


def check_holder(store: Store, operator: str, task_id: str, *, now: datetime) -> None:
    """Raise NotFound or WrongState unless `operator` may complete this task now: asked before files are stored."""
    rules.completed(_read(store, task_id), operator, now)


@verb
def complete(
    store: Store,
    operator: str,
    task_id: str,
    text: object,
    *,
    now: datetime,
    files: Sequence[ResultFile] = (),
) -> Task:
    """Answer a task that one holds, and promise the mail that says so. Repeating the same answer changes nothing.

    Raises InvalidInput, NotFound, and WrongState, also when the lease has run out.
    """
    result = Result(rules.check_result(text), tuple(files), operator, now)
    if not shows(result.text) and not files:
        raise InvalidInput("Write a result or add a file.", field="result")

    beginning, cut = first_part(result.text, IN_THE_MAIL)

    def beside(tx: Transaction, task: Task) -> None:
        tx.tasks.add_result(task_id, result)
        context = {
            "task_id": task.task_id,
            "title": excerpt(task.description, 60),
            "files": len(result.files),
            "result": beginning,
            "cut": cut,
            "redo": task.redo_of is not None,
        }
        owner = store.accounts.find(task.user_email)
        tx.mails.enqueue(Mail(f"task_completed#{task_id}", "task_completed", _mail_to(owner, task), now, context))
        _tell(tx, TASK_COMPLETED, task, owner)

    try:
        task = _move(
            store, task_id, lambda t: rules.completed(t, operator, now), "task.complete", operator, now, beside=beside
        )
    except (WrongState, AlreadyRecorded):
        stands, first = store.tasks.get_with_result(task_id)
        if first and first.by == operator and first.text == result.text and stands.status == COMPLETED:
            return stands  # our own answer, sent again
        raise
    _count(store, task, now, completed=1, earned=task.credits_spent)
    return task


def _tell(tx: Transaction, kind: str, task: Task, owner: Account | None) -> None:
    if owner is not None and owner.webhooks:
        webhook_events.promise(tx, owner, webhooks.of_task(kind, task))


def _mail_to(owner: Account | None, task: Task) -> Address:
    """Where its owner is reached at this moment; the sender looks again."""
    return owner.address if owner else as_address(task.user_email)


def next_after(store: Store, operator: str, done: Task, *, now: datetime) -> Task | None:
    """Lease the oldest free task after one has completed `done`, or None.

    Where that completion was a repeat, whose first answer was lost, it is the task that was leased at the first time.
    """
    if done.finished_at and done.finished_at != now and (leased := _leased_since(store, operator, done.finished_at)):
        return leased
    return claim_next(store, operator, now=now)


@verb
def reject(store: Store, operator: str, task_id: str, reason: object, *, now: datetime) -> Task:
    """Refuse a task with a reason that the customer reads, and give its credits back.

    Raises InvalidInput, NotFound, WrongState. Of two who reject one task, one does; the credits come back once.
    """
    words = rules.check_reason(reason)

    def beside(tx: Transaction, task: Task) -> None:
        context = {
            "task_id": task.task_id,
            "title": excerpt(task.description, 60),
            "reason": words,
            "credits": task.credits_spent,
            "redo": task.redo_of is not None,
        }
        owner = store.accounts.find(task.user_email)
        tx.mails.enqueue(Mail(f"task_rejected#{task_id}", "task_rejected", _mail_to(owner, task), now, context))
        _tell(tx, TASK_REJECTED, task, owner)

    task, _ = _give_back(
        store,
        task_id,
        lambda t: rules.rejected(t, operator, words, now),
        "task.reject",
        operator,
        now,
        reason=words,
        why="rejected",
        beside=beside,
    )
    _count(store, task, now, rejected=1)
    return task


@verb
def cancel(store: Store, account: Account, task_id: str, *, now: datetime) -> tuple[Task, Account]:
    """Call off one's own task while nobody works on it; its credits come back at once. Safe to repeat.

    Raises NotFound (also for a task of somebody else) and WrongState.
    """
    store.tasks.get(task_id, owner=account.email)
    try:
        task, after = _give_back(
            store,
            task_id,
            lambda t: rules.cancelled(t, now),
            "task.cancel",
            account.email,
            now,
            why="cancelled",
        )
    except WrongState:
        stands = store.tasks.get(task_id, owner=account.email)
        if stands.status == CANCELLED:
            return stands, store.accounts.get(account.email)
        raise
    _count(store, task, now, cancelled=1)
    return task, after


@verb
def request_redo(
    store: Store, account: Account, task_id: str, note: object, *, now: datetime, idempotency_key: str | None = None
) -> Task:
    """Ask once, for free, that a completed task be done again. Repeating this returns the first redo.

    Raises NotFound, InvalidInput, WrongState, and within 30 days IdempotencyKeyReused where the key was another redo's,
    or this one's with another note.
    """
    words = rules.check_note(note)  # before a repeat is answered: what is not acceptable never is
    original = store.tasks.get(task_id, owner=account.email)
    asked = hashlib.sha256(f"{task_id}\n{words}".encode()).hexdigest()  # kept without the words, which an erasure takes
    if idempotency_key:
        _check_redo(store, account, idempotency_key, asked)
    if original.description == ERASED:
        raise WrongState("The words of this task were erased with the account that it belonged to.")
    if original.redone_by:
        return store.tasks.get(original.redone_by, owner=account.email)

    def attempt(task: Task) -> Task:
        marked, again = rules.redo(task, note, now)
        act = Act(
            account.email, "task.redo", task_id, now, reason=again.redo_note or "", after={"redone_by": again.task_id}
        )
        with acting(store, act) as tx:
            tx.tasks.add(again)
            tx.labels.add([again])
            tx.tasks.change(task, marked)
            tx.accounts.change_settings(account, failure=NotSignedIn, open_tasks=1)
            if idempotency_key:
                tx.once.keep_first(account.account_id, REDO, idempotency_key, asked, now)
        return again

    try:
        again = optimistic(account.email, attempt, original, lambda _stale: _read(store, task_id))
    except (AlreadyRecorded, WrongState):
        if idempotency_key:
            _check_redo(store, account, idempotency_key, asked)
        if first := store.tasks.find(rules.redo_id_for(original)):  # asked twice at once
            return first
        raise
    log.info("redo requested", extra={"task_id": task_id, "redo": again.task_id})
    return again


def _check_redo(store: Store, account: Account, idempotency_key: str, asked: str) -> None:
    """Raise IdempotencyKeyReused if something else was asked for under this key."""
    if store.once.find(account.account_id, REDO, idempotency_key) not in (None, asked):
        raise IdempotencyKeyReused("This idempotency key was used before for another redo. Nothing was asked for.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of several tasks: as it stands now, and why nothing was done to it, if nothing was."""

    task_id: str
    task: Task | None
    refused: str = ""


def each(store: Store, act: Callable[[str], Task], task_ids: Sequence[str]) -> list[Outcome]:
    """Do one thing to several tasks, each in a transaction of its own, and tell of each in their order.

    When the store fails in between, what was done stays done, and the rest is told as not done.
    """
    return [_tried(store, act, task_id) for task_id in task_ids]


def _tried(store: Store, act: Callable[[str], Task], task_id: str) -> Outcome:
    try:
        return Outcome(task_id, act(task_id))
    except DomainError as error:
        refused = error.message
    try:
        return Outcome(task_id, store.tasks.find(task_id), refused)
    except DomainError:
        return Outcome(task_id, None, refused)


def _leased_since(store: Store, operator: str, moment: datetime) -> Task | None:
    def keep(task: Task) -> bool:
        return task.lease_owner == operator and task.started_at is not None and task.started_at >= moment

    found = store.queue.page(IN_PROGRESS, limit=1, keep=keep).items
    return found[0] if found else None


def _free_tasks(store: Store, now: datetime) -> Iterator[Task]:
    """Candidates, oldest first. The index lags a little behind: each is checked again as it is claimed."""
    reads = [
        partial(store.queue.page, PENDING, limit=CANDIDATES),
        partial(store.queue.page, IN_PROGRESS, limit=CANDIDATES, keep=lambda task: not is_worked_on(task, now)),
    ]
    pending, leased = side_by_side(KINDS, reads)
    yield from sorted([*pending.items, *leased.items], key=lambda task: (task.created_at, task.task_id))


def _move(
    store: Store,
    task_id: str,
    step: Callable[[Task], Task],
    action: str,
    actor: str,
    now: datetime,
    reason: str = "",
    *,
    beside: Beside | None = None,
) -> Task:
    """Take a task a step on, beside its audit row, its owner's counters and whatever `beside` adds."""

    def attempt(task: Task) -> Task:
        after = step(task)
        with acting(store, _act(task, after, action, actor, reason, now)) as tx:
            tx.tasks.change(task, after)
            tx.accounts.count_open_task(task, after.is_open - task.is_open)
            if beside:
                beside(tx, after)
        return after

    task = _read(store, task_id)
    after = optimistic(task.user_email, attempt, task, lambda _stale: _read(store, task_id))
    log.info(action, extra={"task_id": task_id, "actor": mask_email(actor)})
    return after


def _give_back(
    store: Store,
    task_id: str,
    step: Callable[[Task], Task],
    action: str,
    actor: str,
    now: datetime,
    *,
    why: str,
    reason: str = "",
    beside: Beside | None = None,
) -> tuple[Task, Account]:
    """End a task and refund what it cost, once: the refund's ledger id follows from the task's."""

    def read(_stale: Stale | None = None) -> tuple[Task, Account]:
        task = _read(store, task_id)
        return task, store.accounts.get(task.user_email)

    def attempt(state: tuple[Task, Account]) -> tuple[Task, Account]:
        task, account = state
        after, account_after = step(task), account
        with acting(store, _act(task, after, action, actor, reason, now)) as tx:
            if task.credits_spent:
                posted, account_after = credits.post(account, credits.task_refund_entry(task, why), now)
                tx.ledger.append_once(posted)
                tx.accounts.move_balance(account, account_after, open_tasks=-1)
            else:
                tx.accounts.count_open_task(task, -1)
            tx.tasks.change(task, after)
            if beside:
                beside(tx, after)
        return after, account_after

    first = read()
    try:
        done = optimistic(first[0].user_email, attempt, first, read)
    except AlreadyRecorded as error:
        raise WrongState("The credits of this task were given back already.") from error
    log.info(action, extra={"task_id": task_id, "actor": mask_email(actor)})
    return done


def _read(store: Store, task_id: str) -> Task:
    task = store.tasks.find(task_id)
    if task is None:
        raise NotFound("There is no such task.")
    return task


def _act(before: Task, after: Task, action: str, actor: str, reason: str, now: datetime) -> Act:
    def state(task: Task) -> dict[str, str]:
        return {"status": task.status} | ({"lease_owner": task.lease_owner} if task.lease_owner else {})

    return Act(actor, action, after.task_id, now, reason, state(before), state(after))


def _count(store: Store, task: Task, now: datetime, **figures: int) -> None:
    """Running figures, after the fact: they must never undo or refuse what has been done."""
    writes: list[Callable[[], object]] = [partial(store.updates.figures.count_day, now.date(), **figures)]
    if task.status == COMPLETED:
        writes.append(partial(store.updates.figures.note_turnaround, task.created_at, now))
    try:
        side_by_side(KINDS, writes)
    except StoreUnavailable:
        log.warning("figures not counted", extra={"task_id": task.task_id})
