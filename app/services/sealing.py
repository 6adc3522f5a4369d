"""Sealing what must be read again but not by a thief of the table: authenticators' secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Sealer:
    """Seals with the newest secret and opens with each of the list. Dropping one makes what it sealed unreadable."""

    def __init__(self, secrets_newest_first: tuple[str, ...]) -> None:
        self._fernet = MultiFernet([Fernet(_key(secret)) for secret in secrets_newest_first])

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """None when the secret that sealed it is gone."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None

    def renewed(self, sealed: str) -> str:
        """The same under the newest secret, so that older ones can be dropped one day."""
        return self._fernet.rotate(sealed.encode()).decode()


def _key(secret: str) -> bytes:
    return base64.urlsafe_b64encode(hmac.new(secret.encode(), b"second-factor", hashlib.sha256).digest())
