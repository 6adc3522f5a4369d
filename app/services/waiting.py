"""Since when the oldest of what somebody else does has waited: told every minute, so that nothing grows silently."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from app.data import Store
from app.domain.mails import Mail
from app.domain.webhooks import BY_FAILURE, BY_GONE, BY_SECRET

log = logging.getLogger(__name__)

LOOKED_AT = 100  # mails by when they are next, as many as a page has: where more wait, those put off are not the news
MOST_PAUSED = 1000  # counted no further, for each reason
LATE = timedelta(minutes=30)
LATE_WEBHOOK = timedelta(minutes=15)  # what one account's slow receiver takes in turn is due for some minutes
MAIL, CHECK, WEBHOOK = "mail", "check", "webhook"


def longest_waiting(store: Store) -> Mail | None:
    """The mail that has waited longest, of the 100 that come next; None where none waits."""
    return oldest(store.mails.list_waiting(limit=LOOKED_AT).items)


def oldest(waiting: Iterable[Mail]) -> Mail | None:
    return min(waiting, key=lambda mail: mail.waiting_since, default=None)


def oldest_mail(store: Store) -> datetime | None:
    """Since when it has waited."""
    mail = longest_waiting(store)
    return mail.waiting_since if mail else None


def asked_check(store: Store) -> datetime | None:
    """Since when a check has waited that an operator asked for and nobody has begun."""
    run = store.checks.find()
    return run.asked_at if run and run.taken_at is None and run.ended_at is None else None


def tell_mail(store: Store, now: datetime) -> None:
    _tell(MAIL, oldest_mail(store), now)


def tell_check(store: Store, now: datetime) -> None:
    _tell(CHECK, asked_check(store), now)


def overdue_webhook(store: Store, now: datetime) -> datetime | None:
    """Since when the oldest has been due that nobody has taken: what a receiver fails is put off, and is not ours."""
    return min((one.due_at for one in store.webhooks.list_due(now, limit=1) if one.due_at), default=None)


def paused_endpoints(store: Store) -> dict[str, int]:
    """How many endpoints we have paused, by why; those that their owners paused are not among them."""
    return {why: store.webhooks.count_paused(why, most=MOST_PAUSED) for why in (BY_FAILURE, BY_GONE, BY_SECRET)}


def tell_webhook(store: Store, now: datetime) -> None:
    _tell(WEBHOOK, overdue_webhook(store, now), now)


def _tell(what: str, since: datetime | None, now: datetime) -> None:
    """The line whose seconds an alarm measures; that it comes at all says that whoever does it is alive."""
    seconds = max(0, int((now - since).total_seconds())) if since else 0
    log.info("oldest waiting", extra={"what": what, "seconds": seconds})
