"""What operators find customers by: the places of an address that a search may begin at, and the ids of a payment.

An address has a row for each of its places: `part` is what stands there first, `place` the rest of the address from
there on, then whose it is. So any part of an address is the beginning of some row, and one query finds all addresses
that hold it, in the order of what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .accounts import AccountKey
from .payments import PaymentRecord
from .text import search_key

FEWEST = 3  # characters that a search for an address has
MOST_PLACES = 44  # of one address: two of them fit into one transaction beside all else that it may hold
MOST_ADDRESSES = 2  # that one transaction writes: the first and the present one of an account
MOST_IDS = 60  # of one payment that are written at once
LONGEST = 60  # characters of an address that a key repeats; what is searched for beyond is compared afterwards


@dataclass(frozen=True, slots=True)
class SearchKey:
    """A row: all of it is its key. Of an id, `part` is the id and `place` the payment that it belongs to."""

    part: str
    place: str


@dataclass(frozen=True, slots=True)
class Match:
    """An address that was found, the place in it, and the account (by its key) that it belongs to."""

    beginning: str
    address: str
    owner: AccountKey


def keys_of_address(address: str, owner: AccountKey) -> list[SearchKey]:
    """Of an account's own address, or of another one that `owner`, the key of the account, is known by."""
    whose = address if address == owner else f"{address}\n{owner}"
    rows = {place[:LONGEST]: place[:FEWEST] for place in places(address)}
    return [SearchKey(part, f"{beginning}\n{whose}") for beginning, part in rows.items()]


def places(address: str) -> list[str]:
    """The address from each of its places on, as searches compare texts.

    Of one that is longer than most, the beginnings of its words come first and then as many as there is room for.
    """
    text = search_key(address)
    starts = list(range(len(text) - FEWEST + 1))
    if len(starts) > MOST_PLACES:
        of_words = [start for start in starts if start == 0 or not text[start - 1].isalnum()]
        starts = sorted(list(dict.fromkeys([*of_words, *starts]))[:MOST_PLACES])
    return [text[start:] for start in starts]


def match_of(key: SearchKey) -> Match:
    beginning, address, *owner = key.place.split("\n")
    return Match(beginning, address, AccountKey(owner[0] if owner else address))


def is_first(match: Match, term: str) -> bool:
    """Whether this is the first place of the address that holds the term: an address is found once."""
    first = next((place for place in places(match.address) if place.startswith(term)), None)
    return first is not None and first[:LONGEST] == match.beginning


def addresses_to_keep(addresses: Sequence[str]) -> tuple[str, ...]:
    """Each once. Raises ValueError for more than one transaction writes: a mistake of ours."""
    once = tuple(dict.fromkeys(addresses))
    if len(once) > MOST_ADDRESSES:
        raise ValueError(f"at most {MOST_ADDRESSES} addresses are written at once")
    return once


def keys_of_payment(record: PaymentRecord, before: PaymentRecord | None = None) -> list[SearchKey]:
    """The ids of Stripe's that lead to a payment beside its own; without those that `before` had."""
    known = _ids(before) if before else set()
    return [SearchKey(found, record.payment_id) for found in sorted(_ids(record) - known)[:MOST_IDS]]


def _ids(record: PaymentRecord) -> set[str]:
    given = (record.session_id, record.payment_intent, record.customer_id, *record.refunds, *record.disputes)
    return {found for found in given if found} - {record.payment_id}
