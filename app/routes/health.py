"""Is this process alive, is it ready, is all well? Three questions, because each has another consequence.

A process that is not alive is replaced (`/livez`), one that is not ready gets no requests (`/readyz`): neither asks
what a new process would find just the same. A person or a monitor asks whether all is well (`/healthz`).
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.domain.clock_reading import OFF, UNKNOWN
from app.domain.errors import NotFound, StoreUnavailable
from app.services.clock_check import sentence
from app.services.doctor import LOOK_HEADER
from app.services.release import Looks, deployment, proxies_seen, release
from app.web import deps, edge
from app.web.guards import public
from app.web.server_state import KEY, ServerState

bp = Blueprint("health", __name__)

OUT_OF_REACH = "the store cannot be reached"


@bp.get("/livez")
@public
def alive() -> ResponseReturnValue:
    """Nothing but that this process answers: an outage of the store would have all of them replaced, over and over."""
    return {"status": "ok"}


@bp.get("/readyz")
@public
def ready() -> ResponseReturnValue:
    """503 until the tables were found right once, so that a release with a wrong setting is taken back, and again while
    this server drains. In between an outage of the store is answered by pages in words, which a balancer has none of;
    a worker that is started again then is as ready as the others of its server.
    """
    state: ServerState = request.environ.get(KEY) or deps.get().server_state
    if state.is_draining:
        return {"status": "stopping"}, 503
    if not state.tables_seen:
        try:
            problems, _ = _differences()
        except StoreUnavailable:
            problems = [OUT_OF_REACH]
        if problems:
            return {"status": "starting", "problems": problems}, 503, {"Retry-After": "5"}
        state.note_tables()
    return {"status": "ok"}


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
        problems, warnings = _differences()
    except StoreUnavailable:
        problems, warnings = [OUT_OF_REACH], []
    state = clock.state if clock else UNKNOWN
    answer: dict[str, Any] = {"status": "degraded" if state == OFF else "ok", "clock": state}
    if warnings := [*filter(None, [sentence(clock)]), *warnings]:
        answer["warnings"] = warnings
    if problems:
        return answer | {"status": "unavailable", "problems": problems}, 503, {"Retry-After": "5"}
    return answer


@bp.get("/healthz/as-seen")
@public
def as_seen() -> ResponseReturnValue:
    """How a request came that the doctor has sent from outside: whom it has reached, over how many proxies.

    Raises NotFound for whoever has no proof of our own secret.
    """
    config = deps.config()
    if not Looks(config.jwt_secrets).is_ours(request.headers.get(LOOK_HEADER, "")):
        raise NotFound
    forwarded_for = request.environ.get("HTTP_X_FORWARDED_FOR", "")  # as it came: ProxyFix leaves it alone
    return {
        "release": release(),
        "deployment": deployment(config),
        "proxies": proxies_seen(forwarded_for),
        "edge": edge.how_it_came(config),
    }


def _differences() -> tuple[list[str], list[str]]:
    """What of the tables keeps the app from working, and what does not. Raises StoreUnavailable."""
    found = deps.store().table_differences()
    return [str(each) for each in found if each.breaks], [str(each) for each in found if not each.breaks]
