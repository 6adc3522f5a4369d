"""What operators do to accounts: adjust a balance, disable and enable one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from app.data import Store
from app.data.store import Transaction
from app.domain import credits
from app.domain.accounts import Account, AccountKey, Settings, mask_email
from app.domain.codes import PromotionalCode
from app.domain.credits import LedgerEntry, PostedEntry
from app.domain.errors import (
    AlreadyRecorded,
    Forbidden,
    IdempotencyKeyReused,
    InsufficientCredits,
    InvalidInput,
    WrongState,
)
from app.domain.formatting import count
from app.domain.proposals import ADJUSTMENT, APPROVED, CODE, PAYMENT, SALE, Proposal
from app.domain.tasks import check_reason
from app.telemetry.spans import verb

from . import by_hand, codes, parked, sales, webhook_events
from .account_notices import changed
from .acting import Act, acting
from .by_hand import Authority, NeedsSecond
from .payments import Outcome

log = logging.getLogger(__name__)

MAX_ADJUSTMENT = 10_000_000


def preview(account: Account, amount: object) -> tuple[int, int]:
    """The amount as credits, and the balance after it. Raises InvalidInput; an adjustment never goes below zero."""
    credits_delta = check_amount(amount)
    after = account.credits_balance + credits_delta
    if credits_delta < 0 and after < 0:
        raise InvalidInput(
            f"The balance is {account.credits_balance:,}: an adjustment never takes it below zero.", field="amount"
        )
    return credits_delta, after


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The ledger row that was booked, or what waits for a second operator; `replayed`: an earlier request did it."""

    done: PostedEntry | Proposal
    replayed: bool = False


@verb
def adjust(
    store: Store,
    operator: str,
    email: AccountKey,
    amount: object,
    reason: object,
    *,
    idempotency_key: str,
    limit: int,
    now: datetime,
    on_command_line: bool = False,
) -> Adjusted:
    """Adjust a balance, once for an idempotency key. It waits for a second operator instead if this one would then have
    made more than `limit` credits by hand alone in this UTC day, over all accounts and means.

    A repeat gets the first answer, whatever has become of the balance. Raises NotFound, InvalidInput, Forbidden (one's
    own account; no operator any more) and IdempotencyKeyReused.
    """
    words = check_reason(reason)
    account = store.accounts.get(email)
    by_hand.not_for_oneself(store, operator, account)
    if account.moved_away:
        raise WrongState("This account is deleted and cannot come back: nobody could use the credits.")
    checked = check_amount(amount)
    wanted = by_hand.proposal(
        ADJUSTMENT,
        operator=operator,
        idempotency_key=idempotency_key,
        amount=checked,
        reason=words,
        email=account.email,
        now=now,
    )
    if first := _first(store, wanted):
        return Adjusted(first, replayed=True)
    preview(account, checked)

    def authority() -> Authority:
        return by_hand.alone(store, operator, checked, limit=limit, now=now, on_command_line=on_command_line)

    try:
        booked = _book(store, wanted, account, now, authority, "credits.adjust", lambda tx: _not_proposed(tx, wanted))
        return Adjusted(booked)
    except NeedsSecond:
        return _propose_once(store, wanted)
    except AlreadyRecorded:
        return _answered(store, wanted)


def approve(
    store: Store, operator: str, adjustment_id: str, *, now: datetime
) -> PostedEntry | PromotionalCode | Outcome | None:
    """Book what another operator proposed: an adjustment, a parked payment credited, a code, or the name of a link.

    Both have to be operators as it is booked. Raises NotFound, Forbidden, InvalidInput, WrongState.
    """
    waiting = store.proposals.get(adjustment_id)
    if waiting.state == APPROVED and waiting.decided_by == operator:  # sent again: its answer never came
        return _booked(store, waiting)

    def authority() -> Authority:
        return by_hand.together(store, waiting, operator, now=now)

    authority()  # who may not approve learns that first
    try:
        return APPROVED_BY_KIND[waiting.kind](store, waiting, now, authority)
    except AlreadyRecorded as error:
        raise WrongState("This is booked already.") from error


def _booked(store: Store, approved: Proposal) -> PostedEntry | PromotionalCode | Outcome | None:
    """What came of a proposal that was approved."""
    if approved.kind == CODE:
        return store.codes.find(approved.terms["code"])
    if approved.kind == PAYMENT:
        return Outcome(store.payments.find(approved.terms["payment_id"]))
    return store.ledger.find(_entry_id(approved)) if approved.kind == ADJUSTMENT else None


def decline(store: Store, operator: str, adjustment_id: str, *, now: datetime) -> None:
    """Drop what was proposed; its proposer may do so too. Raises NotFound, WrongState."""
    by_hand.decline(store, operator, adjustment_id, now=now)


@verb
def disable(store: Store, operator: str, email: AccountKey, reason: object, *, now: datetime) -> None:
    """Shut an account and end its sessions at once; payments still reach it. Raises NotFound, InvalidInput."""
    words = check_reason(reason)
    account = store.accounts.get(email)
    if account.email == operator:
        raise Forbidden("You cannot disable your own account.")

    if _set_disabled(store, operator, account, words, disabled=True, now=now):
        log.info("account disabled", extra={"email": mask_email(email), "actor": mask_email(operator)})


@verb
def enable(store: Store, operator: str, email: AccountKey, reason: object, *, now: datetime) -> None:
    """Open a disabled account again. Raises NotFound, InvalidInput."""
    words = check_reason(reason)
    _set_disabled(store, operator, store.accounts.get(email), words, disabled=False, now=now)


