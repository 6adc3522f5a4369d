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
from .survey import Finding, Progress, Survey, survey


@dataclass(slots=True)
class Adopted:
    """What a run did, or would do: openings and tasks that join, and what a person has to settle first."""

    openings: list[Opening] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)  # subject, why
    untraced: list[tuple[str, str]] = field(default_factory=list)  # account, purchase that names no payment
    findings: list[Finding] = field(default_factory=list)  # rows that have to be mended first


def adopt(store: Store, *, apply: bool, now: datetime, progress: Progress = lambda table, rows: None) -> Adopted:
    """Adopt what has not been adopted, page by page; without `apply` only say what would be done. What has rows to be
    mended is left out, and they are named.

    One transaction for an account, one for a task: safe to repeat, to break off and to run while customers are at work,
    who meanwhile adopt their own account by signing in. Raises StoreUnavailable; running again goes on.
    """
    seen = survey(store, now, progress)
    done = Adopted(findings=seen.findings)
    for opening in unadopted_accounts(store, seen.unsettled):
        email = opening.account.email
        problem = opening.problem or _lag(opening, seen.people.sums.get(email, 0)) or _nobodys(seen)
        if apply and not problem:
            account = store.accounts.find(email)  # the first read adopts
            problem = account.unexplained if account else "it is gone"
        if problem:
            done.refused.append((email, problem))
            continue
        done.openings.append(opening)
        done.untraced += [(email, transaction_id) for transaction_id in opening.untraced]
    for task in unadopted_tasks(store, seen.tasks):
        stands = store.tasks.find(task.task_id) if apply else task
        problem = stands.unexplained if stands else "it is gone"
        if problem and (apply or problem != NOT_ADOPTED):
            done.refused.append((task.task_id, problem))
        else:
            done.tasks.append(task)
    if apply:
        _settle_payments(store, now)
    return done


def _lag(opening: Opening, sum_of_rows: int | None) -> str | None:
    """An opening row makes up for what the index does not have, so it must have what the table has."""
    if opening.counted == sum_of_rows:
        return None
    return "the index of its rows is still being brought up to date: run this again in a minute"


def _nobodys(seen: Survey) -> str | None:
    return f"a ledger row that names nobody may be its own: {seen.nobodys[0]}" if seen.nobodys else None


def _settle_payments(store: Store, now: datetime) -> None:
    """Take back what was refunded before its payment was known here, also of accounts that a sign-in has adopted."""
    for record in store.payments.every():
        if record.granted and record.delta:
            payments.record_fact(store, ChargeRefundedFact(record.payment_id, 0), now=now)
