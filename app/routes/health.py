"""Is this process able to serve? For load balancers and the container's health check."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.domain.clock_reading import OFF, UNKNOWN
from app.domain.errors import StoreUnavailable
from app.services.clock_check import sentence
from app.web import deps
from app.web.guards import public

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@public
def check() -> ResponseReturnValue:
    """503 when a table is missing or the store is out of reach.

    A wrong clock is a word beside the 200: pages work, Stripe repeats for three days what was refused, and a new
    process on the same machine would have the same clock.
    """
    clock = None
    try:
        clock = deps.get().clock.check(deps.store())
        found = deps.store().table_differences()
        problems = [str(difference) for difference in found if difference.breaks]
        warnings = [str(difference) for difference in found if not difference.breaks]
    except StoreUnavailable:
        problems, warnings = ["the store cannot be reached"], []
    state = clock.state if clock else UNKNOWN
    answer: dict[str, Any] = {"status": "degraded" if state == OFF else "ok", "clock": state}
    if warnings := [*filter(None, [sentence(clock)]), *warnings]:
        answer["warnings"] = warnings
    if problems:
        return answer | {"status": "unavailable", "problems": problems}, 503, {"Retry-After": "5"}
    return answer
