"""The one door to the store: a repository for each kind of thing, and the transaction that money is written through.

Three places, by what a call does: `store.<repository>` reads and never writes; `tx.<repository>`, within
`store.transaction()`, collects writes that all stand or none; `store.updates.<repository>` is one write of one row, at
once, for what needs no transaction (a session, a mail's lease, a running figure).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

from app.domain.clock_reading import ClockReading

from .account_updates import AccountUpdates
from .account_writes import AccountWrites
from .accounts import AccountReads
from .api_keys import ApiKeyReads, ApiKeyUpdates, ApiKeyWrites
from .audit import AuditReads, AuditWrites
from .base import Adopter, Base
from .by_hand import ByHandReads, ByHandWrites
from .by_id import ByIdReads
from .checks import CheckReads, CheckUpdates, CheckWrites
from .clock import read_clock
from .doctor import DoctorReads, DoctorUpdates
from .drafts import DraftReads, DraftWrites
from .erasure import ErasureUpdates
from .figures import FigureReads, FigureUpdates
from .heartbeats import HeartbeatReads, HeartbeatUpdates
from .labels import LabelReads, LabelUpdates, LabelWrites
from .ledger import LedgerReads, LedgerWrites
from .ledger_figures import LedgerFigureReads, LedgerFigureUpdates
from .migrations import Migration, Migrations
from .once import OnceReads, OnceWrites
from .outbox import MailReads, MailUpdates, MailWrites
from .payments import PaymentReads, PaymentWrites
from .promotional_codes import CodeReads, CodeWrites
from .proposals import ProposalReads, ProposalWrites
from .queue import QueueReads
from .sales import SaleReads, SaleWrites
from .search_keys import SearchKeyReads, SearchKeyWrites
from .second_factors import SecondFactorUpdates, SecondFactorWrites
from .sending_quota import QuotaReads, QuotaUpdates
from .table_health import deletable_tables, expiry_differences, table_regions, unrecoverable_tables
from .table_setup import Difference, differences
from .tables import USERS
from .tasks import TaskReads, TaskWrites
from .timeline import TimelineReads
from .transaction import Writes
from .typed_drafts import TypedDraftReads, TypedDraftUpdates
from .webhooks import WebhookReads, WebhookUpdates, WebhookWrites
from .whole import WholeReads

WORTH_A_THREAD_SECONDS = 0.002


class Transaction(Writes):
    """Writes by name; at most 100 writes, one for each item. It cannot read its own writes: read before the block."""

    @cached_property
    def accounts(self) -> AccountWrites:
        return AccountWrites.beside(self)

    @cached_property
    def ledger(self) -> LedgerWrites:
        return LedgerWrites.beside(self)

    @cached_property
    def tasks(self) -> TaskWrites:
        return TaskWrites.beside(self)

    @cached_property
    def labels(self) -> LabelWrites:
        return LabelWrites.beside(self)

    @cached_property
    def payments(self) -> PaymentWrites:
        return PaymentWrites.beside(self)

    @cached_property
    def once(self) -> OnceWrites:
        return OnceWrites.beside(self)

    @cached_property
    def mails(self) -> MailWrites:
        return MailWrites.beside(self)

    @cached_property
    def codes(self) -> CodeWrites:
        return CodeWrites.beside(self)

    @cached_property
    def audit(self) -> AuditWrites:
        return AuditWrites.beside(self)

    @cached_property
    def proposals(self) -> ProposalWrites:
        return ProposalWrites.beside(self)

    @cached_property
    def by_hand(self) -> ByHandWrites:
        return ByHandWrites.beside(self)

    @cached_property
    def sales(self) -> SaleWrites:
        return SaleWrites.beside(self)

    @cached_property
    def second_factors(self) -> SecondFactorWrites:
        return SecondFactorWrites.beside(self)

    @cached_property
    def checks(self) -> CheckWrites:
        return CheckWrites.beside(self)

    @cached_property
    def drafts(self) -> DraftWrites:
        return DraftWrites.beside(self)

    @cached_property
    def api_keys(self) -> ApiKeyWrites:
        return ApiKeyWrites.beside(self)

    @cached_property
    def search_keys(self) -> SearchKeyWrites:
        return SearchKeyWrites.beside(self)

    @cached_property
    def webhooks(self) -> WebhookWrites:
        return WebhookWrites.beside(self)


class Updates:
    """Single writes: each is one row, at once, on a condition of its own where it needs one."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.accounts = AccountUpdates(client, prefix)
        self.second_factors = SecondFactorUpdates(client, prefix)
        self.mails = MailUpdates(client, prefix)
        self.sending_quota = QuotaUpdates(client, prefix)
        self.heartbeats = HeartbeatUpdates(client, prefix)
        self.checks = CheckUpdates(client, prefix)
        self.figures = FigureUpdates(client, prefix)
        self.ledger_figures = LedgerFigureUpdates(client, prefix)
        self.erasure = ErasureUpdates(client, prefix)
        self.labels = LabelUpdates(client, prefix)
        self.doctor = DoctorUpdates(client, prefix)
        self.typed_drafts = TypedDraftUpdates(client, prefix)
        self.api_keys = ApiKeyUpdates(client, prefix)
        self.webhooks = WebhookUpdates(client, prefix)


