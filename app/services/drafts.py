"""Keeping what a person sent after their session had ended, until they send it again or throw it away."""

from __future__ import annotations

from datetime import datetime

from app.data import Store
from app.data.client import Stale
from app.data.transaction import optimistic
from app.domain.accounts import Account
from app.domain.drafts import MAX_KEPT_BYTES, Draft, Drafts, Fields, packed
from app.domain.errors import NotFound
from app.telemetry.spans import verb


@verb
def keep(store: Store, account: Account, place: str, fields: Fields, *, now: datetime) -> bool:
    """Whether it is kept: False when it is too much, or the account is gone. A newer one of a place replaces the older.

    Raises StoreUnavailable.
    """
    draft = Draft(place, fields, now)
    if account.deleted_at or not account.account_id:
        return False
    others = store.drafts.get(account.account_id, now)
    if others.size_bytes + len(packed(draft).fields) > MAX_KEPT_BYTES:
        return False
    try:
        with store.transaction() as tx:
            tx.drafts.keep(account, draft)
    except NotFound:
        return False
    return True


def waiting(store: Store, account: Account, *, now: datetime) -> list[Draft]:
    """Newest first. One read, and none while the account says that nothing waits."""
    return store.drafts.get(account.account_id, now).newest_first() if account.unsent else []


@verb
def drop(store: Store, account: Account, key: str, *, now: datetime) -> None:
    """Safe to repeat."""

    def attempt(before: Drafts) -> None:
        with store.transaction() as tx:
            tx.drafts.drop(account, before, key)

    def reread(_stale: Stale) -> Drafts:
        return store.drafts.get(account.account_id, now)

    optimistic(account.email, attempt, store.drafts.get(account.account_id, now), reread)


@verb
def drop_sent(store: Store, account: Account, place: str, sent: Fields, *, now: datetime) -> None:
    """Once a form went through, what was kept of it is done with."""
    for draft in waiting(store, account, now=now):
        if draft.place == place and (draft.answers(sent) or dict(sent).get("unsent") == draft.key):
            drop(store, account, draft.key, now=now)
