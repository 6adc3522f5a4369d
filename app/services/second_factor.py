"""The second factor: setting one up, proving it, and doing without it by a recovery code."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime

from app.data import Store
from app.data.second_factors import Proof
from app.domain.accounts import Account, Session, mask_email, new_session_id, session_key
from app.domain.errors import NotFound, WrongCode, WrongState
from app.domain.second_factor import (
    digits,
    new_recovery_codes,
    new_totp_secret,
    recovery_hash,
    totp_counter,
    totp_uri,
)

from .account_notices import changed
from .accounts import SignedIn
from .acting import Act
from .passkeys import Passkeys
from .sealing import Sealer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """What a person needs to enter into an authenticator app."""

    secret: str
    uri: str


def prove_code(sealer: Sealer, account: Account, code: object, *, now: datetime) -> Proof:
    """The proof in six digits of the authenticator, or in a recovery code. Raises WrongCode."""
    if six := digits(code):
        secret = sealer.open(account.totp) if account.totp else None
        counter = totp_counter(secret, six, now, account.totp_counter) if secret else None
        if counter is None or account.totp is None:
            raise WrongCode
        return Proof.of_totp(account.totp, counter, sealer.renewed(account.totp))
    hashed = recovery_hash(code)
    if hashed is None or hashed not in account.recovery_codes:
        raise WrongCode
    return Proof.of_recovery_code(hashed)


def finish_sign_in(
    store: Store, account: Account, half: Session, proof: Proof, *, now: datetime, kind: str
) -> SignedIn:
    """Turn the half sign-in into a session of its own id; the proof is used up with it. Raises WrongCode."""
    session_id = new_session_id()
    session = Session(session_key(session_id), kind, now, now, half.label, mfa_at=now)
    account = store.updates.second_factors.finish_sign_in(account, half.key, session, proof, now)
    log.info("signed in", extra={"email": mask_email(account.email), "kind": kind, "second_factor": proof.what})
    return SignedIn(account, session_id)


def prove_session(store: Store, account: Account, key: str, proof: Proof, *, now: datetime) -> None:
    """Prove the second factor in a session that is open already. Raises WrongCode."""
    store.updates.second_factors.prove_session(account, key, proof, now)
    log.info("second factor proven", extra={"email": mask_email(account.email), "second_factor": proof.what})


def begin_totp(store: Store, sealer: Sealer, account: Account) -> None:
    """Make an authenticator's secret; it counts once a first code has come back. Raises WrongState."""
    store.updates.second_factors.put_pending_totp(account, sealer.seal(new_totp_secret()))


def pending_totp(sealer: Sealer, account: Account) -> Authenticator:
    """What is to be entered into the app. Raises NotFound when nothing is being set up."""
    secret = sealer.open(account.totp_pending) if account.totp_pending else None
    if secret is None:
        raise NotFound("No authenticator app is being set up.")
    return Authenticator(secret, totp_uri(secret, account.address))


def enable_totp(store: Store, sealer: Sealer, account: Account, code: object, key: str, *, now: datetime) -> list[str]:
    """Turn the authenticator on; returns the recovery codes if it is the first factor. Raises WrongCode, NotFound.

    The same code sent again, because its answer never came, changes nothing.
    """
    if account.totp_pending is None and _turned_on_by(sealer, account, code, now):
        return []
    secret, six = pending_totp(sealer, account).secret, digits(code)
    counter = totp_counter(secret, six, now, 0) if six else None
    if counter is None:
        raise WrongCode("That code is not right. Check the clock of your phone and try the next one.")
    codes, hashes = _first_codes(account)
    what = "An authenticator app was set up as a second factor."
    changed(store, account, what, now, lambda tx: tx.second_factors.enable_totp(account, counter, hashes, key, now))
    log.info("second factor added", extra={"email": mask_email(account.email), "second_factor": "totp"})
    return codes


def add_passkey(
    store: Store, passkeys: Passkeys, account: Account, credential: str, name: str, key: str, *, now: datetime
) -> list[str]:
    """Keep a passkey; returns the recovery codes if it is the first factor. Raises WrongCode.

    One that is kept already, sent again because its answer never came, changes nothing.
    """
    if passkeys.key_of(credential) in account.passkeys:
        return []
    made = passkeys.verify_registration(account, credential, name, now)
    codes, hashes = _first_codes(account)
    what = f"A passkey was added as a second factor: {made.name}."
    changed(store, account, what, now, lambda tx: tx.second_factors.add_passkey(account, made, hashes, key, now))
    log.info("second factor added", extra={"email": mask_email(account.email), "second_factor": "passkey"})
    return codes


def _turned_on_by(sealer: Sealer, account: Account, code: object, now: datetime) -> bool:
    """Whether this is the code that was used last, of the authenticator that is on."""
    secret, six = sealer.open(account.totp) if account.totp else None, digits(code)
    used = account.totp_counter
    return bool(secret and six and used and totp_counter(secret, six, now, used - 1) == used)


def remove_totp(store: Store, account: Account, *, now: datetime) -> None:
    if account.totp is None:
        raise WrongState("There is no authenticator app to remove.")
    what = "The authenticator app was removed as a second factor."
    changed(store, account, what, now, lambda tx: tx.second_factors.remove_factor(account, last=not account.passkeys))
    log.info("second factor removed", extra={"email": mask_email(account.email), "second_factor": "totp"})


def remove_passkey(store: Store, account: Account, key: str, *, now: datetime) -> None:
    """Raises NotFound."""
    passkey = account.passkeys.get(key)
    if passkey is None:
        raise NotFound("There is no such passkey.")
    last = account.totp is None and len(account.passkeys) == 1
    what = f"A passkey was removed: {passkey.name}."
    changed(store, account, what, now, lambda tx: tx.second_factors.remove_factor(account, passkey=key, last=last))
    log.info("second factor removed", extra={"email": mask_email(account.email), "second_factor": "passkey"})


def remove_all(store: Store, account: Account, *, actor: str, now: datetime) -> None:
    """For a person who has lost every factor and every recovery code: done by hand, and written down."""

    what = "Every second factor was removed by an operator."
    by = Act(actor, "account.reset_second_factor", account.email, now)
    changed(store, account, what, now, lambda tx: tx.second_factors.remove_factor(account, last=True), by)
    log.warning(
        "second factors removed by hand", extra={"email": mask_email(account.email), "actor": mask_email(actor)}
    )


def renew_recovery_codes(store: Store, account: Account, *, now: datetime) -> list[str]:
    """Fresh codes; the earlier ones end. Raises WrongState without a second factor."""
    if not account.has_second_factor:
        raise WrongState("Recovery codes come with a second factor. Set one up first.")
    codes = new_recovery_codes()
    what = "New recovery codes were made; the earlier ones no longer work."
    changed(store, account, what, now, lambda tx: tx.second_factors.replace_recovery_codes(account, _hashes(codes)))
    return codes


def new_challenge(store: Store, account: Account, purpose: str, *, now: datetime) -> bytes:
    """A fresh WebAuthn challenge, good once, for a few minutes and for one purpose."""
    challenge = secrets.token_bytes(32)
    store.updates.second_factors.put_challenge(account, f"{purpose}:{int(now.timestamp())}:{challenge.hex()}")
    return challenge


def _first_codes(account: Account) -> tuple[list[str], list[str]]:
    codes = [] if account.has_second_factor else new_recovery_codes()
    return codes, _hashes(codes)


def _hashes(codes: list[str]) -> list[str]:
    return [hashed for hashed in map(recovery_hash, codes) if hashed]
