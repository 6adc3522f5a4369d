"""Alias rows: whose an address is that is no account's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .accounts import AccountKey, Address, Session, new_account_id


@dataclass(frozen=True, slots=True)
class Alias:
    """A row of the Users table under an address that an account has, or had, beside its first one.

    `email` and `alias_of` are all that it says. The rest is for the release before this one, which runs beside it or
    comes back, and takes any row of the table for an account: it finds one that is whole (so that it adopts nothing),
    disabled and without a password (so that nobody signs in and no link is mailed), and that no write of its own fits,
    as each asks for no attribute `life` where it has read none: it credits nothing there, and Stripe tells it again.
    """

    email: Address
    alias_of: AccountKey
    created_at: datetime
    disabled_at: datetime
    account_id: str = field(default_factory=new_account_id)  # leads nowhere; the index of ids wants one
    credits_balance: int = 0
    ledger_sequence: int = 0
    life: int = 0
    role: str = "customer"
    sessions: Mapping[str, Session] = field(default_factory=dict)
    link_nonces: Mapping[str, str] = field(default_factory=dict)
    searched_by: tuple[str, ...] = ()


def alias_of(address: Address, key: AccountKey, now: datetime) -> Alias:
    return Alias(address, key, now, now)
