"""Finding a customer: by any part of the address, or by the id of something of theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile

from app.data import Store
from app.domain.accounts import Account, AccountKey
from app.domain.search_keys import FEWEST, Match
from app.domain.text import plain_address, search_key, trimmed

MOST_CHARACTERS = 254  # the longest address
MOST_MATCHES = 100
MOST_PAYMENTS = 20  # of one customer of Stripe's
MAY_BE_AN_ID = re.compile(r"(?=.*[\d_#-])[^\s@]{4,}|[a-z]+#\S+")  # an opening row names an address
IDS = (
    "tasks, payments, ledger rows and accounts by this id, "
    "and by that of a session, refund, dispute or customer at Stripe"
)
ADDRESS_OF_A_PAGE = re.compile(r"https?://\S+/([^/?#\s]+)[/?#]?\S*")
TASK, PAYMENT, LEDGER, ACCOUNT = THINGS = ("task", "payment", "ledger", "account")
NOT_KEPT = {"ch": "charge", "py": "charge", "in": "invoice", "evt": "event"}


@dataclass(frozen=True, slots=True)
class Thing:
    """What an id names: `kind` is one of THINGS, `owner` the address of its account."""

    kind: str
    thing_id: str
    owner: AccountKey | None
    task_id: str | None = None
    payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One page of what was found, and in words what was looked at."""

    accounts: list[Account] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    searched: str = ""
    next_cursor: str | None = None


def search(store: Store, words: str, *, limit: int, cursor: str | None = None) -> Found:
    """Customers whose address holds the words, or what the words are the id of, and whose that is. Raises BadCursor.

    An id is looked for on the first page alone; of an address of a page, ours or Stripe's, the last part is taken.
    """
    asked = trimmed(words)[:MOST_CHARACTERS]
    page = ADDRESS_OF_A_PAGE.fullmatch(asked)
    asked = page[1] if page else asked
    may_be_an_id = MAY_BE_AN_ID.fullmatch(asked) is not None
    if may_be_an_id and not cursor and (things := _things(store, asked)):
        owners = store.accounts.find_many(thing.owner for thing in things if thing.owner)
        return Found(list(owners.values()), things, IDS)
    term = search_key(asked)
    if len(term) < FEWEST:
        return Found(searched=f"nothing: give at least {FEWEST} characters of the address, or a whole id")
    return _by_address(store, asked, term, limit, cursor, looked_for_ids=may_be_an_id)


def owners(store: Store, words: str) -> frozenset[AccountKey]:
    """The keys of accounts that have, or had, another address that holds the words: rows name them by their first.

    Among the first MOST_MATCHES addresses that hold them.
    """
    term = search_key(trimmed(words)[:MOST_CHARACTERS])
    if len(term) < FEWEST:
        return frozenset()
    found = store.search_keys.addresses(term, limit=MOST_MATCHES).items
    return frozenset(match.owner for match in found if match.address != match.owner)


def _things(store: Store, asked: str) -> list[Thing]:
    if asked.startswith("acc_"):
        account = store.accounts.find_by_id(asked)
        return [Thing(ACCOUNT, asked, account.email)] if account else []
    task, payment, entry = store.by_id.find(asked)
    if task:
        return [Thing(TASK, asked, task.user_email, task_id=asked)]
    ids = [] if payment else store.search_keys.payments(asked, limit=MOST_PAYMENTS)
    records = [payment] if payment else store.payments.find_many(ids).values()
    things = [Thing(PAYMENT, r.payment_id, r.user_email, payment_id=r.payment_id) for r in records]
    if entry:
        things.append(Thing(LEDGER, entry.transaction_id, entry.user_email, entry.task_id, entry.payment_id))
    customer = store.accounts.find_email_by_customer(asked) if asked.startswith("cus_") else None
    if customer and customer not in {thing.owner for thing in things}:
        things.append(Thing(ACCOUNT, asked, customer))
    return things


def _by_address(store: Store, asked: str, term: str, limit: int, cursor: str | None, *, looked_for_ids: bool) -> Found:
    page = store.search_keys.addresses(term, limit=limit, cursor=cursor)
    whole = plain_address(asked) if "@" in asked and not cursor else ""  # also where no key leads, as to a tombstone
    found = store.accounts.find_many([AccountKey(whole), *(match.owner for match in page.items)])
    owners = [
        match.owner
        for match in page.items
        if match.owner in found and not _found_already(match, found[match.owner], term)
    ]
    accounts = [found[email] for email in dict.fromkeys([AccountKey(whole), *owners]) if email in found]
    searched = f"addresses that contain “{asked}”"
    if looked_for_ids:
        searched += f", and {IDS}"
    if kind := NOT_KEPT.get(asked.partition("_")[0]) if looked_for_ids and "_" in asked else None:
        searched += f". The ids of {kind}s are not kept: open it in Stripe, and search for its payment (pi_…)"
    return Found(accounts, [], searched, page.next_cursor)


def _found_already(match: Match, account: Account, term: str) -> bool:
    """By another of its addresses, which holds the term, too: an account is shown once."""
    earlier = takewhile(lambda address: address != match.address, account.addresses)
    return any(term in search_key(address) for address in earlier)
