"""Forms that no other site can send: Flask-WTF's tokens, and new ones for pages that stayed open."""

from __future__ import annotations

from flask import Flask, Response, g, request, session
from flask_wtf.csrf import CSRFProtect, generate_csrf, validate_csrf
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


def renew_token(response: Response) -> Response:
    """An open page whose session was renewed in another tab gets, with the next answer, a token that fits."""
    token = request.headers.get("X-CSRFToken")
    if not token or not g.get("account") or _has_just_fitted(token):
        return response
    if is_fragment_request() and not opened_by_another(g.account):
        try:
            validate_csrf(token)
        except ValidationError:
            response.headers[TOKEN_HEADER] = generate_csrf()
    return response


def _has_just_fitted(token: str) -> bool:
    """Whether it is the token that let this form in, and the session is still the one that it belongs to."""
    return "csrf_valid" in g and not session.modified and request.form.get("csrf_token") == token
