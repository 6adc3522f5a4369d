"""Money that went back: refunds, the charge's own sum of them, and disputes, each kept as Stripe's newest word.

Deliveries come in any order and repeatedly, so words join: of two about one thing, the one that wins is the maximum of
a key that is the same whichever came first. The order is

1. the stage: what is final (failed, lost, won) is not taken back by an older stage that comes late or is told again;
2. within a stage the time that Stripe itself gives to the word: the event's `created`, or the moment at which a list
   was read. A word without a time (a row of before times were kept) counts as oldest;
3. within one second the further status, then the lower amount, since amounts are lowered and hardly ever raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

# Tens are stages, ones the order within a stage.
# A refund can fail after it "succeeded", and a failed one stays failed: https://docs.stripe.com/refunds#failed-refunds
REFUND_RANK = {"requires_action": 0, "pending": 1, "succeeded": 2, "canceled": 10, "failed": 20}
REFUND_UNDONE = frozenset({"failed", "canceled"})
# An inquiry (warning) may become a dispute; a final status is never left: https://docs.stripe.com/disputes/how-disputes-work
DISPUTE_RANK = {
    "warning_needs_response": 0,
    "warning_under_review": 1,
    "warning_closed": 10,
    "needs_response": 20,
    "under_review": 21,
    "prevented": 30,
    "lost": 40,
    "appeal_needs_response": 50,
    "appeal_under_review": 51,
    "won": 60,  # a lost dispute can be won on appeal, a won one is never lost again
}
DISPUTE_HOLDS = frozenset({"needs_response", "under_review", "lost", "appeal_needs_response", "appeal_under_review"})


@dataclass(frozen=True, slots=True)
class Amount:
    """The newest word about a refund, a dispute, or the sum that a charge says was refunded of it.

    `cents` are the smallest units of `currency`; no currency (as before it was kept) means the payment's own. Times are
    Stripe's, in seconds since 1970, 0 where unknown: `told` of this word, `made` of the refund itself, `undone` of the
    first word that told of it as failed or cancelled.
    """

    cents: int
    status: str = ""
    currency: str = ""
    told: int = 0
    made: int = 0
    undone: int = 0


Worth = Callable[[Amount], Fraction | None]


def join(known: Mapping[str, Amount], key: str, word: Amount, rank: Mapping[str, int]) -> Mapping[str, Amount]:
    """All words with one more: commutative, associative and idempotent."""
    before = known.get(key, word)

    def order(amount: Amount) -> tuple[int, int, int, int, str]:
        place = rank[amount.status]
        return place // 10, amount.told, place, -amount.cents, amount.currency

    times = [amount.undone for amount in (before, word) if amount.status in REFUND_UNDONE]
    made = min((amount.made for amount in (before, word) if amount.made), default=0)
    return {**known, key: replace(max(before, word, key=order), made=made, undone=min(times, default=0))}


def newest_sum(known: Amount, word: Amount) -> Amount:
    """What a charge says was refunded of it: the newest; within one second the higher, as each refund raises it."""
    return max(known, word, key=lambda amount: (amount.told, amount.cents, amount.currency))


def refunded(refunds: Iterable[Amount], charge: Amount, worth: Worth) -> Fraction:
    """How much went back and stayed back, from single refunds and the charge's sum together.

    The charge's sum is the truth of the second in which it was told: Stripe raises it with each refund and lowers it
    again when one fails. So refunds made later are added to it, and refunds that it held and that failed since are
    taken off. A refund that failed in the very same second counts as failed since; if that was wrong, the next
    word about the refund that took its place puts it right.

    Refunds alone are the truth as well, once all are told: one that stood when the sum was told, or later, counts
    whatever the sum says; one last told of before that counts as far as the sum leaves room for it, for it may have
    failed without a word. The greater of both ways is right after either alone.

    `worth` is None where an amount cannot be compared: then it is all, unless the charge's sum holds it already. One
    that failed takes off a sum that cannot be compared either only where it was all of it.
    """
    later, tied, outside, standing, stale = (Fraction(0) for _ in range(5))
    at, told = charge.told, worth(charge)
    for refund in refunds:
        held_by_the_sum = not at or refund.made <= at
        share = worth(refund)
        if refund.status in REFUND_UNDONE:
            if share is None:
                alike = told is None and refund.currency == charge.currency
                share = Fraction(refund.cents, charge.cents) if alike else Fraction(1)
            if held_by_the_sum and refund.undone > at:
                later += share
            elif held_by_the_sum and refund.undone == at:
                tied += share
            continue
        if share is None:
            share = Fraction(0 if at and 0 < refund.made <= at else 1)
        if not held_by_the_sum:
            outside += share
        elif refund.told >= at:
            standing += share
        else:
            stale += share
    total = Fraction(1) if told is None else told
    if told is None:  # a part of it that is left is all
        later, tied = Fraction(later >= 1), Fraction(later < 1 <= later + tied)
    room = max(Fraction(0), total - later - standing)
    return outside + max(total - later - tied, standing + min(stale, room))


def held(disputes: Iterable[Amount], worth: Worth) -> Fraction:
    """How much open and lost disputes hold; one that cannot be compared holds all."""
    shares = [worth(dispute) for dispute in disputes if dispute.status in DISPUTE_HOLDS]
    return sum((Fraction(1) if share is None else share for share in shares), Fraction(0))
