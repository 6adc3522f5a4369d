"""The one rule for value made by hand: by whose authority it is booked, and what waits for a second operator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.data import Store
from app.data.store import Transaction
from app.data.transaction import optimistic
from app.domain.accounts import Account, AccountKey, Address, as_address
from app.domain.by_hand import Hand, are_one, hands_of, is_person
from app.domain.errors import AlreadyRecorded, Forbidden, IdempotencyKeyReused, WrongState
from app.domain.proposals import ADJUSTMENT, APPROVED, CODE, DECLINED, PAYMENT, SALE, Proposal
from app.telemetry.spans import verb

from .acting import Act, acting

ACTIONS = {ADJUSTMENT: "credits", PAYMENT: "payment", CODE: "code", SALE: "sale"}


class NeedsSecond(Exception):
    """This would be more than one operator makes alone in a day: it has to be proposed instead."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who stands for value that is about to be booked, as read a moment ago.

    `hold` puts the conditions under which that is still so into the transaction that books it; when they fail the
    transaction raises Stale, and reading again tells why. `about` goes into the audit row: `books check` goes by it.
    """

    actor: str
    about: Mapping[str, Any]
    hold: Callable[[Transaction], None]


def alone(
    store: Store, operator: str, amount: int, *, limit: int, now: datetime, on_command_line: bool = False
) -> Authority:
    """One operator's own authority. Raises NeedsSecond above what one makes alone in a day, and Forbidden."""
    hands = _hands(store, operator, on_command_line)
    if any(hand.with_amount(amount, now).credits > limit for hand in hands):
        raise NeedsSecond

    def hold(tx: Transaction) -> None:
        for hand in hands:
            tx.by_hand.count(hand, abs(amount), limit=limit, now=now)

    day = max(hand.day_of(now) for hand in hands)
    counted = [hand.name for hand in hands]
    return Authority(operator, {"amount": amount, "limit": limit, "day": day, "counted": counted}, hold)


def needs_second(store: Store, operator: str, amount: int, *, limit: int, now: datetime) -> bool:
    """Whether `amount`, either way, would be more than this operator makes alone today. Raises Forbidden."""
    try:
        alone(store, operator, amount, limit=limit, now=now)
    except NeedsSecond:
        return True
    return False


def together(store: Store, waiting: Proposal, operator: str, *, now: datetime) -> Authority:
    """The authority of who proposed it and who approves it, both operators as it is booked; it decides the proposal.

    Raises Forbidden, and WrongState when the proposer is no operator any more, or it would be his own by now.
    """
    proposer, whose = waiting.proposed_by, _whose(store, waiting)
    if whose:
        not_for_oneself(store, operator, whose)
    if _one_person(store, proposer, operator):
        raise Forbidden("Another operator must approve what you proposed.")
    (approving,), proposing = _hands(store, operator), store.by_hand.find(proposer)
    if not proposing.in_good_standing:
        raise WrongState(
            f"{proposer} proposed this and is no operator any more. Decline it; if it is right, propose it yourself."
        )
    if whose and _is_ones_own(store, proposer, whose):
        raise WrongState(
            f"{proposer} proposed this, and the account is their own by now. Decline it; if it is right, propose it "
            "yourself."
        )

    def hold(tx: Transaction) -> None:
        tx.by_hand.check_operator(proposing)
        tx.by_hand.check_operator(approving)
        tx.proposals.decide(waiting.adjustment_id, APPROVED, operator, now)

    day = now.date().isoformat()
    return Authority(operator, {"amount": waiting.amount, "proposed_by": proposer, "day": day}, hold)


def good_standing(store: Store, operator: str) -> Callable[[Transaction], None]:
    """The condition that who decides is still an operator as it is booked. Raises Forbidden."""
    (hand, *_) = _hands(store, operator)
    return lambda tx: tx.by_hand.check_operator(hand)


def not_for_oneself(store: Store, operator: str, whose: Account | Address) -> None:
    """Raises Forbidden: nobody makes value for an account of his own, as far as the addresses of both tell: those that
    they have, and had. An Address stands for an account that is still to be made.
    """
    if _is_ones_own(store, operator, whose):
        raise Forbidden("Nobody adds to or takes from their own balance: ask another operator.")


