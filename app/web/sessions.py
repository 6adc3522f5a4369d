"""A browser's session: its signed cookie, how it begins, and what a list of sessions calls it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from flask import Flask, g, request, session, url_for
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeTimedSerializer

from app.domain.accounts import ABSOLUTE_LIFETIME, BROWSER, Account, session_key
from app.domain.clock import utcnow
from app.services.accounts import SignedIn
from app.services.entrance import Caller
from app.services.signing import Signer, derive_key
from app.web import deps

if TYPE_CHECKING:
    from app.config import Config

BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrom", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows")),
    *(("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)


def register(app: Flask, config: Config) -> None:
    keys = [derive_key(secret, "session-cookie") for secret in config.jwt_secrets]
    app.config.update(
        SECRET_KEY=keys[0],
        SECRET_KEY_FALLBACKS=keys[1:],
        SESSION_COOKIE_NAME="__Host-session" if config.is_production else "session",
        SESSION_COOKIE_SECURE=config.is_production,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=ABSOLUTE_LIFETIME["customer"],
    )
    app.session_interface = SessionCookies()


class SessionCookies(SecureCookieSessionInterface):
    """Flask's, dated by the clock that dates the sessions themselves."""

    _serializer: URLSafeTimedSerializer | None = None  # every request reads one, and the secrets stay

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        if self._serializer is None:
            self._serializer = super().get_signing_serializer(app)
            if self._serializer is not None:
                self._serializer.signer = Signer
        return self._serializer

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        return utcnow() + app.permanent_session_lifetime if session.permanent else None


def start_browser_session(signed_in: SignedIn) -> None:
    """A new session at each sign-in; what an earlier visitor of this browser had is dropped."""
    kept = {name: session[name] for name in ("next", "confirm", "agree") if name in session}
    session.clear()
    session.permanent = True
    session["email"] = signed_in.account.email
    session["half" if signed_in.half else "sid"] = signed_in.session_id
    session.update(kept)
    if not signed_in.half:
        deps.get().devices.remember(signed_in.account)


def first_page(account: Account) -> str:
    """Where a sign-in leads that has nowhere to go back to: operators to their queue, customers to their dashboard."""
    return url_for("admin.index" if account.is_operator else "dashboard.show")


def current_session_key() -> str:
    return session_key(g.session_id)


def caller(kind: str = BROWSER) -> Caller:
    """Who this request comes from, for the limits and the list of sessions. A program has no device cookie."""
    devices = deps.get().devices
    device = devices.of if kind == BROWSER and devices.any() else None
    return Caller(kind, request.remote_addr or "", client_label(), device)


def client_label() -> str:
    """What the list of sessions calls this browser or program: words of ours where they are known."""
    agent = request.user_agent.string
    browser = next((name for mark, name in BROWSERS if mark in agent), None)
    system = next((name for mark, name in SYSTEMS if mark in agent), None)
    if browser:
        return f"{browser} on {system}" if system else browser
    return re.sub(r"[^A-Za-z0-9 ._/-]", "", agent)[:40].strip() or "Unknown"
