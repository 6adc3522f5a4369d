"""Promotional codes: made by an operator, redeemed once by an account."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from app.data import Store
from app.data.transaction import optimistic
from app.domain import credits
from app.domain.accounts import Account, mask_email
from app.domain.clock import from_iso, to_iso
from app.domain.codes import (
    MAX_CODE_CREDITS,
    PromotionalCode,
    check_confirmed,
    check_redeemable,
    check_redeemer,
    earlier_entry_id,
    ids_by_other_addresses,
    normalise_code,
    promo_entry,
)
from app.domain.errors import AlreadyRecorded, IdempotencyKeyReused, InvalidInput
from app.domain.proposals import CODE, Proposal
from app.domain.tasks import check_reason, new_idempotency_key
from app.telemetry.spans import verb

from . import by_hand, webhook_events
from .acting import Act, acting
from .by_hand import Authority, NeedsSecond

log = logging.getLogger(__name__)

REDEEM = "redeem"  # what it is kept under


@verb
def create(
    store: Store,
    code: object,
    *,
    credits_each: int,
    max_uses: int,
    expires_at: datetime,
    created_by: str,
    limit: int,
    now: datetime,
    note: str = "",
    idempotency_key: str = "",
    on_command_line: bool = False,
) -> PromotionalCode | Proposal:
    """Make a code; all that it can give counts as made by hand now, and above `limit` it waits for a second operator.

    Raises InvalidInput, also when there is one of this name, and Forbidden (no operator any more).
    """
    name = normalise_code(code)
    if not 1 <= credits_each <= MAX_CODE_CREDITS:
        raise InvalidInput(f"A code gives 1 to {MAX_CODE_CREDITS:,} credits.", field="credits")
    if not 1 <= max_uses <= 1_000_000:
        raise InvalidInput("A code can be used 1 to 1,000,000 times.", field="max_uses")
    if expires_at <= now:
        raise InvalidInput("The expiry must lie in the future.", field="expires_at")
    made = PromotionalCode(name, credits_each, max_uses, expires_at, now, created_by, note=note)

    def authority() -> Authority:
        return by_hand.alone(store, created_by, made.worth, limit=limit, now=now, on_command_line=on_command_line)

    try:
        return _make(store, made, authority, now)
    except NeedsSecond:
        if store.codes.find(name):
            raise InvalidInput("There is a code of this name already.", field="code") from None
    terms = {
        "code": name,
        "credits": credits_each,
        "max_uses": max_uses,
        "expires_at": to_iso(expires_at),
        "note": note,
    }
    wanted = by_hand.proposal(
        CODE,
        operator=created_by,
        idempotency_key=idempotency_key or new_idempotency_key(),
        amount=made.worth,
        reason=note or f"The code {name}",
        terms=terms,
        now=now,
    )
    return by_hand.propose_once(store, wanted)


@verb
def create_approved(
    store: Store, waiting: Proposal, now: datetime, authority: Callable[[], Authority]
) -> PromotionalCode:
    """Make the code that was proposed. Raises InvalidInput and what `authority` raises."""
    terms = waiting.terms
    expires_at = from_iso(terms["expires_at"])
    if expires_at <= now:
        raise InvalidInput("This code would have expired by now. Decline it.", field="expires_at")
    made = PromotionalCode(
        terms["code"],
        terms["credits"],
        terms["max_uses"],
        expires_at,
        now,
        waiting.proposed_by,
        note=terms["note"],
        approved_by=authority().actor,
    )
    return _make(store, made, authority, now)


def _make(store: Store, made: PromotionalCode, authority: Callable[[], Authority], now: datetime) -> PromotionalCode:
    def attempt(_: None) -> PromotionalCode:
        stands = authority()
        act = Act(stands.actor, "code.create", made.code, now, reason=made.note, after=stands.about)
        with acting(store, act) as tx:
            tx.codes.create(made)
            stands.hold(tx)
        return made

    try:
        return optimistic(made.code, attempt, None, lambda _stale: None)
    except AlreadyRecorded as error:
        raise InvalidInput("There is a code of this name already.", field="code") from error


@verb
def disable(store: Store, code: object, *, actor: str, reason: str, now: datetime) -> None:
    """Switch a code off; what was redeemed stays. Safe to repeat. Raises NotFound, InvalidInput."""
    name, words = normalise_code(code), check_reason(reason)

    def attempt(_: None) -> None:
        with acting(store, Act(actor=actor, action="code.disable", subject=name, reason=words, now=now)) as tx:
            tx.codes.disable(name)

    optimistic(name, attempt, None, lambda _stale: None)  # somebody redeems it at this moment


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a code has added, and the balance after it, as the first answer said it."""

    credits: int
    balance: int
    replayed: bool = False


@verb
def redeem(
    store: Store, account: Account, code: object, *, now: datetime, idempotency_key: str | None = None
) -> Redeemed:
    """Add a code's credits to an account. Once a person, and never beyond the code's cap.

    A person is told by the address, without `+tag` and dots: see domain/people.py. Raises InvalidInput with the reason,
    and AddressUnconfirmed. A race for the last use, or of one person's accounts, is decided by the store. A repeat with
    the same idempotency key within 30 days is told what the first one did; with another code it raises
    IdempotencyKeyReused.
    """
    name = normalise_code(code)
    if idempotency_key and (first := _redeemed_before(store, account, name, idempotency_key)):
        return first

    def attempt(current: Account) -> Redeemed:
        check_confirmed(current)
        found = check_redeemable(store.codes.find(name), now)
        makers = [name for name in (found.created_by, found.approved_by) if name]
        check_redeemer((known for name in makers for known in by_hand.known_as(store, name)), current)
        posted, after = credits.post(current, promo_entry(found, current), now)
        with store.transaction() as tx:
            tx.ledger.append_once(posted)
            for earlier in {earlier_entry_id(found, current), *ids_by_other_addresses(found, current)}:
                tx.ledger.not_recorded(earlier)
            tx.codes.use(found)
            tx.accounts.move_balance(current, after, if_confirmed=True)
            webhook_events.credited(tx, current, posted, now)
            if idempotency_key:
                done = [name, found.credits, after.credits_balance]
                tx.once.keep_first(current.account_id, REDEEM, idempotency_key, done, now)
                # As the release before looks for it, beside which this one may run.
                tx.once.keep(current.account_id, f"{REDEEM} {name}", idempotency_key, found.credits, now)
        return Redeemed(found.credits, after.credits_balance)

    try:
        added = store.accounts.decide(account, attempt)
    except AlreadyRecorded as error:
        # Sent twice at once?
        if idempotency_key and (first := _redeemed_before(store, account, name, idempotency_key)):
            return first
        raise InvalidInput("You have redeemed this code already.", field="code") from error
    log.info("code redeemed", extra={"code": name, "credits": added.credits, "email": mask_email(account.email)})
    return added


def _redeemed_before(store: Store, account: Account, name: str, idempotency_key: str) -> Redeemed | None:
    """What was done under this key, if anything. Raises IdempotencyKeyReused where that was another code."""
    if first := store.once.find(account.account_id, REDEEM, idempotency_key):
        code, added, balance = first
        if code != name:
            raise IdempotencyKeyReused("This idempotency key was used before for another code. Nothing was redeemed.")
        return Redeemed(int(added), int(balance), replayed=True)
    # The release before kept each code apart, and no balance.
    if added := store.once.find(account.account_id, f"{REDEEM} {name}", idempotency_key):
        return Redeemed(int(added), store.accounts.get(account.email).credits_balance, replayed=True)
    return None
