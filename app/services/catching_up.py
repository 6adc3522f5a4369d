"""Every hour: what Stripe told in the last hours and never reached us is recorded, and whoever can mend it is told.

Beside the deep reconciliation of the night, which lists sessions, refunds and disputes of a month.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from app.data import Store
from app.domain import payments as facts
from app.domain.clock import to_iso
from app.domain.errors import BalanceUnexplained, InvalidPayload
from app.domain.heartbeats import UNDER_WAY, CatchUp, Finding, moment_told
from app.domain.payments import PaymentRecord, SessionFact
from app.domain.sales import Named

from . import endpoint, payments, sales

log = logging.getLogger(__name__)

MOST_FINDINGS = 50


class Stripe(endpoint.Endpoints, Protocol):
    def list_events(self, created_from: datetime, types: Iterable[str]) -> Iterator[dict[str, Any]]: ...

    def line_items(self, session_id: str) -> Mapping[str, Any]: ...


def catch_up(
    store: Store,
    stripe: Stripe,
    *,
    since: datetime,
    now: datetime,
    livemode: bool,
    named: Named,
    webhook_url: str | None,
    dry_run: bool = False,
) -> CatchUp:
    """Record what Stripe told since then and we have not, as its webhook would have, and keep how that ended.

    What is younger than five minutes is left to its webhook: the next look, an hour later, has it too. Safe to repeat,
    beside itself and beside webhooks: each fact counts once. What was missed, an endpoint that cannot work, a silence
    of Stripe's, and what is told of a payment of ours in a way that cannot be read, are each an alert. `webhook_url`:
    where its endpoint must lead, None where there is none. With `dry_run` only says what it would do. Raises
    PaymentsUnavailable; what was recorded until then stands.
    """
    contact = store.heartbeats.stripe_contact()
    missed: list[Finding] = []
    unread: list[str] = []
    told: list[datetime] = []
    for event in stripe.list_events(since, facts.READERS):
        at = moment_told(event.get("created"))
        if at is None or now - at < UNDER_WAY or event.get("account"):
            continue
        told.append(at)
        found = _make_up_for(store, stripe, event, livemode=livemode, named=named, now=now, dry_run=dry_run)
        missed += [found] if found else []
        unread += [] if found else _unread(store, event, livemode)
    unheard = contact.unheard(told, now)
    troubles = ([_silence(unheard)] if unheard else []) + unread
    troubles += endpoint.troubles(stripe, webhook_url, livemode=livemode) if webhook_url else []
    ended = CatchUp(now, since, len(told), len(missed), tuple(missed[:MOST_FINDINGS]), tuple(troubles))
    if not dry_run:
        _tell(ended)
        store.updates.heartbeats.note_catch_up(ended)
    return ended


def _make_up_for(
    store: Store,
    stripe: Stripe,
    event: Mapping[str, Any],
    *,
    livemode: bool,
    named: Named,
    now: datetime,
    dry_run: bool,
) -> Finding | None:
    """What one event says, if it had not reached us. What is not ours is recorded too, and nobody is told of it."""
    try:
        fact = facts.fact_of_event(event, livemode=livemode)
    except InvalidPayload:
        return None
    if fact is None:
        return None
    if isinstance(fact, SessionFact):
        fact = sales.with_lines(store, fact, stripe.line_items, named=named, told_at=event.get("created"), now=now)
    before, judged = payments.judged(store, fact, named)
    after = facts.merge(before or PaymentRecord(fact.payment_id), judged)
    if before is not None and not facts.says_more(before, after) and not (before.granted and before.delta):
        return None
    moved = after.delta if after.granted else 0
    if not dry_run:
        try:
            outcome = payments.record_fact(store, fact, now=now, named=named)
        except BalanceUnexplained:
            return Finding(fact.payment_id, f"{event['type']}: not recorded, nothing explains the balance")
        after, moved = outcome.record or after, outcome.moved
    if after.source is not None or (before is None and not isinstance(fact, SessionFact)):
        return None  # not ours, or money that went back of something that we never heard of
    return Finding(fact.payment_id, str(event["type"]), f"{moved:+,} credits")


def _unread(store: Store, event: Mapping[str, Any], livemode: bool) -> list[str]:
    """A sentence where the event is about a payment of ours and nothing else in it can be read, as by the webhook."""
    try:
        ours = facts.fact_of_event(event, livemode=livemode) is None and payments.named_of_ours(
            store, event["data"]["object"]
        )
    except InvalidPayload:
        return [f"Stripe's event {event.get('id')} ({event.get('type')}) is none that this release can read."]
    if not ours:
        return []
    return [
        f"Stripe's event {event.get('id')} ({event.get('type')}) about {ours} says nothing that this release knows: "
        "its credits stay as they are until somebody looks at it there."
    ]


def _silence(unheard: list[datetime]) -> str:
    many = f"{len(unheard)} things" if len(unheard) > 1 else "one thing"
    return f"Stripe has told of {many} since {unheard[0]:%Y-%m-%d %H:%M} UTC, and no webhook of it has reached us."


def _tell(ended: CatchUp) -> None:
    if ended.missed:
        about = {"missed": ended.missed, "first": ended.findings[0].subject, "since": to_iso(ended.since)}
        log.error("what Stripe told had not reached us", extra={"alert": "missed"} | about)
    for trouble in ended.troubles:
        log.error("webhooks cannot reach us: %s", trouble, extra={"alert": "webhook"})
