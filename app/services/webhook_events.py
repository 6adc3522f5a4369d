"""Events for webhooks, each promised in the transaction that makes its fact. No endpoint, no write."""

from __future__ import annotations

from datetime import datetime

from app.data.store import Transaction
from app.domain import webhooks
from app.domain.accounts import Account, LowBalance
from app.domain.credits import PostedEntry
from app.domain.webhooks import Event


def promise(tx: Transaction, account: Account, event: Event) -> None:
    """One write for each endpoint that wants it: ten at most. `account` as the transaction has read it."""
    for endpoint_id, types in account.webhooks.items():
        if event.type in types.split():
            tx.webhooks.promise(event, endpoint_id)


def fell_low(tx: Transaction, after: Account, noted: LowBalance, now: datetime) -> None:
    """Once each time that the balance falls below the threshold: the mail has a pause, a program needs none."""
    if after.webhooks and "low_since" in noted:
        promise(tx, after, webhooks.low_credits(after, now))


def credited(tx: Transaction, account: Account, entry: PostedEntry, now: datetime) -> None:
    """Of a ledger row that is appended in the same transaction."""
    if account.webhooks and (event := webhooks.added_credits(entry, now)):
        promise(tx, account, event)


def key_revoked(tx: Transaction, account: Account, key_id: str, name: str, now: datetime) -> None:
    """Of an API key, in the transaction that revokes it."""
    if account.webhooks:
        promise(tx, account, webhooks.revoked_key(key_id, name, now))
