"""The JWT of a program: HS256 only, and good only while the session that it names is alive at the server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jwt

from app.domain.accounts import API_TOKEN_LIFETIME, AccountKey
from app.domain.clock import utcnow
from app.domain.errors import NotSignedIn

ALGORITHM = "HS256"
ISSUER, AUDIENCE, TYPE = "impacteragi-dashboard", "impacteragi-api", "access"
LEEWAY_SECONDS = 10  # between the clocks of two machines: a token is not refused for being issued in a moment
CLAIMS = ["iss", "aud", "exp", "iat", "jti", "sub", "typ"]


class Tokens:
    """Signs with the newest secret and accepts each of the list, so that a secret can be rolled."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def issue(self, email: AccountKey, session_id: str, now: datetime) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": TYPE,
            "sub": email,
            "jti": session_id,
            "iat": now,
            "exp": now + API_TOKEN_LIFETIME,
        }
        return jwt.encode(claims, self._secrets[0], algorithm=ALGORITHM)

    def read(self, token: str) -> tuple[AccountKey, str]:
        """The account's key and session id in a token. Raises NotSignedIn whatever is wrong with it."""
        for secret in self._secrets:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    secret,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    options={"require": CLAIMS, "verify_exp": False, "verify_iat": False},
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
                raise NotSignedIn from error
            typed = isinstance(claims["sub"], str) and isinstance(claims["jti"], str)
            if claims["typ"] != TYPE or not typed or not _is_of_now(claims["iat"], claims["exp"]):
                raise NotSignedIn
            return AccountKey(claims["sub"]), claims["jti"]
        raise NotSignedIn


def _is_of_now(issued_at: object, expires_at: object) -> bool:
    """By the clock that dates what is stored, which need not be this machine's: PyJWT knows no other."""
    if type(issued_at) is not int or type(expires_at) is not int:
        return False
    now = utcnow().timestamp()
    return issued_at <= now + LEEWAY_SECONDS and expires_at > now - LEEWAY_SECONDS
