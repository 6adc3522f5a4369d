"""What the store says of the service as a whole, for who measures: looked up once a minute, read in one call.

Scans and counts are the mail sender's, which looks once a minute (`look`) and keeps what it has found in one row; the
doctor and the scheduled commands keep theirs anyway. A scrape reads these rows together, whatever they are about, so
its cost depends neither on how much waits nor on how many servers are asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from app.data import Store
from app.domain.doctor import WRONG as FOUND_WRONG
from app.domain.errors import DomainError
from app.domain.heartbeats import SCHEDULED, Waiting
from app.domain.tasks import IN_PROGRESS, PENDING
from app.telemetry.instruments import (
    BOOKS,
    COMMAND_ENDED,
    COMMAND_STATUS,
    EXAMINED,
    LOOKED,
    MISSED,
    OLDEST,
    STORE_READ,
    WAITING,
    WRONG,
)
from app.telemetry.scrape import Reading

from .waiting import LOOKED_AT, asked_check, oldest, overdue_webhook, paused_endpoints

log = logging.getLogger(__name__)

MOST_TASKS = 1000  # counted no further in each shard of the queue; mails are no further than 100, events in each shard


def look(store: Store, now: datetime) -> Waiting:
    """Look what waits, keep it for all servers, and tell it over OTLP. Safe to repeat. Raises StoreUnavailable."""
    mails = store.mails.list_waiting(limit=LOOKED_AT).items
    first = oldest(mails)
    page = store.queue.page(PENDING, limit=1).items
    parked, trouble = store.payments.oldest_parked(), store.mails.trouble()
    found = Waiting(
        now,
        mail_since=first.waiting_since if first else None,
        task_since=page[0].created_at if page else None,
        check_since=asked_check(store),
        payment_since=(parked.created_at or now) if parked else None,
        ses_since=trouble.since if trouble else None,
        webhook_since=overdue_webhook(store, now),
        mails=len(mails),
        mails_failed=len(store.mails.list_failed(limit=LOOKED_AT).items),
        tasks=store.queue.count_open(PENDING, MOST_TASKS),
        tasks_in_progress=store.queue.count_open(IN_PROGRESS, MOST_TASKS),
        webhooks=store.webhooks.count_due(now, most=LOOKED_AT),
        webhooks_paused=sum(paused_endpoints(store).values()),
    )
    store.updates.heartbeats.note_waiting(found)
    for instrument, labels, number in _of_waiting(found, now):
        instrument.set(number, **labels)
    return found


def readings(store: Store, now: datetime) -> list[Reading]:
    """Never raises for the store: that it cannot be read is a reading, too."""
    try:
        return [*_read(store, now), (STORE_READ, {}, 1)]
    except DomainError as error:
        log.warning("metrics without what the store says", extra={"code": error.code})
        return [(STORE_READ, {}, 0)]


def _read(store: Store, now: datetime) -> Iterator[Reading]:
    waiting, examined = store.heartbeats.waiting(), store.doctor.find()
    books, missed = store.heartbeats.last_books_check(), store.heartbeats.last_missed()
    if waiting:
        yield from _of_waiting(waiting, now)
    for command, end in store.heartbeats.command_ends(list(SCHEDULED)).items():
        yield COMMAND_ENDED, {"command": command}, _seconds(end.ended_at, now)
        yield COMMAND_STATUS, {"command": command}, end.status
    if missed:
        yield MISSED, {}, _seconds(missed.ended_at, now)
    if examined:
        yield WRONG, {}, sum(finding.state == FOUND_WRONG for finding in examined.findings)
        yield EXAMINED, {}, _seconds(examined.at, now)
    if books:
        yield BOOKS, {}, books.differences


def _of_waiting(found: Waiting, now: datetime) -> Iterator[Reading]:
    since = {
        "mail": found.mail_since,
        "task": found.task_since,
        "check": found.check_since,
        "payment": found.payment_since,
        "ses": found.ses_since,
        "webhook": found.webhook_since,
    }
    for what, moment in since.items():
        yield OLDEST, {"what": what}, _seconds(moment, now) if moment else 0
    counts = {
        "mail": found.mails,
        "mail_failed": found.mails_failed,
        "task": found.tasks,
        "task_in_progress": found.tasks_in_progress,
        "webhook": found.webhooks,
        "webhook_paused": found.webhooks_paused,
    }
    for what, number in counts.items():
        yield WAITING, {"what": what}, number
    yield LOOKED, {}, _seconds(found.at, now)


def _seconds(then: datetime, now: datetime) -> float:
    return max(0.0, round((now - then).total_seconds(), 3))
