"""Passkeys: the WebAuthn ceremonies, through the webauthn library. https://www.w3.org/TR/webauthn-3/"""

from __future__ import annotations

import hashlib
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.data.second_factors import Proof
from app.domain.accounts import Account, Passkey
from app.domain.errors import WrongCode
from app.domain.second_factor import ISSUER, MAX_PASSKEY_NAME
from app.domain.text import one_line, storable

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

MAX_CREDENTIAL = 20_000  # characters of the browser's answer
CHALLENGE_SECONDS = 300
REGISTER, ASSERT = "register", "assert"

# The library is imported where it is used: it reads a tenth as much as all else of the app does at its start, and most
# processes never meet a passkey.


class Passkeys:
    """Bound to our public address: a passkey made here answers nowhere else, which is what defeats phishing."""

    def __init__(self, app_url: str) -> None:
        self._origin = app_url
        self._host = urlsplit(app_url).hostname or ""

    @property
    def available(self) -> bool:
        """Browsers give passkeys to host names only, not to addresses like 127.0.0.1."""
        try:
            ip_address(self._host)
        except ValueError:
            return True
        return False

    def registration_options(self, account: Account, challenge: bytes) -> str:
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers.structs import (
            AuthenticatorSelectionCriteria,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        return options_to_json(
            generate_registration_options(
                rp_id=self._host,
                rp_name=ISSUER,
                user_id=account.account_id.encode(),
                user_name=account.address,
                challenge=challenge,
                exclude_credentials=_descriptors(account),
                authenticator_selection=AuthenticatorSelectionCriteria(
                    resident_key=ResidentKeyRequirement.DISCOURAGED,
                    user_verification=UserVerificationRequirement.PREFERRED,
                ),
            )
        )

    def authentication_options(self, account: Account, challenge: bytes) -> str:
        from webauthn import generate_authentication_options, options_to_json

        return options_to_json(
            generate_authentication_options(
                rp_id=self._host, challenge=challenge, allow_credentials=_descriptors(account)
            )
        )

    def verify_registration(self, account: Account, credential: str, name: str, now: datetime) -> Passkey:
        """Raises WrongCode."""
        from webauthn import verify_registration_response
        from webauthn.helpers import bytes_to_base64url

        try:
            verified = verify_registration_response(
                credential=_checked(credential),
                expected_challenge=_challenge_of(account, REGISTER, now),
                expected_rp_id=self._host,
                expected_origin=self._origin,
            )
        except _unacceptable() as error:
            raise WrongCode("That passkey could not be added. Try again.") from error
        credential_id = bytes_to_base64url(verified.credential_id)
        return Passkey(
            key=passkey_key(credential_id),
            credential_id=credential_id,
            public_key=bytes_to_base64url(verified.credential_public_key),
            sign_count=verified.sign_count,
            name=one_line(storable(name, "name"))[:MAX_PASSKEY_NAME] or "Passkey",
            created_at=now,
        )

    def verify_assertion(self, account: Account, credential: str, now: datetime) -> Proof:
        """The proof in an assertion by one of the account's passkeys. Raises WrongCode."""
        from webauthn import base64url_to_bytes, verify_authentication_response
        from webauthn.helpers import bytes_to_base64url, parse_authentication_credential_json

        challenge = _challenge_of(account, ASSERT, now)
        try:
            given = parse_authentication_credential_json(_checked(credential))
            passkey = account.passkeys[passkey_key(bytes_to_base64url(given.raw_id))]
            verified = verify_authentication_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=base64url_to_bytes(passkey.public_key),
                credential_current_sign_count=passkey.sign_count,
            )
        except _unacceptable() as error:
            raise WrongCode("That passkey was not accepted. Try again.") from error
        return Proof.of_passkey(account.challenge, passkey.key, verified.new_sign_count, now)

    @staticmethod
    def key_of(credential: str) -> str | None:
        """The key that a credential is or would be kept under, whether it is right or not; None when it is none."""
        from webauthn.helpers import bytes_to_base64url, parse_registration_credential_json

        try:
            return passkey_key(bytes_to_base64url(parse_registration_credential_json(_checked(credential)).raw_id))
        except _unacceptable(WrongCode):
            return None


def _unacceptable(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Whatever the library may raise for an answer that somebody made up."""
    from webauthn.helpers.exceptions import WebAuthnException

    return WebAuthnException, ValueError, KeyError, TypeError, RecursionError, *more


def passkey_key(credential_id: str) -> str:
    return hashlib.sha256(credential_id.encode()).hexdigest()[:32]


def _challenge_of(account: Account, purpose: str, now: datetime) -> bytes:
    """The challenge that is out for this very purpose: one for proving must not serve to add a passkey."""
    made_for, at, challenge = (account.challenge or "none:0:").split(":")
    if made_for != purpose or now.timestamp() - int(at) > CHALLENGE_SECONDS:
        raise WrongCode("That took too long. Try again.")
    return bytes.fromhex(challenge)


def _checked(credential: str) -> str:
    if not isinstance(credential, str) or len(credential) > MAX_CREDENTIAL:
        raise WrongCode
    return credential


def _descriptors(account: Account) -> list[PublicKeyCredentialDescriptor]:
    from webauthn import base64url_to_bytes
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(id=base64url_to_bytes(passkey.credential_id))
        for passkey in account.passkeys.values()
    ]
