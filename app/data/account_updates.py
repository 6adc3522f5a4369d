"""Single writes into rows of the Users table: one UpdateItem each, outside any transaction."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any, Unpack

from app.domain.accounts import Account, Session, Settings
from app.domain.clock import to_iso
from app.domain.errors import BadCredentials, LinkExpired, NotSignedIn

from .account_rows import (
    ACCOUNT,
    SESSION,
)
from .client import Stale
from .lives import Life, LifeUpdates

SESSIONS_END = {"version": 1, "session_version": 1}


def password_set(
    account: Account, password_hash: str, used: tuple[str, ...], nonce: tuple[str, str], now: datetime, **more: Any
) -> dict[str, Any]:
    """The write by which a mailed link sets a password; who proves the mailbox has a deleted account again."""
    purpose, expected = nonce
    return {
        "set": {
            "password_hash": password_hash,
            "sessions": {key: SESSION.row(session) for key, session in account.sessions.items()},
            "confirmed_at": to_iso(account.confirmed_at or now),
            "deleted_at": None,
            "address_change": None,
            "api_keys": None,  # whoever knew the password before may have made one
            "webhooks": None,  # whoever made them may not have been who reads the mailbox
            **more,
        },
        "remove": [f"link_nonces.{name}" for name in used],
        "add": SESSIONS_END,
        "condition": f"#link_nonces.#{purpose} = :nonce AND attribute_not_exists(disabled_at)",
        "failure": LinkExpired,
        "nonce": expected,
    }


class AccountUpdates(LifeUpdates):
    def add_session(self, account: Account, session: Session, now: datetime, **settings: Unpack[Settings]) -> Account:
        """Sign in: add a session, drop what no longer fits, and set `settings` (a rehashed password) with it.

        Raises BadCredentials if the password that was checked has been replaced or ended meanwhile.
        """
        row = self._update_account(
            Life.of(account),
            set={f"sessions.{session.key}": SESSION.row(session)} | ACCOUNT.attributes(settings),
            remove=[f"sessions.{key}" for key in account.sessions_to_drop(session.kind, now)],
            condition="#password_hash = :checked AND attribute_not_exists(disabled_at)",
            failure=BadCredentials,
            checked=account.password_hash,
        )
        return ACCOUNT.record(row)

    def touch_session(self, account: Account, session: Session, now: datetime) -> None:
        self._update_account(
            Life.of(account),
            set={f"sessions.{session.key}.seen_at": to_iso(now)},
            condition=f"attribute_exists(#sessions.#{session.key})",
            failure=NotSignedIn,
        )

    def end_sessions(self, account: Account, *, end_keys: bool = False) -> None:
        """Every browser and program is signed out, with `end_keys` those that come with an API key, too.
        So are webhooks then ended.

        Safe to repeat, and when the account is deleted meanwhile.
        """
        keys = ["api_keys", "webhooks"] if end_keys else []
        with suppress(Stale):  # a life that has ended has no session left
            self._update_account(Life.of(account), set={"sessions": {}}, remove=keys, add=SESSIONS_END)

    def remove_session(self, account: Account, key: str) -> None:
        """One is signed out. Safe to repeat, and when the account is deleted meanwhile."""
        with suppress(Stale):
            self._update_account(Life.of(account), remove=[f"sessions.{key}"])

    def set_password(
        self, account: Account, password_hash: str, *, used: tuple[str, ...], nonce: tuple[str, str], now: datetime
    ) -> None:
        """Store a password, keep only `account.sessions`, kill the links in `used`. Raises LinkExpired on a race.

        Not for one that was deleted, which comes back: see `AccountWrites.come_back`.
        """
        self._update_account(Life.of(account), **password_set(account, password_hash, used, nonce, now))

    def confirm_address(self, account: Account, nonce: tuple[str, str], now: datetime) -> None:
        """Raises LinkExpired on a race."""
        purpose, expected = nonce
        self._update_account(
            Life.of(account),
            set={"confirmed_at": to_iso(now)},
            remove=[f"link_nonces.{purpose}"],
            add={"version": 1},
            condition=f"#link_nonces.#{purpose} = :nonce",
            failure=LinkExpired,
            nonce=expected,
        )

    def told_stripe(self, account: Account) -> None:
        """Stripe has the address that was read; one that came since is told by itself."""
        read: dict[str, Any] = {}
        same = "attribute_not_exists(present_address)"
        if account.present_address:
            same, read = "#present_address = :told", {"told": account.present_address}
        with suppress(Stale):
            self._update_account(Life.of(account), set={"stripe_behind": None}, condition=same, **read)

    def change(self, account: Account, *, visible: bool = True, **settings: Unpack[Settings]) -> Account:
        """Set attributes (None removes one). `visible` changes bump the version that polls compare.

        Raises NotSignedIn when the account was deleted meanwhile.
        """
        return ACCOUNT.record(
            self._update_account(
                Life.of(account),
                set=ACCOUNT.attributes(settings),
                add={"version": 1} if visible else None,
                failure=NotSignedIn,
            )
        )
