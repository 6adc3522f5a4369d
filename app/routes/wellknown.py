"""What robots and finders of holes look for at fixed addresses."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.web import deps
from app.web.guards import public

bp = Blueprint("wellknown", __name__)

PROJECT = "security@impacteragi.com"


@bp.get("/robots.txt")
@public
def robots() -> ResponseReturnValue:
    return _text(
        "User-agent: *\nAllow: /$\nAllow: /contact$\nAllow: /docs$\nAllow: /terms$\nAllow: /privacy$\nDisallow: /\n"
    )


@bp.get("/.well-known/security.txt")
@public
def security() -> ResponseReturnValue:
    """https://www.rfc-editor.org/rfc/rfc9116: how to report a hole: to who runs this, else to who made it."""
    contact = deps.config().support_email or PROJECT
    expires = (utcnow() + timedelta(days=180)).replace(hour=0, minute=0, second=0, microsecond=0)
    return _text(
        f"Contact: mailto:{contact}\n"
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}\n"
        "Preferred-Languages: en\n"
        f"Canonical: {deps.config().app_url}/.well-known/security.txt\n"
    )


def _text(body: str) -> Response:
    return Response(body, mimetype="text/plain")