def _set_disabled(store: Store, operator: str, account: Account, words: str, *, disabled: bool, now: datetime) -> bool:
    """Whether anything had to be changed; disabling ends every session."""
    ended: Settings = {"disabled_at": now, "sessions": {}, "api_keys": None, "webhooks": None}
    settings: Settings = ended if disabled else {"disabled_at": None}

    def attempt(current: Account) -> bool:
        if current.disabled == disabled:
            return False
        act = Act(
            operator,
            "account.disable" if disabled else "account.enable",
            current.email,
            now,
            reason=words,
            before={"disabled": not disabled},
            after={"disabled": disabled},
        )
        with acting(store, act) as tx:
            tx.accounts.change_settings(current, still="disabled_at", **settings)
        return True

    return store.accounts.decide(account, attempt)


@verb
def end_sessions(store: Store, operator: str, email: AccountKey, *, now: datetime) -> None:
    """Sign an account out everywhere, browsers and programs, and end its API keys, of which its owner is told by mail.

    Raises NotFound.
    """

    def attempt(current: Account) -> None:
        keys = {"api_keys": len(current.api_keys)} if current.api_keys else {}
        act = Act(
            operator,
            "account.end_sessions",
            current.email,
            now,
            before={"sessions": len(current.sessions), **keys},
            after={"sessions": 0, **dict.fromkeys(keys, 0)},
        )

        def end(tx: Transaction) -> None:
            tx.accounts.change_settings(current, still="api_keys", sessions={}, api_keys=None, webhooks=None)

        if keys or current.webhooks:
            ended = f"{count(len(current.api_keys), 'API key')} and {count(len(current.webhooks), 'webhook endpoint')}"
            what = f"An operator ended every session, {ended}."
            changed(store, current, what, now, end, act)
        else:
            with acting(store, act) as tx:
                end(tx)

    store.accounts.decide(store.accounts.get(email), attempt)


def check_amount(amount: object) -> int:
    if isinstance(amount, bool) or not isinstance(amount, int) or amount == 0 or abs(amount) > MAX_ADJUSTMENT:
        raise InvalidInput(f"Give a whole number of credits, up to {MAX_ADJUSTMENT:,}, and not 0.", field="amount")
    return amount


def _propose_once(store: Store, wanted: Proposal) -> Adjusted:
    try:
        return Adjusted(by_hand.propose(store, wanted, unless=lambda tx: tx.ledger.not_recorded(_entry_id(wanted))))
    except AlreadyRecorded:
        return _answered(store, wanted)


def _not_proposed(tx: Transaction, wanted: Proposal) -> None:
    tx.proposals.not_proposed(wanted.adjustment_id)


def _book_approved(store: Store, waiting: Proposal, now: datetime, authority: Callable[[], Authority]) -> PostedEntry:
    account = store.accounts.get(waiting.user_email)
    return _book(store, waiting, account, now, authority, "credits.approve")


APPROVED_BY_KIND: dict[str, Callable[..., PostedEntry | PromotionalCode | Outcome | None]] = {
    ADJUSTMENT: _book_approved,
    PAYMENT: parked.credit_approved,
    CODE: codes.create_approved,
    SALE: sales.name_approved,
}


def _book(
    store: Store,
    wanted: Proposal,
    account: Account,
    now: datetime,
    authority: Callable[[], Authority],
    action: str,
    and_also: Callable[[Transaction], None] = lambda tx: None,
) -> PostedEntry:
    """Book an adjustment by an authority that is read anew for each try, and `and_also` what goes with it.

    Raises InvalidInput, AlreadyRecorded, and what `authority` raises.
    """
    entry = LedgerEntry(
        transaction_id=_entry_id(wanted),
        user_email=wanted.user_email,
        type=credits.ADJUSTMENT,
        amount=wanted.amount,
        description=f"Adjustment: {wanted.reason}",
    )

    def attempt(current: Account) -> PostedEntry:
        stands = authority()
        preview(current, wanted.amount)
        try:
            posted, after = credits.post(current, entry, now)
        except InsufficientCredits as error:
            raise InvalidInput("An adjustment never takes a balance below zero.", field="amount") from error
        act = Act(
            stands.actor,
            action,
            current.email,
            now,
            reason=wanted.reason,
            before={"balance": current.credits_balance},
            after={"balance": after.credits_balance, "correction": wanted.adjustment_id, **stands.about},
        )
        with acting(store, act) as tx:
            tx.ledger.append_once(posted)
            tx.accounts.move_balance(current, after)
            webhook_events.credited(tx, current, posted, now)
            stands.hold(tx)
            and_also(tx)
        return posted

    posted = store.accounts.decide(account, attempt)
    log.info("balance adjusted", extra={"email": mask_email(account.email), "credits": wanted.amount})
    return posted


def _first(store: Store, repeat: Proposal) -> PostedEntry | Proposal | None:
    """What the first request with this key did, if there was one. Raises IdempotencyKeyReused if it was another."""
    first: PostedEntry | Proposal | None = store.ledger.find(_entry_id(repeat))
    first = first or store.proposals.find(repeat.adjustment_id)
    if first and (first.user_email, first.amount) != (repeat.user_email, repeat.amount):
        raise IdempotencyKeyReused("This request was sent before with other contents. Nothing was changed.")
    return first


def _answered(store: Store, repeat: Proposal) -> Adjusted:
    """The same, where the store has just said that there was one. Raises IdempotencyKeyReused."""
    first = _first(store, repeat)
    if first is None:
        raise IdempotencyKeyReused
    return Adjusted(first, replayed=True)


def _entry_id(wanted: Proposal) -> str:
    return f"adjust#{wanted.adjustment_id}"
