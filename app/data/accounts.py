"""Reads of the Users table.

A whole address is one read; any part of one is found in SearchKeys (search_keys.py). `search` is for the command line
and for a list of all: the table has no order to search by, so it walks it, at most SCAN_BUDGET rows for a page, which
then says where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from app.domain.accounts import Account, LinkMails
from app.domain.clock import from_iso
from app.domain.errors import BadCursor, NotFound
from app.domain.paging import Page

from .account_rows import (
    ACCOUNT,
    NEW_ID,
    PRETENCE,
    TABLE,
    adopted,
    new_id_key,
    no_link_key,
)
from .base import Base, in_parts
from .client import Stale, call
from .codec import decode_item, encode_item
from .tables import ACCOUNT_INDEX, CUSTOMER_INDEX, RATE_LIMITS
from .transaction import optimistic

SCAN_CHUNK = 500
SCAN_BUDGET = 2_000
Result = TypeVar("Result")
MAX_EMAIL_BYTES = 1_000  # well above any address, well below what a key may hold


class AccountReads(Base):
    def find(self, email: str) -> Account | None:
        row = self._get(TABLE, {"email": email})
        return ACCOUNT.record(adopted(self, row)) if row else None

    def get(self, email: str) -> Account:
        """Raises NotFound."""
        account = self.find(email)
        if account is None:
            raise NotFound("There is no account with this e-mail address.")
        return account

    def find_email_by_customer(self, customer_id: str) -> str | None:
        return self._email_in_index(CUSTOMER_INDEX, "stripe_customer_id", customer_id)

    def find_or_pretence(self, email: str) -> tuple[Account | None, LinkMails]:
        """The account, and for an address without one the links that it would have been mailed: one call for both."""
        row, pretence = self._get_many([(TABLE, {"email": email}), (RATE_LIMITS.suffix, no_link_key(email))])
        account = ACCOUNT.record(adopted(self, row)) if row else None
        mailed = PRETENCE.record(pretence or {})
        return account, LinkMails(mailed.mailed_at, mailed.mails)

    def find_by_id(self, account_id: str) -> Account | None:
        """The account that has this id now. An index lags: until it knows a new id, a row beside it does."""
        places: tuple[Callable[[], str | None], ...] = (
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

    def ids_of(self, emails: Iterable[str]) -> dict[str, str]:
        """The id of each of these addresses that has an account: one call for up to 100, so that a page can link them.

        A row of the original product gets its id by being read.
        """
        return {row["email"]: row["account_id"] for row in self._rows_of(emails) if "account_id" in row}

    def find_many(self, emails: Iterable[str]) -> dict[str, Account]:
        """The accounts of these addresses, by their address; those that have none are left out. Read as `ids_of`."""
        return {row["email"]: ACCOUNT.record(row) for row in self._rows_of(emails)}

    def _rows_of(self, emails: Iterable[str]) -> Iterator[dict[str, Any]]:
        wanted = sorted({email for email in emails if 0 < len(email.encode(errors="replace")) <= MAX_EMAIL_BYTES})
        for some in in_parts(wanted):
            rows = self._get_many([(TABLE, {"email": email}) for email in some])
            yield from (row if "account_id" in row else adopted(self, row) for row in rows if row)

    def _email_in_index(self, index: str, name: str, value: str) -> str | None:
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
        return answer["Items"][0]["email"]["S"] if answer["Items"] else None

    def _email_of_new(self, account_id: str) -> str | None:
        row = self._get(RATE_LIMITS.suffix, new_id_key(account_id))
        return NEW_ID.record(row).email if row else None

    def every(self) -> Iterator[Account]:
        """A scan: for the command line and the nightly check only."""
        return map(ACCOUNT.record, self._scan(TABLE))

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

        The cursor is the address that the next page starts after.
        """
        if cursor and len(cursor.encode()) > MAX_EMAIL_BYTES:
            raise BadCursor
        found: list[Account] = []
        start = encode_item({"email": cursor}) if cursor else None
        chunk = SCAN_CHUNK if beginning else limit + 1
        looked_at = 0
        while True:
            request: dict[str, Any] = {"TableName": self.prefix + TABLE, "Limit": chunk}
            if beginning:
                request["FilterExpression"] = "begins_with(email, :beginning)"
                request["ExpressionAttributeValues"] = encode_item({":beginning": beginning})
            if start:
                request["ExclusiveStartKey"] = start
            answer = call(self.client, "scan", **request)
            found += [ACCOUNT.record(decode_item(item)) for item in answer["Items"]]
            looked_at += chunk
            start = answer.get("LastEvaluatedKey")
            if len(found) > limit:
                return Page(found[:limit], found[limit - 1].email)
            if start is None:
                return Page(found)
            if looked_at >= SCAN_BUDGET:
                return Page(found, decode_item(start)["email"])

    def every_to_erase(self) -> Iterator[tuple[str, datetime]]:
        """A scan: addresses of accounts that were deleted and are not erased to the end, and when they were deleted."""
        rows = self._scan(TABLE, "attribute_exists(erasure_due)", consistent=False)
        return ((row["email"], from_iso(row["erasure_due"])) for row in rows)
