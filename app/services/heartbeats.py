"""Signs of life: that Stripe reaches us, and how the last check of the books ended. None of them is worth a failure."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from app.data import Store
from app.domain.errors import DomainError
from app.domain.heartbeats import CommandEnd

NOTE_GRAIN = timedelta(minutes=1)

log = logging.getLogger(__name__)
_noted_at = datetime.min.replace(tzinfo=UTC)


def note_delivery(store: Store, now: datetime) -> None:
    """For the silence alarm: at most one small write a minute in each worker, and none of them matters."""
    global _noted_at
    if now - _noted_at < NOTE_GRAIN:
        return
    _noted_at = now
    try:
        store.updates.heartbeats.note_webhook(now)
    except DomainError:
        log.warning("webhook delivery not noted")


def note_command(store: Store, command: str, status: int, now: datetime) -> None:
    """For the doctor: how a scheduled command ended. Without a store there is nothing to note it in."""
    try:
        store.updates.heartbeats.note_command(command, CommandEnd(now, status))
    except DomainError:
        log.warning("end of a command not noted")
