"""Links in mails: signed, timed, and bound to the account's state, so that using or renewing one kills it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from itsdangerous import BadSignature

from app.domain.accounts import CHANGE_LIFETIME, Account, AccountKey, Address
from app.domain.errors import LinkExpired

from .signing import TimedSerializer

CONFIRM, SET_PASSWORD, RESET = "confirm", "set_password", "reset"
LIFETIMES = {CONFIRM: timedelta(days=7), SET_PASSWORD: timedelta(days=7), RESET: timedelta(hours=1)}
UNSUBSCRIBE = "unsubscribe"
AGREE, REFUSE = "address", "address-refuse"
PATHS = {
    CONFIRM: "/confirm/",
    SET_PASSWORD: "/set-password/",
    RESET: "/reset/",
    AGREE: "/address/agree/",
    REFUSE: "/address/refuse/",
}


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

    def email_of(self, token: str, purpose: str) -> tuple[AccountKey, str]:
        """The account's key and the nonce in a token. Raises LinkExpired if it is forged or too old."""
        try:
            value = self._serializer(purpose).loads(token, max_age=int(LIFETIMES[purpose].total_seconds()))
        except BadSignature as error:
            raise LinkExpired from error
        email, nonce = value
        return email, nonce

    def change_url(self, account: Account, nonce: str, to: Address, *, refuse: bool = False) -> str:
        """To agree to a change of the address, or to refuse it. No first address is in it: it may go to a stranger."""
        purpose = REFUSE if refuse else AGREE
        return self._app_url + PATHS[purpose] + self._serializer(purpose).dumps([account.account_id, nonce, to])

    def read_change(self, token: str, *, refuse: bool = False) -> tuple[str, str, Address]:
        """The account's id, a nonce, and the address that is asked for. Raises LinkExpired if forged or too old."""
        purpose = REFUSE if refuse else AGREE
        try:
            account_id, nonce, to = self._serializer(purpose).loads(token, max_age=int(CHANGE_LIFETIME.total_seconds()))
        except BadSignature as error:
            raise LinkExpired from error
        return account_id, nonce, to

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