class Store(Base):
    """`get` raises NotFound, `find` may return None, `page` and `list_` return one page and a cursor, `every` scans.

    The `adopter` makes rows of an earlier product whole as they are read: the one write that a read may cause.
    """

    def __init__(self, client: Any, prefix: str, adopter: Adopter | None = None) -> None:
        super().__init__(client, prefix, adopter)
        self.accounts = AccountReads(client, prefix, adopter)
        self.ledger = LedgerReads(client, prefix, adopter)
        self.tasks = TaskReads(client, prefix, adopter)
        self.labels = LabelReads(client, prefix, adopter)
        self.queue = QueueReads(client, prefix, adopter)
        self.payments = PaymentReads(client, prefix, adopter)
        self.once = OnceReads(client, prefix, adopter)
        self.mails = MailReads(client, prefix, adopter)
        self.sending_quota = QuotaReads(client, prefix, adopter)
        self.codes = CodeReads(client, prefix, adopter)
        self.audit = AuditReads(client, prefix, adopter)
        self.proposals = ProposalReads(client, prefix, adopter)
        self.by_hand = ByHandReads(client, prefix, adopter)
        self.sales = SaleReads(client, prefix, adopter)
        self.drafts = DraftReads(client, prefix, adopter)
        self.by_id = ByIdReads(client, prefix, adopter)
        self.search_keys = SearchKeyReads(client, prefix, adopter)
        self.timeline = TimelineReads(client, prefix, adopter)
        self.typed_drafts = TypedDraftReads(client, prefix, adopter)
        self.api_keys = ApiKeyReads(client, prefix, adopter)
        self.heartbeats = HeartbeatReads(client, prefix, adopter)
        self.checks = CheckReads(client, prefix, adopter)
        self.doctor = DoctorReads(client, prefix, adopter)
        self.figures = FigureReads(client, prefix, adopter)
        self.ledger_figures = LedgerFigureReads(client, prefix, adopter)
        self.webhooks = WebhookReads(client, prefix, adopter)
        self.whole = WholeReads(client, prefix, adopter)
        self.updates = Updates(client, prefix)

    @property
    def answers_at_once(self) -> bool:
        """Whether a second thread would cost more than the wait that it saves: an answer of late comes that soon."""
        wait = getattr(self.client, "usual_wait", None)
        return wait is not None and wait < WORTH_A_THREAD_SECONDS

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect writes; send them as one on clean exit. An exception inside the block sends nothing."""
        writes = Transaction(self.client, self.prefix)
        yield writes
        writes.commit()

    def table_differences(self, *, ttl: bool = False) -> list[Difference]:
        """Where the tables are not as the code describes them; empty when all is well. Raises StoreUnavailable."""
        return differences(self.client, self.prefix, ttl=ttl)

    def expiry_differences(self) -> list[Difference]:
        """Tables whose rows do not expire as the code says. Raises StoreUnavailable."""
        return expiry_differences(self.client, self.prefix)

    def unrecoverable_tables(self) -> list[str]:
        """Tables that cannot be put back to an earlier moment. Raises StoreUnavailable."""
        return unrecoverable_tables(self.client, self.prefix)

    def deletable_tables(self) -> list[str]:
        """Tables that one call can delete. Raises StoreUnavailable."""
        return deletable_tables(self.client, self.prefix)

    def table_regions(self) -> set[str]:
        """Where the tables are, as they say; empty when there is none. Raises StoreUnavailable."""
        return table_regions(self.client, self.prefix)

    def pending_migrations(self) -> list[Migration]:
        """What `flask tables migrate` would do. Raises StoreUnavailable."""
        return Migrations(self.client, self.prefix).pending()

    def has_migrated(self, migration: Migration) -> bool:
        """Whether one of them has ended; one read. Raises StoreUnavailable."""
        return Migrations(self.client, self.prefix).has_ended(migration)

    def read_clock(self, now: Callable[[], datetime]) -> ClockReading | None:
        """This machine's clock beside the store's; None when that cannot be told. Raises StoreUnavailable."""
        return read_clock(self.client, self.prefix + USERS.suffix, now)
