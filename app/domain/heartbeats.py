"""Signs of life of the service: when Stripe last reached us, and how the last check of the books ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SILENCE = timedelta(hours=1)
SILENT_SESSIONS = 3  # buyers do walk away from Stripe's page, so one session without a delivery says nothing


@dataclass(frozen=True, slots=True)
class StripeContact:
    """When Stripe last reached us, and how many Checkout Sessions were opened since."""

    last_delivery_at: datetime | None = None
    last_session_at: datetime | None = None
    sessions_since: int = 0

    def is_silent(self, now: datetime) -> bool:
        """Whether deliveries seem to have stopped: several sessions, and no word for an hour."""
        quiet = self.last_delivery_at is None or now - self.last_delivery_at > SILENCE
        return quiet and self.sessions_since >= SILENT_SESSIONS


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BooksCheck:
    """When the books were last checked, or reconciled with Stripe, and what was found: of many, the first."""

    checked_at: datetime
    differences: int
    findings: tuple[Finding, ...] = ()
    looked_at: int = 0  # facts at Stripe
