"""The first accounts: the first operator of a deployment, and locally a demo customer and a demo operator."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from app.data import Store
from app.domain.accounts import Account, AccountKey, new_account_id, normalise_email
from app.domain.credits import PROMO, LedgerEntry, post
from app.domain.errors import AccountExists, AlreadyRecorded
from app.domain.mails import Mail
from app.telemetry.spans import verb

from .acting import Act, acting, transaction
from .links import SET_PASSWORD, new_nonce
from .passwords import Passwords

CUSTOMER, OPERATOR = "demo@example.com", "operator@example.com"


@verb
def first_operator(store: Store, email: str, *, now: datetime) -> bool:
    """Make the operator that a setting names and promise a link to set a password; False if an account has the address,
    or had it.

    Only ever makes an account: one that is there keeps its role, so a demotion is not undone by the next start. Nor is
    it where an account had gone to this address and freed it by its deletion.
    """
    address = normalise_email(email)
    if store.accounts.is_taken(address) or store.audit.names_address(address):
        return False
    account = Account(AccountKey(address), new_account_id(), now, role="admin", link_nonces={SET_PASSWORD: new_nonce()})
    try:
        act = Act("set-up", "admin.grant", address, now, reason="ADMIN_EMAIL")
        with acting(store, act) as tx:
            tx.accounts.create(account)
            tx.mails.enqueue(Mail(f"{SET_PASSWORD}#{account.account_id}#first", SET_PASSWORD, address, now))
    except AccountExists:
        return False
    return True


@verb
def demo(store: Store, passwords: Passwords, *, password: str | None, now: datetime) -> Iterator[dict[str, str | None]]:
    """Make what is missing. An account that is there already keeps its password, told as null if it is not known."""
    for email, role in ((CUSTOMER, "customer"), (OPERATOR, "admin")):
        chosen = password or secrets.token_urlsafe(12)
        key = AccountKey(email)
        account = Account(email=key, account_id=new_account_id(), created_at=now, confirmed_at=now, role=role)
        account = replace(account, password_hash=passwords.hash(chosen))
        made = Act("demo", "admin.grant", email, now, "Demo data")
        try:
            with transaction(store, made if role == "admin" else None) as tx:
                if role == "customer":
                    gift = LedgerEntry("promo#demo", key, PROMO, 1000, "Demo credits")
                    posted, account = post(account, gift, now)
                    tx.ledger.append_once(posted)
                tx.accounts.create(account)
        except (AccountExists, AlreadyRecorded):
            yield {"role": role, "email": email, "password": password}
            continue
        yield {"role": role, "email": email, "password": chosen}
