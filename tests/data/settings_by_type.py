"""What the type checker refuses, and says when it no longer does: an ignore that is not needed is an error to it.

Checked by scripts/lint and never run; tests/data/test_records.py holds that the store refuses the same at run time.
"""

from __future__ import annotations

from datetime import datetime

from app.data.store import Store, Transaction
from app.domain.accounts import Account, Session


def what_is_no_field(store: Store, tx: Transaction, account: Account, session: Session, now: datetime) -> None:
    store.updates.accounts.change(account, theem="dark")  # type: ignore[call-arg]
    store.updates.accounts.add_session(account, session, now, theem="dark")  # type: ignore[call-arg]
    tx.accounts.change_settings(account, theem="dark")  # type: ignore[call-arg]
    tx.accounts.move_balance(account, account, theem="dark")  # type: ignore[call-arg]


def what_a_field_does_not_hold(store: Store, tx: Transaction, account: Account) -> None:
    store.updates.accounts.change(account, theme=1)  # type: ignore[arg-type]
    tx.accounts.change_settings(account, disabled_at="2026-11-22")  # type: ignore[arg-type]


def what_the_ledger_explains(store: Store, tx: Transaction, account: Account) -> None:
    store.updates.accounts.change(account, credits_balance=5)  # type: ignore[call-arg]
    tx.accounts.change_settings(account, ledger_sequence=5)  # type: ignore[call-arg]


def what_is_right(store: Store, tx: Transaction, account: Account, now: datetime) -> None:
    store.updates.accounts.change(account, theme="dark", draft=None)
    tx.accounts.move_balance(account, account, low_mailed_at=now)
