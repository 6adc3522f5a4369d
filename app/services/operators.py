"""Who is an operator: granted and revoked at the command line, never by a request."""

from __future__ import annotations

import logging
from datetime import datetime

from app.data import Store
from app.domain.accounts import Account, Address, mask_email
from app.domain.errors import WrongState
from app.telemetry.spans import verb

from . import api_keys
from .account_notices import notice
from .acting import Act, acting

log = logging.getLogger(__name__)

OPERATOR, CUSTOMER = "admin", "customer"


@verb
def grant(store: Store, address: Address, *, actor: str, reason: str = "", now: datetime) -> Account:
    """Make an account an operator. Its sessions and tokens end with it: who opened them was let in as a customer.

    Anybody can sign up with anybody's address, so it must be confirmed. Safe to repeat. Raises NotFound, and
    WrongState for an account that is not confirmed, is disabled, was deleted or has left this address.
    """
    found = store.accounts.get_holder(address)
    if found.address != address and not found.moved_away:
        raise WrongState(f"{address} was left by the account that is at {found.address} now. Nothing was changed.")

    def attempt(current: Account) -> None:
        if current.is_operator and current.confirmed:
            return
        if current.deleted_at is not None or current.disabled:
            raise WrongState(
                f"{current.address} is {'disabled' if current.disabled else 'deleted'}: nothing was changed."
            )
        if not current.confirmed:
            raise WrongState(
                f"{current.address} has not confirmed its address, so anybody may have signed up with it. "
                "Let its owner open the mailed link first. Nothing was changed."
            )
        told = notice(store, current, "Your account was made an operator's. Sign in anew.", now)
        with acting(store, _act(current, OPERATOR, actor, reason, now)) as tx:
            left = api_keys.but_the_queue_s(store, current)
            still = ("role", "api_keys")
            tx.accounts.change_settings(current, confirmed=True, still=still, role=OPERATOR, sessions={}, api_keys=left)
            told(tx)
        log.warning("operator made", extra={"email": mask_email(current.email), "actor": mask_email(actor)})

    store.accounts.decide(found, attempt)
    return store.accounts.get(found.email)


@verb
def revoke(store: Store, address: Address, *, actor: str, reason: str = "", now: datetime) -> Account:
    """Take an operator's role away; it works at the next request, and nothing of theirs can be approved any more.

    Found by any address that the account has or had. Safe to repeat. Raises NotFound.
    """
    found = store.accounts.get_holder(address)

    def attempt(current: Account) -> None:
        if not current.is_operator:
            return
        with acting(store, _act(current, CUSTOMER, actor, reason, now)) as tx:
            left = api_keys.but_the_queue_s(store, current)
            tx.accounts.change_settings(current, still=("role", "api_keys"), role=CUSTOMER, api_keys=left)
        log.warning("operator ended", extra={"email": mask_email(current.email), "actor": mask_email(actor)})

    store.accounts.decide(found, attempt)
    return store.accounts.get(found.email)


def _act(current: Account, role: str, actor: str, reason: str, now: datetime) -> Act:
    action = "admin.grant" if role == OPERATOR else "admin.revoke"
    return Act(actor, action, current.email, now, reason, before={"role": current.role}, after={"role": role})
