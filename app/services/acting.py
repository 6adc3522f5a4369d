"""Acting on somebody else's account, or on money, by hand: the act and its row in the audit log are one transaction.

The only place that writes a row of the audit log. Whoever opens a transaction without it acts for the account's owner,
for Stripe, or on nothing of anybody's: tests/test_architecture.py names each of those, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.data import Store
from app.data.store import Transaction


@dataclass(frozen=True, slots=True)
class Act:
    """Who does what to whom or what, and why; `before` and `after` hold the values that change."""

    actor: str
    action: str
    subject: str
    now: datetime
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def acting(store: Store, act: Act) -> Iterator[Transaction]:
    """What the block writes is committed beside the row that says so, or not at all."""
    with store.transaction() as tx:
        yield tx
        tx.audit.record(
            actor=act.actor,
            action=act.action,
            subject=act.subject,
            now=act.now,
            reason=act.reason,
            before=act.before,
            after=act.after,
        )


def transaction(store: Store, act: Act | None) -> AbstractContextManager[Transaction]:
    """The same for what an owner, or Stripe, does as well: without an act it is a plain transaction."""
    return acting(store, act) if act else store.transaction()
