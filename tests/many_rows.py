"""Accounts with a long ledger and a long audit log, written a hundred rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice

from app.data import Store
from app.domain.accounts import Account, AccountKey, new_account_id
from app.domain.clock import utcnow
from app.domain.credits import ADJUSTMENT, LedgerEntry, PostedEntry, post
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD

ADA = "ada@example.com"


def with_ledger(store: Store, rows: int, *, email: str = ADA) -> Account:
    """A customer whose ledger has so many rows, each of one credit more than the one before."""
    account = Account(
        email=AccountKey(email),
        account_id=new_account_id(),
        created_at=NOW,
        confirmed_at=NOW,
        password_hash=Passwords(4).hash(PASSWORD),
    )
    after = [account]

    def entries() -> Iterator[PostedEntry]:
        for number in range(1, rows + 1):
            entry = LedgerEntry(f"adj#{email}#{number}", AccountKey(email), ADJUSTMENT, number, f"Exposé {number}")
            posted, after[0] = post(after[0], entry, utcnow())
            yield posted

    every = entries()
    while some := list(islice(every, 90)):
        with store.transaction() as tx:
            for posted in some:
                tx.ledger.append_once(posted)
    with store.transaction() as tx:
        tx.accounts.create(replace(after[0], folded_sequence=0))  # finance's figures have none of these rows
    return after[0]


def with_audit(store: Store, rows: int) -> None:
    now = utcnow()
    for begin in range(0, rows, 90):
        with store.transaction() as tx:
            for number in range(begin, min(begin + 90, rows)):
                at = now - timedelta(milliseconds=number)
                tx.audit.record(actor="op@example.com", action="task.claim", subject=f"task_{number}", now=at)
