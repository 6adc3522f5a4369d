"""Is this process able to serve? For load balancers and the container's health check."""

from __future__ import annotations

from flask import Blueprint

from app import deps
from app.domain.errors import StoreUnavailable
from app.security import public

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@public
def check():
    try:
        problems = deps.store().problems()
    except StoreUnavailable:
        problems = ["the store cannot be reached"]
    if problems:
        return {"status": "unavailable", "problems": problems}, 503, {"Retry-After": "5"}
    return {"status": "ok"}
