"""Access patterns of the SearchKeys table: what operators find customers and payments by. Rows hold their key alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from app.domain.accounts import AccountKey
from app.domain.paging import LAST, Page
from app.domain.payments import PaymentRecord
from app.domain.search_keys import (
    FEWEST,
    LONGEST,
    Match,
    SearchKey,
    addresses_to_keep,
    is_first,
    keys_of_address,
    keys_of_payment,
    match_of,
)

from .base import Base
from .client import Stale
from .records import Codec
from .tables import SEARCH_KEYS
from .transaction import Writes

TABLE = SEARCH_KEYS.suffix
KEY = Codec(SearchKey)


class SearchKeyReads(Base):
    def addresses(self, term: str, *, limit: int, cursor: str | None = None) -> Page[Match]:
        """Addresses that hold the term, as `search_key` writes it, each once, in the order of what follows it.

        At least FEWEST characters. One query for a page; more where an address repeats the term, within the budget of
        a search.
        """
        beginning = term[:LONGEST]
        return self._page(
            TABLE,
            "",
            ("part", term[:FEWEST]),
            key_names=("place",),
            make=lambda row: match_of(KEY.record(row)),
            limit=limit,
            cursor=cursor,
            keep=lambda match: is_first(match, term),
            between=("place", beginning, beginning + LAST),
            narrowed=(term,),
            newest_first=False,
        )

    def payments(self, stripe_id: str, *, limit: int) -> list[str]:
        """The ids of the payments that an id of Stripe's leads to, and no more than `limit`."""
        page = self._page(
            TABLE, "", ("part", stripe_id), key_names=("place",), make=lambda row: str(row["place"]), limit=limit
        )
        return page.items


class SearchKeyWrites(Writes):
    def follow(self, owner: AccountKey, before: Sequence[str], after: Sequence[str]) -> None:
        """Let the account whose key is `owner` be found by the addresses `after`, and by those of `before` no more.

        It belongs into the transaction that writes `searched_by` of the account on the condition that it is `before`
        still: `tx.accounts.change_settings(account, still="searched_by", searched_by=(first, new))` does both. Two
        addresses (the first, which is the key, and the present one) fit into one transaction; the keys of those that
        an account has left stay, until the account is erased. Repeating it changes nothing.
        """
        old, new = (
            {key for address in addresses_to_keep(addresses) for key in keys_of_address(address, owner)}
            for addresses in (before, after)
        )
        for key in sorted(old - new, key=lambda key: key.place):
            self.delete(TABLE, asdict(key), condition=None, failure=Stale)
        self._write(sorted(new - old, key=lambda key: key.place))

    def name_payment(self, before: PaymentRecord | None, after: PaymentRecord) -> None:
        """Let the ids that Stripe has told since `before` lead to the payment."""
        self._write(keys_of_payment(after, before))

    def _write(self, keys: Iterable[SearchKey]) -> None:
        for key in keys:
            self.put(TABLE, KEY.row(key), condition=None, failure=Stale)
