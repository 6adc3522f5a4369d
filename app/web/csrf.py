"""Forms that no other site can send: Flask-WTF's tokens, and new ones for pages that stayed open."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Flask, Response, current_app, g, request, session
from flask_wtf.csrf import CSRFProtect, generate_csrf, validate_csrf
from itsdangerous import Serializer, URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode
from wtforms import ValidationError

from app.web.fragments import is_fragment_request
from app.web.guards import opened_by_another

csrf = CSRFProtect()

TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 # nosec B105 - a name: how an open page gets a token that fits


def register(app: Flask) -> None:
    app.config.update(
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_HEADERS=["X-CSRFToken"],
    )
    csrf.init_app(app)
    app.after_request(renew_token)


def token() -> str:
    """The token of this page, as Flask-WTF's `generate_csrf` makes it and `validate_csrf` takes it, for a third of the
    work: its serializer is made once a process, and random digits are not compressed, which never made them shorter.
    """
    if "csrf_token" not in g and isinstance(session.get("csrf_token"), str):
        g.csrf_token = _serializer(current_app.config["SECRET_KEY"]).dumps(session["csrf_token"])
    made: str = g.csrf_token if "csrf_token" in g else generate_csrf()
    return made


class _AsItIs(URLSafeTimedSerializer):
    def dump_payload(self, obj: Any) -> bytes:
        return base64_encode(Serializer.dump_payload(self, obj))


@lru_cache(maxsize=4)
def _serializer(secret: str) -> URLSafeTimedSerializer:
    return _AsItIs(secret, salt="wtf-csrf-token")


def renew_token(response: Response) -> Response:
    """An open page whose session was renewed in another tab gets, with the next answer, a token that fits."""
    sent = request.headers.get("X-CSRFToken")
    if not sent or not g.get("account") or _has_just_fitted(sent):
        return response
    if is_fragment_request() and not opened_by_another(g.account):
        try:
            validate_csrf(sent)
        except ValidationError:
            response.headers[TOKEN_HEADER] = token()
    return response


def _has_just_fitted(sent: str) -> bool:
    """Whether it is the token that let this form in, and the session is still the one that it belongs to."""
    return "csrf_valid" in g and not session.modified and request.form.get("csrf_token") == sent
