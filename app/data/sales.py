"""Access patterns of the Sales table: one row for a link, product or price that sold something which is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.domain.clock import to_iso
from app.domain.sales import Sale

from .base import Base
from .client import Stale
from .records import Codec
from .tables import SALES
from .transaction import Writes

TABLE = SALES.suffix
SALE = Codec(Sale)
MOST_ASKED = 90  # of a session with more lines than that nobody has named each


class SaleReads(Base):
    def find(self, source: str) -> Sale | None:
        row = self._get(TABLE, {"source": source})
        return SALE.record(row) if row else None

    def find_many(self, sources: Sequence[str]) -> dict[str, Sale]:
        """Those of `sources` that have a row, in one consistent call."""
        if not sources:
            return {}
        rows = self._get_many([(TABLE, {"source": source}) for source in sources[:MOST_ASKED]])
        return {row["source"]: SALE.record(row) for row in rows if row}

    def every(self) -> list[Sale]:
        """A scan: links and products are few and only operators list them. Newest first."""
        return sorted(map(SALE.record, self._scan(TABLE)), key=lambda sale: sale.first_seen_at, reverse=True)


class SaleWrites(Writes):
    def keep(self, known: Sale | None, source: str, label: str, now: datetime) -> None:
        """Beside a payment that is set aside: nobody has said anything else of its source since it was read.

        Raises Stale. The row is written once, so that many payments at once do not queue for it.
        """
        if known is None:
            row = SALE.row(Sale(source, now, label))
            self.put(TABLE, row, condition="attribute_not_exists(#source)", failure=Stale)
        elif known.decision is None:
            condition = "attribute_exists(#source) AND attribute_not_exists(#decision)"
            self.check(TABLE, {"source": source}, condition=condition, failure=Stale)
        else:
            self.require(source, known.decision)

    def require(self, source: str, decision: str) -> None:
        """Raises Stale unless this is what operators say of it."""
        self.check(TABLE, {"source": source}, condition="#decision = :decision", failure=Stale, decision=decision)

    def decide(self, known: Sale, decision: str | None, by: str, now: datetime, approved_by: str | None = None) -> None:
        """Raises Stale when somebody else has decided since it was read."""
        condition = "attribute_exists(#source) AND attribute_not_exists(#decision)"
        params: dict[str, Any] = {}
        if known.decision is not None:
            condition, params = "#decision = :before", {"before": known.decision}
        self.update(
            TABLE,
            {"source": known.source},
            set={"decision": decision, "decided_at": to_iso(now), "decided_by": by, "approved_by": approved_by},
            condition=condition,
            failure=Stale,
            **params,
        )
