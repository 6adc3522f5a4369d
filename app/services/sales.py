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
from app.domain.paging import each
from app.domain.payments import PaymentRecord, SessionFact, as_ours, target
from app.domain.proposals import SALE, Proposal
from app.domain.sales import NEVER, OURS, Named, Sale, label_of, lines_of
from app.domain.tasks import new_idempotency_key
from app.gateways.stripe import PaymentRefused
from app.telemetry.spans import verb

from . import by_hand
from .acting import Act, acting
from .by_hand import Authority, NeedsSecond

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
    for sale in store.sales.every():
        if sale.decision == NEVER:
            continue
        waiting = look(store, sale, named)
        if waiting.payments:
            found.append(waiting)
    return found


def look(store: Store, sale: Sale, named: Named) -> Waiting:
    is_named = sale.decision == OURS or sale.source in named.ids
    return Waiting(sale, store.payments.count_not_ours(sale.source, MOST_COUNTED), is_named)


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
    record = store.payments.find(fact.payment_id)
    if record is not None and (record.granted or record.resolution):
        return fact
    if record is not None and record.origin is not None and record.origin.lines is not None:
        return replace(fact, origin=record.origin)
    if origin.link is not None and (sale := store.sales.find(origin.link)) is not None and sale.decision is not None:
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
    return lambda tx: tx.sales.keep(known.get(source), source, label, now)


@verb
def name_for_good(
    store: Store, source: str, *, reason: str, actor: str, limit: int, now: datetime, idempotency_key: str = ""
) -> Proposal | None:
    """What this link or product sells is credits, now and later; `payments.release` then credits what waits.

    What waits counts as made by hand: above `limit` together with the rest of the operator's day a second operator has
    to approve, and the proposal is returned. Raises InvalidInput, NotFound, Forbidden (no operator any more) and
    WrongState (somebody else has decided). `undo` takes it back for what comes later.
    """

    def alone() -> Authority:
        return by_hand.alone(store, actor, _worth(store, source), limit=limit, now=now)

    try:
        _decide(store, source, OURS, "sale.name", reason, actor, alone, now)
    except NeedsSecond:
        wanted = by_hand.proposal(
            SALE,
            operator=actor,
            idempotency_key=idempotency_key or new_idempotency_key(),
            amount=_worth(store, source),
            reason=reason,
            terms={"source": source},
            now=now,
        )
        return by_hand.propose_once(store, wanted)
    return None


@verb
def name_approved(store: Store, waiting: Proposal, now: datetime, authority: Callable[[], Authority]) -> None:
    """Name what was proposed. Raises NotFound, WrongState (decided meanwhile) and what `authority` raises."""
    source, proposer = waiting.terms["source"], waiting.proposed_by
    _decide(store, source, OURS, "sale.name", waiting.reason, proposer, authority, now, approved_by=authority().actor)


@verb
def never(store: Store, source: str, *, reason: str, actor: str, now: datetime) -> None:
    """What this link or product sells is not ours: later payments are kept quietly, and nobody is asked again."""
    _decide(store, source, NEVER, "sale.never", reason, actor, _good_standing(store, actor), now)


@verb
def undo(store: Store, source: str, *, reason: str, actor: str, now: datetime) -> None:
    """Take back what was said for good. What was credited by it stays with those who paid for it."""
    _decide(store, source, None, "sale.undo", reason, actor, _good_standing(store, actor), now)


def _good_standing(store: Store, actor: str) -> Callable[[], Authority]:
    """Enough for what makes no credits."""
    return lambda: Authority(actor, {}, by_hand.good_standing(store, actor))


def _worth(store: Store, source: str) -> int:
    """The credits that naming this would give to those who have paid: of what is told of them now."""
    waiting = each(lambda cursor: store.payments.list_not_ours(source, limit=MOST_COUNTED, cursor=cursor))
    return sum(target(as_ours(record)) for record in waiting if record.resolution is None)


def _decide(
    store: Store,
    source: str,
    decision: str | None,
    action: str,
    reason: str,
    by: str,
    authority: Callable[[], Authority],
    now: datetime,
    approved_by: str | None = None,
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
        stands = authority()
        act = Act(
            stands.actor,
            action,
            source,
            now,
            reason=reason,
            before={"decision": sale.decision or "none"},
            after={"decision": decision or "none", **stands.about},
        )
        with acting(store, act) as tx:
            stands.hold(tx)
            tx.sales.decide(sale, decision, by, now, approved_by)

    def read(_stale: object = None) -> Sale | None:
        return store.sales.find(source)

    optimistic(f"sale#{source}", attempt, read(), read)
