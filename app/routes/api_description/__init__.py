"""GET /api/openapi.json: the whole JSON API as an OpenAPI 3.1 document.

`calls.py` names every call, `schemas.py` the bodies that they share, `parts.py` what both are written with. The limits
are the constants that the app itself checks by, so the document cannot fall behind them.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.web import deps
from app.web.etags import described
from app.web.guards import public

from .calls import PATHS
from .parts import HEADERS, SECURITY_SCHEMES, TAGS
from .schemas import SCHEMAS

bp = Blueprint("api_description", __name__)

DESCRIPTION = """\
The same services as the pages, for programs. Bodies are JSON in UTF-8; times are UTC, ISO 8601 with microseconds.
Fields that nobody asked for are ignored, and answers may grow new fields.

Every refusal has a plain sentence in `error` and a stable word for programs in `code`. A 503 has charged nothing, but
for `store_uncertain`, which is safe to repeat with the same Idempotency-Key. Any call may be answered with 503."""


@bp.get("/api/openapi.json")
@public
def show() -> ResponseReturnValue:
    response = jsonify(document(deps.config().app_url))
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def document(app_url: str) -> dict[str, Any]:
    """The document, with `app_url` as the server's address."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "ImpacterAGI Customer Dashboard", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": app_url}],
        "tags": TAGS,
        "paths": described(PATHS),
        "components": {"schemas": SCHEMAS, "headers": HEADERS, "securitySchemes": SECURITY_SCHEMES},
    }