def _is_ones_own(store: Store, operator: str, whose: Account | Address) -> bool:
    others = whose.addresses if isinstance(whose, Account) else (whose,)
    return any(are_one(own, other) for own in known_as(store, operator) for other in others)


def _whose(store: Store, waiting: Proposal) -> Account | Address | None:
    """Whose it is by now: an address that was nobody's as it was proposed may have become an account's since."""
    if not waiting.user_email:
        return None
    address = as_address(waiting.user_email)
    return store.accounts.find_holder(address) or address


def known_as(store: Store, name: str) -> tuple[str, ...]:
    """What an operator is known as: the name in our rows, which is the key of the account, and all its addresses."""
    account = store.accounts.find(AccountKey(name)) if is_person(name) else None
    return account.addresses if account else (name,)


def _one_person(store: Store, name: str, other: str) -> bool:
    return any(are_one(one, another) for one in known_as(store, name) for another in known_as(store, other))


def proposal(
    kind: str,
    *,
    operator: str,
    idempotency_key: str,
    amount: int,
    reason: str,
    now: datetime,
    email: AccountKey | None = None,
    terms: Mapping[str, Any] | None = None,
) -> Proposal:
    """What is to be booked or proposed, under an id that follows from operator and request: a repeat is a repeat."""
    named = f"{operator}\n{idempotency_key}" if kind == ADJUSTMENT else f"{kind}\n{operator}\n{idempotency_key}"
    adjustment_id = "adj_" + hashlib.sha256(named.encode()).hexdigest()[:26]
    return Proposal(adjustment_id, email or AccountKey(""), amount, reason, operator, now, kind=kind, terms=terms or {})


@verb
def propose(store: Store, wanted: Proposal, *, unless: Callable[[Transaction], None] = lambda tx: None) -> Proposal:
    """Let it wait for a second operator, once. `unless` adds conditions. Raises Forbidden and AlreadyRecorded."""

    def attempt(_: None) -> Proposal:
        hand = _hands(store, wanted.proposed_by)[0]
        act = Act(
            wanted.proposed_by,
            f"{ACTIONS[wanted.kind]}.propose",
            wanted.subject,
            wanted.created_at,
            reason=wanted.reason,
            after={"amount": wanted.amount} | ({"email": wanted.user_email} if wanted.kind == PAYMENT else {}),
        )
        with acting(store, act) as tx:
            tx.proposals.add(wanted)
            unless(tx)
            tx.by_hand.check_operator(hand)
        return wanted

    return optimistic(wanted.adjustment_id, attempt, None, lambda _stale: None)


@verb
def propose_once(store: Store, wanted: Proposal) -> Proposal:
    """The same; a repeat gets the first proposal. Raises IdempotencyKeyReused when that was something else."""
    try:
        return propose(store, wanted)
    except AlreadyRecorded:
        first = store.proposals.get(wanted.adjustment_id)
        if (first.user_email, first.amount, first.terms) != (wanted.user_email, wanted.amount, wanted.terms):
            raise IdempotencyKeyReused from None
        return first


@verb
def decline(store: Store, operator: str, adjustment_id: str, *, now: datetime) -> None:
    """Drop what was proposed; its proposer may do so too. Raises NotFound, WrongState."""

    def attempt(waiting: Proposal) -> None:
        act = Act(
            operator,
            f"{ACTIONS[waiting.kind]}.decline",
            waiting.subject,
            now,
            reason=waiting.reason,
            after={"amount": waiting.amount, "proposed_by": waiting.proposed_by},
        )
        with acting(store, act) as tx:
            tx.proposals.decide(adjustment_id, DECLINED, operator, now)

    waiting = store.proposals.get(adjustment_id)
    if waiting.state == DECLINED and waiting.decided_by == operator:  # sent again: its answer never came
        return
    optimistic(adjustment_id, attempt, waiting, lambda _stale: store.proposals.get(adjustment_id))


def _hands(store: Store, operator: str, on_command_line: bool = False) -> list[Hand]:
    """Raises Forbidden when one of them is no operator (any more)."""
    hands = [store.by_hand.find(name) for name in hands_of(operator, on_command_line=on_command_line)]
    for hand in hands:
        if not hand.in_good_standing:
            raise Forbidden(f"{hand.name} is no operator with a confirmed address: nothing was changed.")
    return hands
