"""What a program is told of the limits that have counted its request, with whatever it is answered: RateLimit-Policy
and RateLimit as https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ has them.

    RateLimit-Policy: "cancel-day";q=100;w=86400, "cancel";q=30;w=3600
    RateLimit: "cancel-day";r=97;t=41230, "cancel";r=29;t=1630

Nothing is read for it: a counter says where it stands as it counts.
"""

from __future__ import annotations

from flask import Flask, Response, has_request_context, request

from app.domain.rate_limits import REQUESTS, Standing

LEFT, POLICY = "RateLimit", "RateLimit-Policy"
KEY = "dashboard.rate_limits"  # of a request's environment


def tell(standing: Standing) -> None:
    """Have this request's answer say it, in place of what was to be said of the same limit."""
    if has_request_context():
        request.environ.setdefault(KEY, {})[standing.name] = standing


def register(app: Flask) -> None:
    """Call before what answers with other answers than the views' (waiting.py): what ran later is asked first."""

    @app.after_request
    def add(response: Response) -> Response:
        told = request.environ.get(KEY)
        if told and request.path.startswith("/api/"):
            response.headers[POLICY] = ", ".join(map(_policy, told.values()))
            if left := [_left(standing) for standing in told.values() if standing.left is not None]:
                response.headers[LEFT] = ", ".join(left)
        return response


def _policy(standing: Standing) -> str:
    unit = "" if standing.unit == REQUESTS else f';qu="{standing.unit}"'
    return f'"{standing.name}";q={standing.quota}{unit}' + (f";w={standing.window}" if standing.window else "")


def _left(standing: Standing) -> str:
    resets = "" if standing.resets_in is None else f";t={standing.resets_in}"
    return f'"{standing.name}";r={standing.left}{resets}'
