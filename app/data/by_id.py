"""What an id names, whichever table it stands in: for operators, who paste one and do not say of what."""

from __future__ import annotations

from app.domain.credits import PostedEntry
from app.domain.payments import PaymentRecord
from app.domain.tasks import Task

from .base import Base
from .ledger import ENTRY
from .payments import PAYMENT
from .tables import PAYMENTS, TASKS, TRANSACTIONS
from .tasks import TASK, adopted_task

MAX_ID_BYTES = 2_048  # what DynamoDB takes for a key


class ByIdReads(Base):
    def find(self, some_id: str) -> tuple[Task | None, PaymentRecord | None, PostedEntry | None]:
        """Whatever has it for its key, in one consistent call."""
        if not 0 < len(some_id.encode(errors="replace")) <= MAX_ID_BYTES:
            return None, None, None
        keys = [(table.suffix, {table.key: some_id}) for table in (TASKS, PAYMENTS, TRANSACTIONS)]
        task, payment, entry = self._get_many(keys)
        return (
            TASK.record(adopted_task(self, task)) if task else None,
            PAYMENT.record(payment) if payment else None,
            ENTRY.record(entry) if entry else None,
        )
