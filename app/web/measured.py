"""Around the app while somebody measures: how long each request takes, by the template of its route.

Outermost, so that what a request waits for a work slot counts, and so does a refusal. Without metrics and traces it is
not there at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING

from flask import Flask, request

from app.telemetry.instruments import REQUESTS
from app.telemetry.spans import SERVER, span

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEY = "dashboard.measured"  # of a request's environment
NO_ROUTE, OTHER = "none", "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # a client may make up any


class Seen:
    """What is learned of a request on its way; an environment that is copied still leads to the same one."""

    def __init__(self, method: str) -> None:
        self.method = method if method in METHODS else OTHER
        self.route = NO_ROUTE
        self.status = "5xx"  # until an answer begins


class Measured:
    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen = environ[KEY] = Seen(environ.get("REQUEST_METHOD", ""))

        def started(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            seen.status = f"{status[:1]}xx"
            return start_response(status, headers, exc_info)

        began = perf_counter()
        try:
            with span(seen.method, SERVER) as found:
                try:
                    return self._app(environ, started)
                finally:
                    if found is not None:
                        found.update_name(f"{seen.method} {seen.route}")
                        about = {"http.route": seen.route, "http.request.method": seen.method}
                        found.set_attributes({**about, "http.response.status_class": seen.status})
        finally:
            REQUESTS.record(perf_counter() - began, route=seen.route, method=seen.method, status=seen.status)


def register(app: Flask) -> None:
    """Call before whatever refuses requests."""

    @app.before_request
    def note_route() -> None:
        seen = request.environ.get(KEY)
        if seen is not None and request.url_rule is not None:
            seen.route = request.url_rule.rule
