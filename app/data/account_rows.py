"""An account as a row of the Users table, and back."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from app.domain.accounts import DEFAULT_LOW_BALANCE, NOT_ADOPTED, Account, LinkMails, Passkey, Session
from app.domain.clock import from_iso, to_iso

from .base import Base
from .codec import whole
from .tables import USERS

TABLE = USERS.suffix
WHOLE_ROW = {"account_id", "sessions", "link_nonces", "ledger_sequence"}  # without these it is from the original
LINKS, PURPOSES = ("link_mailed", "link_mails"), ("confirm", "set_password", "reset")


def no_link_key(email: str) -> dict[str, str]:
    return {"key": f"no-link#{hashlib.sha256(email.encode()).hexdigest()}"}


def new_id_key(account_id: str) -> dict[str, str]:
    return {"key": f"account#{account_id}"}


def completed(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """The row with what every later write builds on: one of the original product gets it when it is first read."""
    if row.keys() >= WHOLE_ROW or base.adopter is None:
        return row
    return base.adopter.account(base, row)


def plain(value: Any) -> Any:
    return to_iso(value) if isinstance(value, datetime) else value


def session_row(session: Session) -> dict[str, Any]:
    return {
        "kind": session.kind,
        "created_at": to_iso(session.created_at),
        "seen_at": to_iso(session.seen_at),
        "label": session.label,
        **({"mfa_at": to_iso(session.mfa_at)} if session.mfa_at else {}),
    }


def account_row(account: Account) -> dict[str, Any]:
    return {
        "email": account.email,
        "account_id": account.account_id,
        "created_at": to_iso(account.created_at),
        "credits_balance": account.credits_balance,
        "ledger_sequence": account.ledger_sequence,
        "last_entry_at": plain(account.last_entry_at),
        "last_happened_at": plain(account.last_happened_at),
        "ahead_since": plain(account.ahead_since),
        "version": account.version,
        "open_tasks": account.open_tasks,
        "password_hash": account.password_hash,
        "sessions": {key: session_row(session) for key, session in account.sessions.items()},
        "role": account.role,
        "confirmed_at": plain(account.confirmed_at),
        "disabled_at": plain(account.disabled_at),
        "stripe_customer_id": account.stripe_customer_id,
        "spend_by_day": dict(account.spend_by_day),
        "link_nonces": dict(account.link_nonces),
        "low_balance_threshold": account.low_balance_threshold,
        "theme": account.theme,
        "totp": account.totp,
        "totp_counter": account.totp_counter or None,
    }


def account_from_row(row: dict[str, Any]) -> Account:
    """Lenient on what is absent: rows of the original product hold only the attributes of the original."""
    sessions = {
        key: Session(
            key,
            s["kind"],
            from_iso(s["created_at"]),
            from_iso(s["seen_at"]),
            s.get("label", ""),
            moment_of(s.get("mfa_at")),
        )
        for key, s in row.get("sessions", {}).items()
    }
    return Account(
        email=row["email"],
        account_id=row.get("account_id", ""),
        created_at=from_iso(row["created_at"]),
        credits_balance=whole(row.get("credits_balance")) or 0,
        ledger_sequence=row.get("ledger_sequence", 0),
        last_entry_at=moment_of(row.get("last_entry_at")),
        last_happened_at=moment_of(row.get("last_happened_at")),
        ahead_since=moment_of(row.get("ahead_since")),
        version=row.get("version", 0),
        open_tasks=row.get("open_tasks", 0),
        password_hash=row.get("password_hash"),
        sessions=sessions,
        session_version=row.get("session_version", 0),
        role=row.get("role", "customer"),
        confirmed_at=moment_of(row.get("confirmed_at")),
        disabled_at=moment_of(row.get("disabled_at")),
        frozen_at=moment_of(row.get("frozen_at")),
        stripe_customer_id=row.get("stripe_customer_id"),
        spend_by_day=row.get("spend_by_day", {}),
        submit_window=row.get("submit_window", ""),
        submits_in_window=row.get("submits_in_window", 0),
        link_nonces=row.get("link_nonces", {}),
        link_mails={
            purpose: LinkMails(from_iso(row[f"link_mailed_{purpose}"]), row.get(f"link_mails_{purpose}", 1))
            for purpose in PURPOSES
            if f"link_mailed_{purpose}" in row
        },
        low_since=moment_of(row.get("low_since")),
        low_mailed_at=moment_of(row.get("low_mailed_at")),
        low_balance_threshold=row.get("low_balance_threshold", DEFAULT_LOW_BALANCE),
        theme=row.get("theme", "system"),
        shortcuts=row.get("shortcuts", True),
        draft=row.get("draft", ""),
        unsent=bool(row.get("unsent")),
        recent_marks=row.get("recent_marks", ""),
        deleted_at=moment_of(row.get("deleted_at")),
        life=row.get("life", 0),
        totp=row.get("totp"),
        totp_pending=row.get("totp_pending"),
        totp_counter=row.get("totp_counter", 0),
        recovery_codes=frozenset(row.get("recovery_codes", {})),
        passkeys={key: _passkey(key, values) for key, values in row.get("passkeys", {}).items()},
        by_hand_on=row.get("by_hand_on", ""),
        by_hand=row.get("by_hand", 0),
        challenge=row.get("challenge"),
        unexplained=_unexplained(row),
    )


def _unexplained(row: dict[str, Any]) -> str | None:
    balance, ours = row.get("credits_balance"), "ledger_sequence" in row
    if whole(balance) is None or (ours and not isinstance(balance, int)):
        return f"its balance cannot be read: {balance}"
    return None if ours else NOT_ADOPTED


def _passkey(key: str, row: dict[str, Any]) -> Passkey:
    return Passkey(
        key=key,
        credential_id=row["credential_id"],
        public_key=row["public_key"],
        sign_count=row["sign_count"],
        name=row["name"],
        created_at=from_iso(row["created_at"]),
        used_at=moment_of(row.get("used_at")),
    )


def moment_of(text: str | None) -> datetime | None:
    return from_iso(text) if text else None
