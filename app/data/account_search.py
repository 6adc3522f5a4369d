"""Finding accounts by the beginning of their address, for operators.

The Users table has no order to search by, so this walks it: at most SCAN_BUDGET rows for a page, which then says where
it stopped. An index of all addresses under one key would cost each sign-up a write to a hot key, for a search that
people do by hand; a whole address is one read.
"""

from __future__ import annotations

from typing import Any

from app.domain.accounts import Account
from app.domain.errors import BadCursor

from .accounts import MAX_EMAIL_BYTES, account_from_row
from .base import Base, Page
from .client import call
from .codec import decode_item, encode_item
from .tables import USERS

TABLE = USERS.suffix
SCAN_CHUNK = 500
SCAN_BUDGET = 2_000


class AccountSearch(Base):
    def search_accounts(self, beginning: str, *, limit: int, cursor: str | None = None) -> Page[Account]:
        """Accounts whose address begins so, in no order. A page may be short and still have a next one.

        The cursor is the address that the next page starts after.
        """
        if cursor and len(cursor.encode()) > MAX_EMAIL_BYTES:
            raise BadCursor
        found: list[Account] = []
        start = encode_item({"email": cursor}) if cursor else None
        looked_at = 0
        while True:
            request: dict[str, Any] = {"TableName": self.prefix + TABLE, "Limit": SCAN_CHUNK}
            if beginning:
                request["FilterExpression"] = "begins_with(email, :beginning)"
                request["ExpressionAttributeValues"] = encode_item({":beginning": beginning})
            if start:
                request["ExclusiveStartKey"] = start
            answer = call(self.client, "scan", **request)
            found += [account_from_row(decode_item(item)) for item in answer["Items"]]
            looked_at += SCAN_CHUNK
            start = answer.get("LastEvaluatedKey")
            if len(found) > limit:
                return Page(found[:limit], found[limit - 1].email)
            if start is None:
                return Page(found)
            if looked_at >= SCAN_BUDGET:
                return Page(found, decode_item(start)["email"])
