"""Signs of life in the Status table: when Stripe last reached us, and how the last check of the books ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.clock import from_iso, to_iso

from .base import Base
from .tables import STATUS

SILENCE = timedelta(hours=1)
SILENT_SESSIONS = 3  # buyers do walk away from Stripe's page, so one session without a delivery says nothing


@dataclass(frozen=True, slots=True)
class StripeContact:
    """When Stripe last reached us, and how many Checkout Sessions were opened since."""

    last_delivery_at: datetime | None
    last_session_at: datetime | None
    sessions_since: int

    def is_silent(self, now: datetime) -> bool:
        """Whether deliveries seem to have stopped: several sessions, and no word for an hour."""
        quiet = self.last_delivery_at is None or now - self.last_delivery_at > SILENCE
        return quiet and self.sessions_since >= SILENT_SESSIONS


class SignReads(Base):
    def last_books_check(self) -> tuple[datetime, int] | None:
        """When the books were last checked, and how many differences there were."""
        row = self._get(STATUS.suffix, {"name": "books"})
        return (from_iso(row["checked_at"]), row["differences"]) if row else None

    def stripe_contact(self) -> StripeContact:
        row = self._get(STATUS.suffix, {"name": "stripe"}) or {}
        return StripeContact(
            last_delivery_at=from_iso(row["last_delivery_at"]) if "last_delivery_at" in row else None,
            last_session_at=from_iso(row["last_session_at"]) if "last_session_at" in row else None,
            sessions_since=row.get("sessions_since", 0),
        )


class SignUpdates(Base):
    def note_webhook(self, now: datetime) -> None:
        """Remember when Stripe last reached us, for the silence alarm."""
        self._update(STATUS.suffix, {"name": "stripe"}, set={"last_delivery_at": to_iso(now), "sessions_since": 0})

    def note_checkout(self, now: datetime) -> None:
        """Remember that a session was opened since Stripe last reached us."""
        self._update(STATUS.suffix, {"name": "stripe"}, set={"last_session_at": to_iso(now)}, add={"sessions_since": 1})

    def note_books(self, now: datetime, differences: int) -> None:
        """Remember how the last check of the books ended."""
        self._update(STATUS.suffix, {"name": "books"}, set={"checked_at": to_iso(now), "differences": differences})
