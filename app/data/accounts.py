"""Reads of the Users table: an account by its key (`find`), by its present address (`find_at`), by any that it has or
had (`find_holder`). Alias rows lie in the same table, and no read here takes one for an account.

A whole address is one read; any part of one is found in SearchKeys (search_keys.py). `search` is for the command line
and for a list of all: the table has no order to search by, so it walks it, at most SCAN_BUDGET rows for a page, which
then says where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from app.domain.accounts import Account, AccountKey, Address, LinkMails
from app.domain.clock import from_iso
from app.domain.errors import BadCursor, NotFound
from app.domain.paging import Page, read_cursor, write_cursor

from .account_rows import (
    ACCOUNT,
    ALIAS,
    NEW_ID,
    PRETENCE,
    TABLE,
    adopted,
    is_alias,
    new_id_key,
    no_link_key,
)
from .base import WHOLE, Base, Part, fits_a_key, in_parts
from .client import Stale, call
from .codec import decode_item, encode_item
from .tables import ACCOUNT_INDEX, CUSTOMER_INDEX, RATE_LIMITS
from .transaction import optimistic

NO_ALIAS = "attribute_not_exists(alias_of)"
# What the release before this one leaves in a tombstone, as it knows of no other address.
UNKNOWN_LEFT = (
    "(attribute_exists(deleted_at) AND"
    " (attribute_exists(present_address) OR attribute_exists(left_addresses) OR attribute_exists(address_change)))"
)
SCAN_CHUNK = 500
SCAN_BUDGET = 2_000
Result = TypeVar("Result")
MAX_EMAIL_BYTES = 1_000  # well above any address, well below what a key may hold


def at(address: Address, account: Account | None) -> Account | None:
    """The account, if it is reached at this address now."""
    return account if account and account.address == address and not account.moved_away else None


def _may_be_a_key(name: str) -> bool:
    return 0 < len(name.encode(errors="replace")) <= MAX_EMAIL_BYTES


def _key_in(row: Mapping[str, Any] | None) -> AccountKey | None:
    """The key that an alias row holds."""
    return ALIAS.record(row).alias_of if row and is_alias(row) else None


class AccountReads(Base):
    def find(self, email: AccountKey, *, late: bool = False) -> Account | None:
        """By its key, whatever its address is now. `late`: as it was a moment ago may do, for half the units."""
        return self._account_of(self._get(TABLE, {"email": email}, consistent=not late))

    def get(self, email: AccountKey) -> Account:
        """Raises NotFound."""
        account = self.find(email)
        if account is None:
            raise NotFound("There is no account with this e-mail address.")
        return account

    def find_at(self, address: Address, *, alike: bool = False) -> Account | None:
        """The account that is reached at this address now; None where it has left it.

        `alike`: as many calls whatever is found, so that the time of the answer tells nothing.
        """
        return at(address, self.find_holder(address, alike=alike))

    def find_holder(self, address: Address, *, alike: bool = False) -> Account | None:
        """The account that has this address, or had it."""
        row = self._get(TABLE, {"email": address})
        if alike or (row and is_alias(row)):
            return self.find(_key_in(row) or AccountKey(address))
        return self._account_of(row)

    def is_taken(self, address: Address) -> bool:
        """Whether anything stands under this address, which is left as it is: a row of the original, too."""
        return self._get(TABLE, {"email": address}) is not None

    def get_holder(self, address: Address) -> Account:
        """Raises NotFound."""
        account = self.find_holder(address)
        if account is None:
            raise NotFound("There is no account with this e-mail address.")
        return account

    def find_email_by_customer(self, customer_id: str) -> AccountKey | None:
        return self._email_in_index(CUSTOMER_INDEX, "stripe_customer_id", customer_id)

    def find_or_pretence(self, address: Address) -> tuple[Account | None, LinkMails]:
        """The account that is reached there, and for an address without one the links that it would have been mailed:
        two calls, whatever there is.
        """
        row, pretence = self._get_many([(TABLE, {"email": address}), (RATE_LIMITS.suffix, no_link_key(address))])
        account = at(address, self.find(_key_in(row) or AccountKey(address)))
        mailed = PRETENCE.record(pretence or {})
        return account, LinkMails(mailed.mailed_at, mailed.mails)

    def find_by_id(self, account_id: str) -> Account | None:
        """The account that has this id now. An index lags: until it knows a new id, a row beside it does."""
        places: tuple[Callable[[], AccountKey | None], ...] = (
            lambda: self._email_in_index(ACCOUNT_INDEX, "account_id", account_id),
            lambda: self._email_of_new(account_id),
        )
        for find in places:
            email = find()
            account = self.find(email) if email else None
            if account and account.account_id == account_id:
                return account
        return None

    def get_by_id(self, account_id: str) -> Account:
        """Raises NotFound."""
        account = self.find_by_id(account_id)
        if account is None:
            raise NotFound("There is no such account.")
        return account

    def ids_of(self, emails: Iterable[AccountKey]) -> dict[AccountKey, str]:
        """The id of each of these keys that is an account's: one call for up to 100, so that a page can link them.

        A row of the original product gets its id by being read.
        """
        return {row["email"]: row["account_id"] for row in self._rows_of(emails) if "account_id" in row}

    def find_many(self, emails: Iterable[AccountKey]) -> dict[AccountKey, Account]:
        """The accounts of these keys; those that have none are left out. Read as `ids_of`."""
        return {row["email"]: ACCOUNT.record(row) for row in self._rows_of(emails)}

    def find_holders(self, addresses: Iterable[Address]) -> dict[Address, Account]:
        """The accounts that have these addresses, or had them: one call for up to 100, and another for aliases."""
        keys = {address: AccountKey(address) for address in addresses}
        for some in in_parts(sorted(filter(_may_be_a_key, keys))):
            for row in self._get_many([(TABLE, {"email": address}) for address in some]):
                if key := _key_in(row):
                    keys[ALIAS.record(row or {}).email] = key
        found = self.find_many(keys.values())
        return {address: found[key] for address, key in keys.items() if key in found}

    def _rows_of(self, emails: Iterable[AccountKey]) -> Iterator[dict[str, Any]]:
        wanted = sorted(set(filter(_may_be_a_key, emails)))
        for some in in_parts(wanted):
            rows = self._get_many([(TABLE, {"email": email}) for email in some])
            yield from (row if "account_id" in row else adopted(self, row) for row in rows if row and not is_alias(row))

    def _account_of(self, row: dict[str, Any] | None) -> Account | None:
        return ACCOUNT.record(adopted(self, row)) if row and not is_alias(row) else None

    def _email_in_index(self, index: str, name: str, value: str) -> AccountKey | None:
        answer = call(
            self.client,
            "query",
            TableName=self.prefix + TABLE,
            IndexName=index,
            KeyConditionExpression="#name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"S": value}},
            Limit=1,
        )
        return AccountKey(answer["Items"][0]["email"]["S"]) if answer["Items"] else None

    def _email_of_new(self, account_id: str) -> AccountKey | None:
        row = self._get(RATE_LIMITS.suffix, new_id_key(account_id))
        return NEW_ID.record(row).email if row else None

    def every(self, part: Part = WHOLE) -> Iterator[Account]:
        """A scan: for the command line and the nightly check only."""
        return map(ACCOUNT.record, self._scan(TABLE, NO_ALIAS, part=part))

    def decide(self, account: Account, attempt: Callable[[Account], Result]) -> Result:
        """Run `attempt` on the account, again on its newest state whenever it changed meanwhile."""

        def reread(stale: Stale) -> Account:
            # The failed condition of the account's own row hands back the row as it is now.
            if stale.item and stale.item.get("email") == account.email and "credits_balance" in stale.item:
                return ACCOUNT.record(stale.item)
            return self.get(account.email)

        return optimistic(account.email, attempt, account, reread)

    def search(self, beginning: str, *, limit: int, cursor: str | None = None) -> Page[Account]:
        """Accounts whose address begins so, in no order. A page may be short and still have a next one.

        The cursor holds the address that the next page starts after.
        """
        of = ("accounts", beginning)
        (after,) = read_cursor(cursor, 1, of) if cursor else (None,)
        if cursor and not fits_a_key(after):
            raise BadCursor
        found: list[Account] = []
        start = encode_item({"email": after}) if after else None
        chunk = SCAN_CHUNK if beginning else limit + 1
        looked_at = 0
        while True:
            request: dict[str, Any] = {"TableName": self.prefix + TABLE, "Limit": chunk, "FilterExpression": NO_ALIAS}
            if beginning:
                request["FilterExpression"] = f"begins_with(email, :beginning) AND {NO_ALIAS}"
                request["ExpressionAttributeValues"] = encode_item({":beginning": beginning})
            if start:
                request["ExclusiveStartKey"] = start
            answer = call(self.client, "scan", **request)
            found += [ACCOUNT.record(decode_item(item)) for item in answer["Items"]]
            looked_at += chunk
            start = answer.get("LastEvaluatedKey")
            if len(found) > limit:
                return Page(found[:limit], write_cursor([found[limit - 1].email], of))
            if start is None:
                return Page(found)
            if looked_at >= SCAN_BUDGET:
                return Page(found, write_cursor([decode_item(start)["email"]], of))

    def every_to_erase(self) -> Iterator[tuple[AccountKey, datetime]]:
        """A scan: addresses of accounts that were deleted and are not erased to the end, and when they were deleted.

        Among them those that another release has erased as far as it knew.
        """
        rows = self._scan(TABLE, f"attribute_exists(erasure_due) OR {UNKNOWN_LEFT}", consistent=False)
        return ((row["email"], from_iso(row.get("erasure_due") or row["deleted_at"])) for row in rows)
