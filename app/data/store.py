"""The one door to the store: reads by name, and the transaction that every write of money goes through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .accounts import AccountReads, AccountWrites
from .ledger import LedgerReads, LedgerWrites
from .outbox import OutboxReads, OutboxWrites
from .payments import PaymentReads, PaymentWrites
from .tables import missing_tables
from .tasks import TaskReads, TaskWrites


class Transaction(AccountWrites, LedgerWrites, TaskWrites, PaymentWrites, OutboxWrites):
    """Writes by name; at most 100 writes, one for each item. It cannot read its own writes: read before the block."""


class Store(AccountReads, LedgerReads, TaskReads, PaymentReads, OutboxReads):
    """`get_` raises NotFound, `find_` may return None, `list_` returns one page and a cursor."""

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect writes; send them as one on clean exit. An exception inside the block sends nothing."""
        writes = Transaction(self.client, self.prefix)
        yield writes
        writes.commit()

    def problems(self) -> list[str]:
        """What is wrong with the tables, in words; empty when all is well."""
        return missing_tables(self.client, self.prefix)
