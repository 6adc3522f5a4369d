"""The JWT of a program: HS256 only, and good only while the session that it names is alive at the server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jwt

from app.domain.accounts import API_TOKEN_LIFETIME
from app.domain.errors import NotSignedIn

ALGORITHM = "HS256"
ISSUER, AUDIENCE, TYPE = "impacteragi-dashboard", "impacteragi-api", "access"
LEEWAY_SECONDS = 10  # between the clocks of two machines: a token is not refused for being issued in a moment
CLAIMS = ["iss", "aud", "exp", "iat", "jti", "sub", "typ"]


class Tokens:
    """Signs with the newest secret and accepts each of the list, so that a secret can be rolled."""

    def __init__(self, secrets: tuple[str, ...]):
        self._secrets = secrets

    def issue(self, email: str, session_id: str, now: datetime) -> str:
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

    def read(self, token: str) -> tuple[str, str]:
        """The e-mail and session id in a token. Raises NotSignedIn whatever is wrong with it."""
        for secret in self._secrets:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    secret,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    leeway=LEEWAY_SECONDS,
                    options={"require": CLAIMS},
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
                raise NotSignedIn from error
            if claims["typ"] != TYPE or not isinstance(claims["sub"], str) or not isinstance(claims["jti"], str):
                raise NotSignedIn
            return claims["sub"], claims["jti"]
        raise NotSignedIn
