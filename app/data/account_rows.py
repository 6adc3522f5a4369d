"""An account as a row of the Users table, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from app.domain.accounts import NOT_ADOPTED, Account, AddressChange, LinkMails, Passkey, Session
from app.domain.aliases import Alias
from app.domain.clock import from_iso, to_iso
from app.domain.marks import NewId, Pretence

from .base import Base
from .codec import whole
from .records import Codec
from .tables import USERS

TABLE = USERS.suffix
WHOLE_ROW = {"account_id", "sessions", "link_nonces", "ledger_sequence"}  # without these it is from the original
LINKS, PURPOSES = ("link_mailed", "link_mails"), ("confirm", "set_password", "reset", "address")


def no_link_key(email: str) -> dict[str, str]:
    return {"key": f"no-link#{hashlib.sha256(email.encode()).hexdigest()}"}


def new_id_key(account_id: str) -> dict[str, str]:
    return {"key": f"account#{account_id}"}


def is_alias(row: Mapping[str, Any]) -> bool:
    """Whether the row says whose an address is, and is no account."""
    return "alias_of" in row


def adopted(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """The row with what every later write builds on: one of the original product gets it when it is first read."""
    if row.keys() >= WHOLE_ROW or base.adopter is None:
        return row
    return base.adopter.account(base, row)


def link_mail_attributes(mails: Mapping[str, LinkMails]) -> dict[str, Any]:
    """Two for each purpose, not a map: both are set where there was no link before."""
    moments = {f"link_mailed_{purpose}": to_iso(one.last_at) for purpose, one in mails.items() if one.last_at}
    return moments | {f"link_mails_{purpose}": one.in_a_row for purpose, one in mails.items() if one.last_at}


def _otherwise(row: Mapping[str, Any]) -> dict[str, Any]:
    """Lenient on what is absent: rows of the original product hold only the attributes of the original."""
    return {
        "account_id": row.get("account_id", ""),
        "credits_balance": whole(row.get("credits_balance")) or 0,
        "link_mails": {
            purpose: LinkMails(from_iso(row[f"link_mailed_{purpose}"]), row.get(f"link_mails_{purpose}", 1))
            for purpose in PURPOSES
            if f"link_mailed_{purpose}" in row
        },
        "unexplained": _unexplained(row),
    }


def _unexplained(row: Mapping[str, Any]) -> str | None:
    balance, ours = row.get("credits_balance"), "ledger_sequence" in row
    if whole(balance) is None or (ours and not isinstance(balance, int)):
        return f"its balance cannot be read: {balance}"
    return None if ours else NOT_ADOPTED


NEW_ID, PRETENCE = Codec(NewId), Codec(Pretence)
# What the release before this one asks of an account it finds in an alias row, too: see Alias.
ALIAS = Codec(Alias, always={field.name for field in fields(Alias)})
SESSION = Codec(Session, but={"key"})
PASSKEY = Codec(Passkey, but={"key"})
CHANGE = Codec(AddressChange)
ACCOUNT = Codec(
    Account,
    # Paths lead into the maps, and counters are compared: they are there from the beginning.
    always={
        *("credits_balance", "ledger_sequence", "version", "open_tasks", "sessions", "link_nonces", "spend_by_day"),
        *("role", "theme", "low_balance_threshold"),
    },
    but={"link_mails", "unexplained"},
    inner=(SESSION, PASSKEY, CHANGE),
    beside=lambda account: link_mail_attributes(account.link_mails),
    otherwise=_otherwise,
)
