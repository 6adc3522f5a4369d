"""A demo customer and a demo operator, so that a newcomer can sign in at once. Never in production."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from app.data import Store
from app.domain.accounts import Account, new_account_id
from app.domain.credits import PROMO, LedgerEntry, post
from app.domain.errors import AccountExists, AlreadyRecorded

from .passwords import Passwords

CUSTOMER, OPERATOR = "demo@example.com", "operator@example.com"


def demo(store: Store, passwords: Passwords, *, password: str | None, now: datetime) -> Iterator[dict[str, str | None]]:
    """Make what is missing. An account that is there already keeps its password, told as null if it is not known."""
    for email, role in ((CUSTOMER, "customer"), (OPERATOR, "admin")):
        chosen = password or secrets.token_urlsafe(12)
        account = Account(email=email, account_id=new_account_id(), created_at=now, confirmed_at=now, role=role)
        account = replace(account, password_hash=passwords.hash(chosen))
        try:
            with store.transaction() as tx:
                if role == "customer":
                    gift = LedgerEntry("promo#demo", email, PROMO, 1000, "Demo credits")
                    posted, account = post(account, gift, now)
                    tx.record_once(posted)
                tx.create_account(account)
        except (AccountExists, AlreadyRecorded):
            yield {"role": role, "email": email, "password": password}
            continue
        yield {"role": role, "email": email, "password": chosen}
