"""Whether a request came through the edge, which says whose it is: only that is believed, where EDGE_SECRETS is set."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, request

from app.domain.errors import NotFromTheEdge
from app.services.edge import HEADER, SIGNED, UNASKED, NotSigned, Visitor, read_visitor
from app.web import probes
from app.web.looking import HEAD

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from app.config import Config

log = logging.getLogger(__name__)

VISITOR = "app.edge_visitor"  # in the environ: who asks
WHY_NOT = "app.edge_why_not"  # or why that is not known
# Balancers ask from inside. What Stripe tells is proven by Stripe's own signature, and must come through whatever
# stands in front. The doctor proves itself, and wants to hear what is wrong.
OPEN_ENDPOINTS = frozenset({*probes.ENDPOINTS, "stripe_webhook.receive", "health.as_seen"})


class FromTheEdge:
    """Puts the address that the edge has signed in the place of the one that the connection has."""

    def __init__(self, app: WSGIApplication, secrets: tuple[str, ...]) -> None:
        self._app = app
        self._secrets = secrets

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = "HEAD" if environ.get(HEAD) else environ["REQUEST_METHOD"]
        path = environ.get("PATH_INFO", "").encode("latin-1")  # PEP 3333: the bytes as they came, percent-decoded
        header = environ.get("HTTP_" + HEADER.upper().replace("-", "_"), "")
        try:
            visitor = read_visitor(header, method, path, self._secrets)
        except NotSigned as reason:
            environ[WHY_NOT] = reason.why
        else:
            environ[VISITOR] = visitor
            environ["REMOTE_ADDR"] = visitor.address
        return self._app(environ, start_response)


def register(app: Flask, config: Config) -> None:
    """Call before whatever wraps the app with proxies that it believes: what is signed counts for more."""
    if config.edge_secrets:
        app.wsgi_app = FromTheEdge(app.wsgi_app, config.edge_secrets)  # type: ignore[method-assign]
        app.before_request(refuse_others)


def refuse_others() -> None:
    """Whoever comes around the edge comes around its limits, too, and could say any address. Raises NotFromTheEdge."""
    why = request.environ.get(WHY_NOT)
    if why is None or request.endpoint in probes.ENDPOINTS:
        return
    log.warning("not from the edge", extra={"alert": "edge", "why": why})
    if request.endpoint not in OPEN_ENDPOINTS:
        raise NotFromTheEdge


def visitor() -> Visitor | None:
    found: Visitor | None = request.environ.get(VISITOR)
    return found


def how_it_came(config: Config) -> str | None:
    """For the doctor: `signed`, or why not; where nothing is asked of the edge `unasked` if it signs, else None."""
    if not config.edge_secrets:
        return UNASKED if request.headers.get(HEADER) else None
    return SIGNED if visitor() else str(request.environ.get(WHY_NOT))
