"""The device cookie: a browser that has signed in before has a count of its own, apart from a stranger's failures.

https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies. It opens nothing. It is good for
one account (of up to MOST) in the state in which it signed in: with a new password, a first second factor, or everybody
signed out, who collected cookies before has none left. No address is in it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from flask import Response, after_this_request, request
from itsdangerous import BadSignature

from app.domain.accounts import Account
from app.services.signing import TimedSerializer

LIFETIME = timedelta(days=180)
MOST = 5  # accounts that one browser is remembered for


@dataclass(frozen=True, slots=True)
class Entry:
    """`who` and `state` are hashes; `device` is what attempts are counted by."""

    who: str
    state: str
    device: str


class Devices:
    """Signs with the newest secret and reads with each, as the session cookie does."""

    def __init__(self, secrets_newest_first: tuple[str, ...], *, secure: bool) -> None:
        self._serializer = TimedSerializer(list(reversed(secrets_newest_first)), salt="device-cookie")
        self._secure = secure
        self._name = "__Host-device" if secure else "device"

    def any(self) -> bool:
        """Whether this browser has ever signed in here: only then is an account read to see whether it is that one."""
        return bool(self._entries())

    def of(self, account: Account | None) -> str | None:
        """What this browser's attempts at the account are counted by; None for a browser that it does not know."""
        if account is None:
            return None
        known = (_who(account), _state(account))
        return next((entry.device for entry in self._entries() if (entry.who, entry.state) == known), None)

    def remember(self, account: Account) -> None:
        """Set or renew the cookie with this request's answer: `account` has just been signed in to, wholly."""
        entry = Entry(_who(account), _state(account), self.of(account) or secrets.token_urlsafe(12))
        others = [other for other in self._entries() if other.who != entry.who]
        value = self._serializer.dumps([[e.who, e.state, e.device] for e in [entry, *others][:MOST]])

        @after_this_request
        def keep(response: Response) -> Response:
            response.set_cookie(
                self._name, str(value), max_age=LIFETIME, secure=self._secure, httponly=True, samesite="Lax", path="/"
            )
            return response

    def _entries(self) -> list[Entry]:
        try:
            rows = self._serializer.loads(request.cookies.get(self._name, ""), max_age=int(LIFETIME.total_seconds()))
            return [Entry(*map(str, row)) for row in rows][:MOST]
        except (BadSignature, TypeError, ValueError):
            return []


def _who(account: Account) -> str:
    return _hash("device", account.account_id)


def _state(account: Account) -> str:
    """`session_version` rises with a new password, "sign out everywhere", disabling and deleting."""
    return _hash("device-state", account.account_id, account.session_version, account.life, account.has_second_factor)


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:20]
