"""Moving from the original product: every account and task of it joins the ledger and the queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.data import Store
from app.domain.accounts import NOT_ADOPTED
from app.domain.payments import ChargeRefundedFact
from app.domain.tasks import Task
from app.services import payments

from .rows import Opening, unadopted_accounts, unadopted_tasks


@dataclass(slots=True)
class Adopted:
    """What a run did, or would do: openings and tasks that join, and what a person has to settle first."""

    openings: list[Opening] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)  # subject, why
    untraced: list[tuple[str, str]] = field(default_factory=list)  # account, purchase that names no payment


def adopt(store: Store, *, apply: bool, now: datetime) -> Adopted:
    """Adopt what has not been adopted, page by page; without `apply` only say what would be done.

    One transaction for an account, one for a task: safe to repeat, to break off and to run while customers are at work,
    who meanwhile adopt their own account by signing in. Raises StoreUnavailable; running again goes on.
    """
    done = Adopted()
    for opening in unadopted_accounts(store):
        email, problem = opening.account.email, opening.problem
        if apply and not problem:
            account = store.accounts.find(email)  # the first read adopts
            problem = account.unexplained if account else "it is gone"
        if problem:
            done.refused.append((email, problem))
            continue
        done.openings.append(opening)
        done.untraced += [(email, transaction_id) for transaction_id in opening.untraced]
    for task in unadopted_tasks(store):
        stands = store.tasks.find(task.task_id) if apply else task
        problem = stands.unexplained if stands else "it is gone"
        if problem and (apply or problem != NOT_ADOPTED):
            done.refused.append((task.task_id, problem))
        else:
            done.tasks.append(task)
    if apply:
        _settle_payments(store, now)
    return done


def _settle_payments(store: Store, now: datetime) -> None:
    """Take back what was refunded before its payment was known here, also of accounts that a sign-in has adopted."""
    for record in store.payments.every():
        if record.granted and record.delta:
            payments.record_fact(store, ChargeRefundedFact(record.payment_id, 0), now=now)
