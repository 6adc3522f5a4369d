"""What operators do to accounts: correct a balance, close the door and open it; and what happened to a customer."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.data import Store
from app.data.adjustments import APPROVED, DECLINED, Adjustment
from app.domain import credits
from app.domain.accounts import Account, mask_email
from app.domain.credits import ADJUSTMENT, LedgerEntry, PostedEntry
from app.domain.errors import (
    AlreadyRecorded,
    Forbidden,
    InsufficientCredits,
    InvalidInput,
    RequestIdReused,
    WrongState,
)
from app.domain.tasks import check_reason

log = logging.getLogger(__name__)

MAX_ADJUSTMENT = 10_000_000
TIMELINE_OF_EACH = 20
TIMELINE = 40

_side_by_side = ThreadPoolExecutor(8, thread_name_prefix="timeline")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a customer's timeline. `thing` is the row that it tells of."""

    at: datetime
    kind: str  # "payment", "mail", "task", "ledger" or "act"
    thing: Any


def preview(account: Account, amount: object) -> tuple[int, int]:
    """The amount as credits, and the balance after it. Raises InvalidInput; a correction never goes below zero."""
    if isinstance(amount, bool) or not isinstance(amount, int) or amount == 0 or abs(amount) > MAX_ADJUSTMENT:
        raise InvalidInput(f"Give a whole number of credits, up to {MAX_ADJUSTMENT:,}, and not 0.", field="amount")
    after = account.credits_balance + amount
    if amount < 0 and after < 0:
        raise InvalidInput(
            f"The balance is {account.credits_balance:,}: a correction never takes it below zero.", field="amount"
        )
    return amount, after


def adjust(
    store: Store,
    operator: str,
    email: str,
    amount: object,
    reason: object,
    *,
    request_id: str,
    limit: int,
    now: datetime,
) -> PostedEntry | Adjustment:
    """Correct a balance, once for a request id. Above `limit` credits it waits for a second operator instead.

    Raises NotFound, InvalidInput, Forbidden (one's own account) and RequestIdReused.
    """
    words = check_reason(reason)
    account = store.get_account(email)
    _not_oneself(operator, account.email)
    checked, _ = preview(account, amount)
    key = f"{operator}\n{request_id}".encode()
    proposal = Adjustment("adj_" + hashlib.sha256(key).hexdigest()[:26], account.email, checked, words, operator, now)
    try:
        if abs(checked) > limit:
            return _propose(store, proposal, now)
        return _book(store, proposal, account, now)
    except AlreadyRecorded:
        return _first(store, proposal)


def approve(store: Store, operator: str, adjustment_id: str, *, now: datetime) -> PostedEntry:
    """Book a correction that another operator proposed. Raises NotFound, Forbidden, InvalidInput, WrongState."""
    waiting = store.get_adjustment(adjustment_id)
    if waiting.proposed_by == operator:
        raise Forbidden("Another operator must approve what you proposed.")
    _not_oneself(operator, waiting.user_email)
    try:
        return _book(store, waiting, store.get_account(waiting.user_email), now, approved_by=operator)
    except AlreadyRecorded as error:
        raise WrongState("This correction is booked already.") from error


def decline(store: Store, operator: str, adjustment_id: str, *, now: datetime) -> None:
    """Drop a proposed correction; its proposer may do so too. Raises NotFound, WrongState."""
    waiting = store.get_adjustment(adjustment_id)
    with store.transaction() as tx:
        tx.decide_adjustment(adjustment_id, DECLINED, operator, now)
        tx.record_audit(
            actor=operator,
            action="credits.decline",
            subject=waiting.user_email,
            now=now,
            reason=waiting.reason,
            after={"amount": waiting.amount, "proposed_by": waiting.proposed_by},
        )


def disable(store: Store, operator: str, email: str, reason: object, *, now: datetime) -> None:
    """Shut an account and end its sessions at once; payments still reach it. Raises NotFound, InvalidInput."""
    words = check_reason(reason)
    account = store.get_account(email)
    if account.email == operator:
        raise Forbidden("You cannot disable your own account.")
    if account.disabled:
        return
    with store.transaction() as tx:
        tx.change_settings(account.email, disabled_at=now, sessions={})
        tx.record_audit(
            actor=operator,
            action="account.disable",
            subject=account.email,
            now=now,
            reason=words,
            before={"disabled": False},
            after={"disabled": True},
        )
    log.info("account disabled", extra={"email": mask_email(email), "actor": mask_email(operator)})


