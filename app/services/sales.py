"""Sales that are not ours: asked about once, set aside, and credited when an operator says that they are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.data import Store
from app.data.transaction import optimistic
from app.domain.errors import InvalidInput, NotFound, PaymentsUnavailable, WrongState
from app.domain.payments import PaymentRecord, SessionFact
from app.domain.sales import NEVER, OURS, Named, Sale, label_of, lines_of
from app.gateways.stripe import PaymentRefused

from . import by_hand

log = logging.getLogger(__name__)

PATIENCE = timedelta(hours=1)
MOST_COUNTED = 100


@dataclass(frozen=True, slots=True)
class Waiting:
    """A link or product that is not ours so far, and how many of its payments wait (MOST_COUNTED: or more)."""

    sale: Sale
    payments: int
    named: bool  # by a setting or by an operator: what waits can be credited


def list_waiting(store: Store, named: Named) -> list[Waiting]:
    """What operators should look at, newest first: undecided, or named with payments that still wait."""
    found = []
    for sale in store.every_sale():
        if sale.decision == NEVER:
            continue
        waiting = look(store, sale, named)
        if waiting.payments:
            found.append(waiting)
    return found


def look(store: Store, sale: Sale, named: Named) -> Waiting:
    is_named = sale.decision == OURS or sale.source in named.ids
    return Waiting(sale, store.count_set_aside(sale.source, MOST_COUNTED), is_named)


def with_lines(
    store: Store,
    fact: SessionFact,
    ask: Callable[[str], Mapping[str, Any]],
    *,
    named: Named,
    told_at: object,
    now: datetime,
) -> SessionFact:
    """The fact with what was sold, asked of Stripe where that can matter and is not known yet.

    While Stripe does not answer this raises PaymentsUnavailable, and Stripe tells the event again. After an hour
    of that it is set aside without: an endpoint that keeps failing is switched off. The nightly reconciliation asks
    once more.
    """
    origin = fact.origin
    if origin is None or origin.lines is not None or fact.state != "paid" or named.credits_all:
        return fact
    if origin.link is not None and origin.link in named.payment_links:
        return fact
    record = store.find_payment(fact.payment_id)
    if record is not None and (record.granted or record.resolution):
        return fact
    if record is not None and record.origin is not None and record.origin.lines is not None:
        return replace(fact, origin=record.origin)
    if origin.link is not None and (sale := store.find_sale(origin.link)) is not None and sale.decision is not None:
        return fact
    try:
        return replace(fact, origin=replace(origin, lines=lines_of(ask(fact.session_id))))
    except PaymentsUnavailable:
        if not isinstance(told_at, int) or now.timestamp() - told_at < PATIENCE.total_seconds():
            raise
        log.warning("set aside without knowing what was sold", extra={"payment_id": fact.payment_id})
        return fact
    except (PaymentRefused, NotFound):  # of another Stripe account or mode: nothing is to be learned of it
        return replace(fact, origin=replace(origin, lines=()))


def kept(known: Mapping[str, Sale], record: PaymentRecord, now: datetime) -> Callable[[Any], None]:
    """What goes into the transaction that sets `record` aside: nobody has named its source meanwhile."""
    source, label = record.source or "", label_of(record.origin) if record.origin else ""
    return lambda tx: tx.keep_sale(known.get(source), source, label, now)


def name_for_good(store: Store, source: str, *, reason: str, actor: str, now: datetime) -> None:
    """What this link or product sells is credits, now and later; `payments.release` then credits what waits.

    Raises InvalidInput, NotFound, Forbidden (no operator any more) and WrongState (somebody else has decided). `undo`
    takes it back for what comes later.
    """
    _decide(store, source, OURS, "sale.name", reason, actor, now)


def never(store: Store, source: str, *, reason: str, actor: str, now: datetime) -> None:
    """What this link or product sells is not ours: later payments are kept quietly, and nobody is asked again."""
    _decide(store, source, NEVER, "sale.never", reason, actor, now)


def undo(store: Store, source: str, *, reason: str, actor: str, now: datetime) -> None:
    """Take back what was said for good. What was credited by it stays with those who paid for it."""
    _decide(store, source, None, "sale.undo", reason, actor, now)


def _decide(
    store: Store, source: str, decision: str | None, action: str, reason: str, actor: str, now: datetime
) -> None:
    if not reason.strip():
        raise InvalidInput("Say why: the reason goes into the audit log.", field="reason")

    def attempt(sale: Sale | None) -> None:
        if sale is None:
            raise NotFound("Nothing was sold by that.")
        if decision == OURS and not sale.can_be_named:
            raise InvalidInput("What another program sells has no name of its own: credit its payments one by one.")
        if (sale.decision is None) == (decision is None):
            raise WrongState("This was decided already: somebody was quicker. Look at the page again.")
        still_operator = by_hand.good_standing(store, actor)
        with store.transaction() as tx:
            still_operator(tx)
            tx.decide_sale(sale, decision, actor, now)
            before, after = {"decision": sale.decision or "none"}, {"decision": decision or "none"}
            tx.record_audit(
                actor=actor, action=action, subject=source, reason=reason, now=now, before=before, after=after
            )

    def read(_stale: object = None) -> Sale | None:
        return store.find_sale(source)

    optimistic(f"sale#{source}", attempt, read(), read)
