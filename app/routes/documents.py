"""What programmers read: the OpenAPI document of the JSON API."""

from __future__ import annotations

from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue

from app.web import deps
from app.web.call import call
from app.web.guards import public
from app.web.openapi import document

bp = Blueprint("documents", __name__)


@bp.get("/api/openapi.json")
@public
@call("openapi", "This document", tag="machinery", answers={200: {}})
def openapi() -> ResponseReturnValue:
    response = jsonify(document(current_app, deps.config().app_url))
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response
