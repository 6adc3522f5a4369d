"""Links in mails: signed, timed, and bound to the account's state, so that using or renewing one kills it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from itsdangerous import BadSignature

from app.domain.accounts import Account
from app.domain.errors import LinkExpired

from .signing import TimedSerializer

CONFIRM, SET_PASSWORD, RESET = "confirm", "set_password", "reset"
LIFETIMES = {CONFIRM: timedelta(days=7), SET_PASSWORD: timedelta(days=7), RESET: timedelta(hours=1)}
UNSUBSCRIBE = "unsubscribe"
PATHS = {CONFIRM: "/confirm/", SET_PASSWORD: "/set-password/", RESET: "/reset/"}


class Links:
    """Makes and reads the tokens. The account keeps one random nonce for each purpose; without it a link is dead."""

    def __init__(self, secrets_newest_first: tuple[str, ...], app_url: str) -> None:
        self._keys = list(reversed(secrets_newest_first))  # itsdangerous signs with the last
        self._app_url = app_url

    def url(self, account: Account, purpose: str) -> str | None:
        """The link for a mail, or None when the account has none of this purpose (used, or never asked for)."""
        nonce = account.link_nonces.get(purpose)
        if nonce is None:
            return None
        return self._app_url + PATHS[purpose] + self._serializer(purpose).dumps([account.email, nonce])

    def email_of(self, token: str, purpose: str) -> tuple[str, str]:
        """The address and nonce in a token. Raises LinkExpired if it is forged or too old."""
        try:
            value = self._serializer(purpose).loads(token, max_age=int(LIFETIMES[purpose].total_seconds()))
        except BadSignature as error:
            raise LinkExpired from error
        email, nonce = value
        return email, nonce

    def unsubscribe_url(self, account_id: str, kind: str) -> str:
        """Ends one kind of mail and does nothing else: it works as long as the mail is kept. No address is in it."""
        return f"{self._app_url}/unsubscribe/{self._serializer(UNSUBSCRIBE).dumps([account_id, kind])}"

    def read_unsubscribe(self, token: str) -> tuple[str, str]:
        """The account's id and the kind of mail. Raises LinkExpired if it is forged."""
        try:
            account_id, kind = self._serializer(UNSUBSCRIBE).loads(token)
        except BadSignature as error:
            raise LinkExpired from error
        return account_id, kind

    def _serializer(self, purpose: str) -> TimedSerializer:
        return TimedSerializer(self._keys, salt=f"link:{purpose}")


def check_nonce(account: Account | None, purpose: str, nonce: str) -> Account:
    if account is None or not secrets.compare_digest(account.link_nonces.get(purpose, ""), nonce):
        raise LinkExpired
    return account


def new_nonce() -> str:
    return secrets.token_urlsafe(16)
