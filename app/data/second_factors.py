"""Access patterns of what an account proves itself with beside its password: attributes of the Users table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.accounts import Account, Passkey, Session
from app.domain.clock import to_iso
from app.domain.errors import NotSignedIn, WrongCode, WrongState

from .account_rows import ACCOUNT, PASSKEY, SESSION
from .lives import Life, LifeUpdates, LifeWrites


@dataclass(frozen=True, slots=True)
class Proof:
    """A code or assertion that was right, and the write that uses it up: `condition` fails for whoever comes second."""

    what: str
    condition: str
    params: Mapping[str, Any] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()

    @classmethod
    def of_totp(cls, totp: str, counter: int, renewed: str) -> Proof:
        """A code of the authenticator `totp` at a time step later than any before; it is kept as `renewed`."""
        return cls(
            "totp",
            condition="#totp = :totp AND (attribute_not_exists(totp_counter) OR totp_counter < :counter)",
            params={"counter": counter, "totp": totp},
            set={"totp_counter": counter, "totp": renewed},
        )

    @classmethod
    def of_recovery_code(cls, hashed: str) -> Proof:
        condition = f"attribute_exists(#recovery_codes.#{hashed})"
        return cls("recovery code", condition=condition, remove=(f"recovery_codes.{hashed}",))

    @classmethod
    def of_passkey(cls, challenge: str | None, key: str, sign_count: int, now: datetime) -> Proof:
        """An assertion that answers `challenge`."""
        return cls(
            "passkey",
            condition="#challenge = :challenge",
            params={"challenge": challenge},
            set={f"passkeys.{key}.sign_count": sign_count, f"passkeys.{key}.used_at": to_iso(now)},
            remove=("challenge",),
        )


MAX_PASSKEYS = 10


class SecondFactorUpdates(LifeUpdates):
    def finish_sign_in(self, account: Account, half_key: str, session: Session, proof: Proof, now: datetime) -> Account:
        """Use up the proof and make the half sign-in a session, in one write. Raises WrongCode."""
        return ACCOUNT.record(
            self._update_account(
                Life.of(account),
                set={f"sessions.{session.key}": SESSION.row(session), **proof.set},
                remove=[
                    *(
                        key
                        for key in (f"sessions.{k}" for k in account.sessions_to_drop(session.kind, now))
                        if key != f"sessions.{half_key}"
                    ),
                    f"sessions.{half_key}",
                    *proof.remove,
                ],
                condition=f"attribute_exists(#sessions.#{half_key}) AND attribute_not_exists(disabled_at) "
                f"AND {proof.condition}",
                failure=WrongCode,
                **proof.params,
            )
        )

    def prove_session(self, account: Account, key: str, proof: Proof, now: datetime) -> None:
        """Use up the proof and mark a session that is open already. Raises WrongCode."""
        self._update_account(
            Life.of(account),
            set={f"sessions.{key}.mfa_at": to_iso(now), **proof.set},
            remove=proof.remove,
            condition=f"attribute_exists(#sessions.#{key}) AND {proof.condition}",
            failure=WrongCode,
            **proof.params,
        )

    def put_challenge(self, account: Account, challenge: str) -> None:
        """Remember the WebAuthn challenge that is out; a newer one replaces it."""
        condition = "attribute_not_exists(disabled_at)"
        self._update_account(Life.of(account), set={"challenge": challenge}, condition=condition, failure=NotSignedIn)

    def put_pending_totp(self, account: Account, sealed: str) -> None:
        """Remember an authenticator's secret until a first code proves that it arrived. Raises WrongState."""
        self._update_account(
            Life.of(account),
            set={"totp_pending": sealed},
            condition="attribute_not_exists(totp)",
            failure=WrongState,
        )


class SecondFactorWrites(LifeWrites):
    def enable_totp(
        self, account: Account, counter: int, codes: Iterable[str], session_key: str, now: datetime
    ) -> None:
        """Make the pending authenticator count, with fresh recovery codes if there were none. Raises WrongCode."""
        self.update_account(
            Life.of(account),
            set={
                "totp": account.totp_pending,
                "totp_pending": None,
                "totp_counter": counter,
                f"sessions.{session_key}.mfa_at": to_iso(now),
                **_codes(codes),
            },
            add={"version": 1},
            condition=f"#totp_pending = :pending AND attribute_exists(#sessions.#{session_key})",
            failure=WrongCode,
            pending=account.totp_pending,
        )

    def add_passkey(
        self, account: Account, passkey: Passkey, codes: Iterable[str], session_key: str, now: datetime
    ) -> None:
        """Keep a credential, with fresh recovery codes if there were none. Raises WrongCode: a challenge works once."""
        values = PASSKEY.row(passkey)
        # The first one makes the map: a path into what is not there cannot be set.
        kept = {f"passkeys.{passkey.key}": values} if account.passkeys else {"passkeys": {passkey.key: values}}
        params: dict[str, Any] = {"challenge": account.challenge}
        others = "attribute_not_exists(#passkeys)"
        if account.passkeys:
            others = "size(#passkeys) < :most"
            params["most"] = MAX_PASSKEYS
        self.update_account(
            Life.of(account),
            set={**kept, "challenge": None, f"sessions.{session_key}.mfa_at": to_iso(now), **_codes(codes)},
            add={"version": 1},
            condition=f"#challenge = :challenge AND attribute_exists(#sessions.#{session_key}) AND ({others})",
            failure=WrongCode,
            **params,
        )

    def remove_factor(self, account: Account, *, passkey: str = "", last: bool) -> None:
        """Take the authenticator (or one passkey) away; with the `last` factor the recovery codes go, too."""
        gone = [f"passkeys.{passkey}"] if passkey else ["totp", "totp_pending", "totp_counter"]
        if last:
            gone = ["totp", "totp_pending", "totp_counter", "passkeys", "recovery_codes", "challenge"]
        elif passkey and len(account.passkeys) == 1:
            gone = ["passkeys"]
        self.update_account(
            Life.of(account),
            remove=gone,
            add={"version": 1},
            condition="#version = :version",
            version=account.version,
        )

    def replace_recovery_codes(self, account: Account, codes: Iterable[str]) -> None:
        condition = "attribute_exists(totp) OR attribute_exists(passkeys)"
        self.update_account(Life.of(account), set=_codes(codes), add={"version": 1}, condition=condition)


def _codes(hashes: Iterable[str]) -> dict[str, Any]:
    made = dict.fromkeys(hashes, True)
    return {"recovery_codes": made} if made else {}
