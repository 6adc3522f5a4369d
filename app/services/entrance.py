"""Signing in and up behind the limits: browsers and programs take the same way, and it is told where they come from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from app.data import Store
from app.domain.accounts import API, Account, normalise_email, session_key
from app.domain.errors import (
    AccountExists,
    BadCredentials,
    DomainError,
    InvalidInput,
    RateLimited,
    SecondFactorMissing,
)
from app.domain.second_factor import digits, proven_since

from . import accounts, second_factor
from .accounts import SignedIn
from .passwords import Passwords
from .sealing import Sealer
from .throttle import FORGOT_BY_ADDRESS, FORGOT_BY_DEVICE, Throttle, network_of

Device = Callable[[Account | None], str | None]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who knocks: by what kind of session, from which address, called what in the list of sessions.

    `device` says what attempts of this browser at an account are counted by. It is None for a program, and for a
    browser that has never signed in here: then no account is read to find out.
    """

    kind: str
    address: str
    label: str
    device: Device | None = None

    def known_as(self, account: Account | None) -> str | None:
        return self.device(account) if self.device else None


class Entrance:
    """The door of an installation. Every method raises RateLimited; those that sign in fail closed."""

    def __init__(self, store: Store, passwords: Passwords, throttle: Throttle, sealer: Sealer) -> None:
        self._store = store
        self._passwords = passwords
        self._throttle = throttle
        self._sealer = sealer

    def sign_in(self, email: object, password: object, caller: Caller, *, now: datetime) -> SignedIn:
        """Open a session, or half of one: see `accounts.sign_in`. Raises BadCredentials."""
        try:
            account: str = normalise_email(email)
        except InvalidInput:
            account = "invalid"
        with self._throttle.sign_in(account, caller.address, self._device(email, caller)):
            return accounts.sign_in(
                self._store, self._passwords, email, password, now=now, kind=caller.kind, label=caller.label
            )

    def sign_in_again(self, email: str, password: object, caller: Caller, *, now: datetime) -> SignedIn | None:
        """The sign-in of who repeats what has set this password, because the answer never came.

        Whoever has the password may sign in by it: this opens no other door, and the same limits guard it.
        """
        try:
            return self.sign_in(email, password, caller, now=now)
        except (BadCredentials, RateLimited):
            return None

    def sign_up(self, email: object, password: object, caller: Caller, *, now: datetime) -> SignedIn:
        """Make an account: see `accounts.sign_up`. Who signs up once more with the same password is signed in.

        Raises AccountExists and InvalidInput.
        """
        self._throttle.hit(self._throttle.signup_by_address, "sign-up", network_of(caller.address))
        try:
            return accounts.sign_up(
                self._store, self._passwords, email, password, now=now, kind=caller.kind, label=caller.label
            )
        except AccountExists:
            again = self.sign_in_again(str(email), password, caller, now=now)
            if again is None:
                raise
            if again.half and caller.kind == API:  # a program is asked for its code where it signs in
                accounts.sign_out(self._store, again.account, again.session_id)
                raise
            return again

    def attempt(
        self, account: Account, code: object, caller: Caller, *, credential: str = ""
    ) -> AbstractContextManager[None]:
        """The limit that an attempt at the second factor falls under: the guard is for what can be guessed."""
        device = caller.known_as(account)
        if credential or digits(code) is None:
            return self._throttle.unguessable(caller.address, device)
        since = proven_since(account.password_hash, account.recovery_codes)
        return self._throttle.second_factor(account.email, since, device)

    def finish_with_code(self, signed_in: SignedIn, code: object, caller: Caller, *, now: datetime) -> SignedIn:
        """The second step for a program, in the same call as the first. Raises SecondFactorMissing, WrongCode.

        The half session ends when the step fails.
        """
        account = signed_in.account
        half = account.sessions[session_key(signed_in.session_id)]
        try:
            if code is None:
                raise SecondFactorMissing
            with self.attempt(account, code, caller):
                proof = second_factor.prove_code(self._sealer, account, code, now=now)
                return second_factor.finish_sign_in(self._store, account, half, proof, now=now, kind=API)
        except DomainError:
            self._store.updates.accounts.remove_session(account, half.key)
            raise

    def ask_for_link(self, email: object, caller: Caller, *, now: datetime) -> None:
        """Mail a link to set the password: see `accounts.ask_for_link`. Says nothing about the account."""
        if device := self._device(email, caller):
            self._throttle.hit(FORGOT_BY_DEVICE, "forgot-device", device)
        else:
            self._throttle.hit(FORGOT_BY_ADDRESS, "forgot", network_of(caller.address))
        accounts.ask_for_link(self._store, email, now=now)

    def _device(self, email: object, caller: Caller) -> str | None:
        if caller.device is None:
            return None
        try:
            return caller.device(self._store.accounts.find_at(normalise_email(email), alike=True))
        except InvalidInput:
            return None
