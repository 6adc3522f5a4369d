"""Signs of life of the service: when Stripe last reached us, and how the last check of the books ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

UNDER_WAY = timedelta(minutes=5)  # a webhook that is younger may still arrive
NOTED_WITHIN = timedelta(minutes=2)  # a delivery is noted once a minute, so the note may be that much older

# What a clock runs (deploy/aws/service.yaml) beside the doctor, and how long after its last end each must have ended
# again.
SCHEDULED = {
    "books reconcile": timedelta(hours=26),
    "books check": timedelta(hours=26),
    "accounts erase": timedelta(hours=26),
    "books catch-up": timedelta(hours=3),
    "backup export": timedelta(hours=26),
    "backup verify": timedelta(hours=26),
}


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a scheduled command last ended: with 0, when all was well."""

    ended_at: datetime
    status: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waited when the mail sender last looked, and since when the oldest of each kind; None where none waits."""

    at: datetime
    mail_since: datetime | None = None
    task_since: datetime | None = None
    check_since: datetime | None = None
    payment_since: datetime | None = None  # parked
    ses_since: datetime | None = None  # it takes no mail
    webhook_since: datetime | None = None  # due, and nobody has taken it
    mails: int = 0
    mails_failed: int = 0
    tasks: int = 0
    tasks_in_progress: int = 0
    webhooks: int = 0  # due
    webhooks_paused: int = 0  # endpoints, by us


@dataclass(frozen=True, slots=True)
class StripeContact:
    """When Stripe last reached us, and how many Checkout Sessions were opened since."""

    last_delivery_at: datetime | None = None
    last_session_at: datetime | None = None
    sessions_since: int = 0

    def unheard(self, told: Iterable[datetime], now: datetime) -> list[datetime]:
        """Of the moments at which Stripe told of something, those since which no webhook has reached us; oldest first.

        People who leave Stripe's page without paying are none: Stripe tells of nothing then.
        """
        last = self.last_delivery_at
        return sorted(at for at in told if now - at >= UNDER_WAY and (last is None or at > last + NOTED_WITHIN))


def moment_told(event_created: object) -> datetime | None:
    """Stripe's seconds since 1970 as a moment; None where it gives none."""
    if isinstance(event_created, bool) or not isinstance(event_created, int) or not 0 < event_created < 10**11:
        return None
    return datetime.fromtimestamp(event_created, UTC)


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
    since: datetime | None = None  # how far a reconciliation looked back; rows of before do not say


@dataclass(frozen=True, slots=True)
class CatchUp:
    """The look that is taken every hour at what Stripe told in the last hours: what had never reached us (of many, the
    first), and in sentences what keeps Stripe's word from reaching us.
    """

    ended_at: datetime
    since: datetime
    looked_at: int = 0
    missed: int = 0
    findings: tuple[Finding, ...] = ()
    troubles: tuple[str, ...] = ()
