"""Whose a request is, by what it proves itself: before the store is asked, and for nothing but its place in a line.

A session that has ended, or a key, still names its account here; nobody is let in by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from itsdangerous import BadSignature
from werkzeug.http import parse_cookie

from app.domain.api_keys import BEGINNING, key_id_of
from app.domain.errors import NotSignedIn
from app.services.throttle import network_of
from app.services.tokens import Tokens

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MOST_KEYS = 10_000


class KeyOwners:
    """Whose the API keys are that this worker has let in. A key proves nothing by itself: anybody can make up many."""

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._owners: dict[str, str] = {}
        self._most = most

    def note(self, key_id: str, email: str) -> None:
        if key_id not in self._owners and len(self._owners) >= self._most:
            self._owners.clear()
        self._owners[key_id] = email

    def of(self, key_id: str) -> str | None:
        return self._owners.get(key_id)


class Whose:
    """The e-mail address of the account that a request names and proves, else the network that it comes from."""

    def __init__(self, app: Flask, tokens: Tokens, keys: KeyOwners) -> None:
        self._app = app
        self._tokens = tokens
        self._keys = keys

    def __call__(self, environ: WSGIEnvironment) -> str:
        if environ.get("PATH_INFO", "").startswith("/api/"):
            found = self._of_bearer(bearer(environ.get("HTTP_AUTHORIZATION", "")))
        else:
            found = self._of_cookie(environ)
        return found or network_of(environ.get("REMOTE_ADDR", ""))

    def _of_bearer(self, token: str) -> str | None:
        if not token or token.startswith(BEGINNING):
            return self._keys.of(key_id_of(token)) if token else None
        try:
            return self._tokens.read(token)[0]
        except NotSignedIn:
            return None

    def _of_cookie(self, environ: WSGIEnvironment) -> str | None:
        cookie = parse_cookie(environ).get(self._app.config["SESSION_COOKIE_NAME"])
        signed = self._app.session_interface.get_signing_serializer(self._app)  # type: ignore[attr-defined]
        if not cookie or signed is None:
            return None
        try:
            session = signed.loads(cookie, max_age=int(self._app.permanent_session_lifetime.total_seconds()))
        except BadSignature:
            return None
        email = session.get("email")
        return email if isinstance(email, str) and ("sid" in session or "half" in session) else None


def bearer(header: str) -> str:
    """The token in an Authorization header, or nothing."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