def enable(store: Store, operator: str, email: str, reason: object, *, now: datetime) -> None:
    """Open a disabled account again. Raises NotFound, InvalidInput."""
    words = check_reason(reason)
    account = store.get_account(email)
    if not account.disabled:
        return
    with store.transaction() as tx:
        tx.change_settings(account.email, disabled_at=None)
        tx.record_audit(
            actor=operator,
            action="account.enable",
            subject=account.email,
            now=now,
            reason=words,
            before={"disabled": True},
            after={"disabled": False},
        )


def end_sessions(store: Store, operator: str, email: str, *, now: datetime) -> None:
    """Sign an account out everywhere, browsers and programs. Raises NotFound."""
    account = store.get_account(email)
    with store.transaction() as tx:
        tx.change_settings(account.email, sessions={})
        tx.record_audit(
            actor=operator,
            action="account.end_sessions",
            subject=account.email,
            now=now,
            before={"sessions": len(account.sessions)},
            after={"sessions": 0},
        )


def timeline(store: Store, account: Account) -> list[Event]:
    """The latest of everything that happened to a customer, newest first: five queries side by side.

    Sign-ins are those whose session is still known; the ones that have ended are in the logs alone.
    """
    email, limit = account.email, TIMELINE_OF_EACH
    sign_ins = [Event(s.created_at, "sign-in", s) for s in account.sessions.values()]
    reads: tuple[Callable[[], list[Event]], ...] = (
        lambda: [
            Event(p.created_at, "payment", p) for p in store.list_payments(email, limit=limit).items if p.created_at
        ],
        lambda: [Event(m.created_at, "mail", m) for m in store.list_mails_to(email, limit=limit).items],
        lambda: [Event(t.created_at, "task", t) for t in store.list_tasks(email, limit=limit).items],
        lambda: [Event(e.timestamp, "ledger", e) for e in store.list_entries(email, limit=limit).items],
        lambda: [Event(a.at, "act", a) for a in store.list_audit_of(email, limit=limit).items],
    )
    found = _side_by_side.map(lambda read: read(), reads)
    return sorted((event for events in [sign_ins, *found] for event in events), key=lambda e: e.at, reverse=True)[
        :TIMELINE
    ]


def _propose(store: Store, proposal: Adjustment, now: datetime) -> Adjustment:
    with store.transaction() as tx:
        tx.put_adjustment(proposal)
        tx.record_audit(
            actor=proposal.proposed_by,
            action="credits.propose",
            subject=proposal.user_email,
            now=now,
            reason=proposal.reason,
            after={"amount": proposal.amount},
        )
    return proposal


def _book(
    store: Store, adjustment: Adjustment, account: Account, now: datetime, *, approved_by: str = ""
) -> PostedEntry:
    entry = LedgerEntry(
        transaction_id=f"adjust#{adjustment.adjustment_id}",
        user_email=adjustment.user_email,
        type=ADJUSTMENT,
        amount=adjustment.amount,
        description=f"Correction: {adjustment.reason}",
    )

    def attempt(current: Account) -> PostedEntry:
        preview(current, adjustment.amount)
        try:
            posted, after = credits.post(current, entry, now)
        except InsufficientCredits as error:
            raise InvalidInput("A correction never takes a balance below zero.", field="amount") from error
        with store.transaction() as tx:
            tx.record_once(posted)
            tx.move_balance(current, after)
            tx.record_audit(
                actor=approved_by or adjustment.proposed_by,
                action="credits.approve" if approved_by else "credits.adjust",
                subject=current.email,
                now=now,
                reason=adjustment.reason,
                before={"balance": current.credits_balance},
                after={"balance": after.credits_balance}
                | ({"proposed_by": adjustment.proposed_by} if approved_by else {}),
            )
            if approved_by:
                tx.decide_adjustment(adjustment.adjustment_id, APPROVED, approved_by, now)
        return posted

    posted = store.change_account(account, attempt)
    log.info("balance corrected", extra={"email": mask_email(account.email), "credits": adjustment.amount})
    return posted


def _first(store: Store, repeat: Adjustment) -> PostedEntry | Adjustment:
    """What the first request with this id did. Raises RequestIdReused if that was something else."""
    entry = store.find_entry(f"adjust#{repeat.adjustment_id}")
    first: PostedEntry | Adjustment = entry or store.get_adjustment(repeat.adjustment_id)
    if (first.user_email, first.amount) != (repeat.user_email, repeat.amount):
        raise RequestIdReused("This request was sent before with other contents. Nothing was changed.")
    return first


def _not_oneself(operator: str, email: str) -> None:
    if operator == email:
        raise Forbidden("Nobody corrects their own balance: ask another operator.")
