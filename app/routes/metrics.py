"""What Prometheus reads of this server, whichever of its workers it meets."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.errors import NotFound
from app.services import measurements
from app.telemetry import scrape
from app.telemetry.switch import switch
from app.web import deps
from app.web.guards import public

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
@public
def show() -> ResponseReturnValue:
    """Raises NotFound where no token is set: nobody learns that there could be one."""
    expected = deps.config().metrics_token
    if not expected or switch.cells is None:
        raise NotFound
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), expected.encode()):
        return Response("", 401, {"WWW-Authenticate": 'Bearer realm="metrics"'}, mimetype="text/plain")
    text = scrape.text(switch.cells, measurements.readings(deps.store(), utcnow()))
    return Response(text, content_type=scrape.CONTENT_TYPE)
