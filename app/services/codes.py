"""Promotional codes: made by an operator, redeemed once by an account."""

from __future__ import annotations

import logging
from datetime import datetime

from app.data import Store
from app.data.transaction import optimistic
from app.domain import credits
from app.domain.accounts import Account, mask_email
from app.domain.codes import MAX_CODE_CREDITS, RedeemCode, check_redeemable, normalise_code, promo_entry
from app.domain.errors import AlreadyRecorded, InvalidInput
from app.domain.tasks import check_reason

log = logging.getLogger(__name__)


def create(
    store: Store,
    code: object,
    *,
    credits_each: int,
    max_uses: int,
    expires_at: datetime,
    created_by: str,
    now: datetime,
    note: str = "",
) -> RedeemCode:
    """Make a code. Raises InvalidInput, also when there is one of this name."""
    name = normalise_code(code)
    if not 1 <= credits_each <= MAX_CODE_CREDITS:
        raise InvalidInput(f"A code gives 1 to {MAX_CODE_CREDITS:,} credits.", field="credits")
    if not 1 <= max_uses <= 1_000_000:
        raise InvalidInput("A code can be used 1 to 1,000,000 times.", field="max_uses")
    if expires_at <= now:
        raise InvalidInput("The expiry must lie in the future.", field="expires_at")
    made = RedeemCode(name, credits_each, max_uses, expires_at, now, created_by, note=note)
    try:
        with store.transaction() as tx:
            tx.create_code(made)
            tx.record_audit(actor=created_by, action="code.create", subject=name, reason=note, now=now)
    except AlreadyRecorded as error:
        raise InvalidInput("There is a code of this name already.", field="code") from error
    return made


def disable(store: Store, code: object, *, actor: str, reason: str, now: datetime) -> None:
    """Switch a code off; what was redeemed stays. Safe to repeat. Raises NotFound, InvalidInput."""
    name, words = normalise_code(code), check_reason(reason)

    def attempt(_: None) -> None:
        with store.transaction() as tx:
            tx.disable_code(name)
            tx.record_audit(actor=actor, action="code.disable", subject=name, reason=words, now=now)

    optimistic(name, attempt, None, lambda _stale: None)  # somebody redeems it at this moment


def redeem(store: Store, account: Account, code: object, *, now: datetime) -> int:
    """Add a code's credits to an account; returns them. Once per account, and never beyond the code's cap.

    Raises InvalidInput with the reason. A race for the last use is decided by the store.
    """
    name = normalise_code(code)

    def attempt(current: Account) -> int:
        found = check_redeemable(store.find_code(name), now)
        posted, after = credits.post(current, promo_entry(found, current), now)
        with store.transaction() as tx:
            tx.record_once(posted)
            tx.use_code(found)
            tx.move_balance(current, after)
        return found.credits

    try:
        added = store.change_account(account, attempt)
    except AlreadyRecorded as error:
        raise InvalidInput("You have redeemed this code already.", field="code") from error
    log.info("code redeemed", extra={"code": name, "credits": added, "email": mask_email(account.email)})
    return added
