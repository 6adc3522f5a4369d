"""Makes the month through the services, each act at its own time, so that the books and Stripe's stand-in agree.

A start may be killed at any act. Each has a name of its own and is repeated without effect, so the next start goes on
where that one ended; the last task says that all is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from app.domain.accounts import Account, AccountKey
from app.domain.sales import Named
from app.domain.tasks import CANCELLED, COMPLETED, MAX_LEASE_MINUTES, PENDING, REJECTED, task_id_for
from app.services import figures, payments, queue, tasks
from app.services.seed import CUSTOMER, OPERATOR
from scripts.local.states.makers import Control, States

from .month import DAYS, MONTH, Asked, Bought, Joined

if TYPE_CHECKING:
    from app.web.deps import Deps

LENGTH = timedelta(days=DAYS)
ACTS_OF_A_NEW_ACCOUNT = 1  # its credits for a start

Act = Callable[[datetime], object]
Event = dict[str, Any]


def is_wanted(found: Deps, now: datetime) -> bool:
    """Whether the month is still to be made, or to its end: never for an account that somebody has used."""
    store, account = found.store, found.store.accounts.find(AccountKey(CUSTOMER))
    if account is None or account.deleted_at or account.created_at + LENGTH > now:
        return False
    made = [_task_id(step, number) for number, step in enumerate(MONTH) if isinstance(step, Asked)]
    if store.tasks.find(made[-1]):
        return False
    return account.ledger_sequence == ACTS_OF_A_NEW_ACCOUNT or store.tasks.find(made[0]) is not None


class Month:
    """Begins when the demo customer's account was made. `control` asks Stripe's stand-in: a path, and what to post."""

    def __init__(self, found: Deps, named: Named, control: Control) -> None:
        self._store = found.store
        self._named = named
        self._control = control
        self._states = States(found, control)

    def make(self) -> None:
        end = self._account(CUSTOMER).created_at + LENGTH
        for days_ago, act in sorted(self._acts(), key=itemgetter(0), reverse=True):
            act(end - timedelta(days=days_ago))
        figures.read_ledger(self._store, self._store.ledger.every(), end)

    def _acts(self) -> Iterator[tuple[float, Act]]:
        for number, step in enumerate(MONTH):
            match step:
                case Joined():
                    yield step.days_ago, partial(self._join, step)
                case Bought():
                    yield step.days_ago, partial(self._buy, step, number)
                    if step.refund_cents:
                        yield step.refunded_days_ago, partial(self._refund, step, number)
                case Asked():
                    task_id = _task_id(step, number)
                    yield step.days_ago, partial(self._submit, step, number)
                    if step.status != PENDING:
                        yield step.days_ago - step.hours / 24, partial(self._work, step, task_id)
                    if step.redo:
                        yield step.redo_days_ago, partial(self._redo, step, task_id)

    def _join(self, step: Joined, at: datetime) -> None:
        if self._store.accounts.find(AccountKey(step.who)) is None:
            self._states.create(step.who, 0, at, password_hash=None)

    # Tasks

    def _submit(self, step: Asked, number: int, at: datetime) -> None:
        tasks.submit(self._store, self._account(step.who), step.text, now=at, idempotency_key=_name(number))

    def _work(self, step: Asked, task_id: str, at: datetime) -> None:
        if step.status == CANCELLED:
            queue.cancel(self._store, self._account(step.who), task_id, now=at)
        elif self._store.tasks.get(task_id, owner=AccountKey(step.who)).is_open:
            queue.claim(self._store, OPERATOR, task_id, now=at, minutes=MAX_LEASE_MINUTES)
            if step.status == COMPLETED:
                queue.complete(self._store, OPERATOR, task_id, step.words, now=at)
            elif step.status == REJECTED:
                queue.reject(self._store, OPERATOR, task_id, step.words, now=at)

    def _redo(self, step: Asked, task_id: str, at: datetime) -> None:
        queue.request_redo(self._store, self._account(step.who), task_id, step.redo, now=at)

    # Payments: what the stand-in tells here, its webhook tells once more as soon as the app answers

    def _buy(self, step: Bought, number: int, at: datetime) -> None:
        self._record(self._sale(step, number, at))

    def _refund(self, step: Bought, number: int, at: datetime) -> None:
        intent = self._sale(step, number, at)["data"]["object"]["payment_intent"]
        refund = {"payment_intent": intent, "amount": step.refund_cents, "reason": "requested_by_customer"}
        self._record(self._once("refund.created", "payment_intent", intent, "refunds", refund, at))
        if charged := self._told("charge.refunded", "payment_intent", intent):
            self._record(charged)

    def _sale(self, step: Bought, number: int, at: datetime) -> Event:
        sale = {"amount": step.cents, "email": step.who, "sells": "credits", "client_reference_id": _name(number)}
        return self._once("checkout.session.completed", "client_reference_id", _name(number), "payment_link", sale, at)

    def _once(self, kind: str, field: str, value: str, path: str, body: dict[str, Any], at: datetime) -> Event:
        """The event of this kind whose object says so; it is made to happen unless an earlier start did."""
        if event := self._told(kind, field, value):
            return event
        self._control(path, body | {"created": int(at.timestamp())})
        event = self._told(kind, field, value)
        assert event is not None, f"Stripe's stand-in tells nothing of {body}"
        return event

    def _told(self, kind: str, field: str, value: str) -> Event | None:
        events: list[Event] = self._control(f"events?type={kind}", None)["events"]
        return next((event for event in events if event["data"]["object"][field] == value), None)

    def _record(self, event: Event) -> None:
        at = datetime.fromtimestamp(event["created"], UTC)
        payments.handle_event(self._store, event, livemode=False, now=at, named=self._named)

    def _account(self, email: str) -> Account:
        return self._store.accounts.get(AccountKey(email))


def _name(number: int) -> str:
    return f"demo-{number}"


def _task_id(step: Asked, number: int) -> str:
    return task_id_for(AccountKey(step.who), _name(number))
