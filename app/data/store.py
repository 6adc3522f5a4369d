"""The one door to the store: reads by name, and the transaction that every write of money goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from app.domain.clock_reading import ClockReading

from .account_search import AccountSearch
from .accounts import AccountReads, AccountWrites
from .adjustments import AdjustmentReads, AdjustmentWrites
from .audit import AuditReads, AuditWrites
from .by_hand import ByHandReads, ByHandWrites
from .clock import read_clock
from .drafts import DraftReads, DraftWrites
from .erasure import Erasure
from .ledger import LedgerReads, LedgerWrites
from .once import OnceReads, OnceWrites
from .outbox import OutboxReads, OutboxWrites
from .payments import PaymentReads, PaymentWrites
from .queue import QueueReads
from .redeem_codes import RedeemCodeReads, RedeemCodeWrites
from .sales import SaleReads, SaleWrites
from .second_factors import SecondFactorReads, SecondFactorWrites
from .statistics import Statistics
from .table_setup import Difference, differences
from .tables import USERS
from .tasks import TaskReads, TaskWrites


class Transaction(
    AccountWrites,
    LedgerWrites,
    TaskWrites,
    PaymentWrites,
    OnceWrites,
    OutboxWrites,
    RedeemCodeWrites,
    AuditWrites,
    AdjustmentWrites,
    ByHandWrites,
    SaleWrites,
    SecondFactorWrites,
    DraftWrites,
):
    """Writes by name; at most 100 writes, one for each item. It cannot read its own writes: read before the block."""


class Store(
    AccountReads,
    LedgerReads,
    TaskReads,
    QueueReads,
    PaymentReads,
    OnceReads,
    OutboxReads,
    RedeemCodeReads,
    AuditReads,
    AdjustmentReads,
    ByHandReads,
    SaleReads,
    SecondFactorReads,
    DraftReads,
    Erasure,
    AccountSearch,
    Statistics,
):
    """`get_` raises NotFound, `find_` may return None, `list_` returns one page and a cursor."""

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect writes; send them as one on clean exit. An exception inside the block sends nothing."""
        writes = Transaction(self.client, self.prefix)
        yield writes
        writes.commit()

    def table_differences(self, *, ttl: bool = False) -> list[Difference]:
        """Where the tables are not as the code describes them; empty when all is well. Raises StoreUnavailable."""
        return differences(self.client, self.prefix, ttl=ttl)

    def read_clock(self, now: Callable[[], datetime]) -> ClockReading | None:
        """This machine's clock beside the store's; None when that cannot be told. Raises StoreUnavailable."""
        return read_clock(self.client, self.prefix + USERS.suffix, now)
