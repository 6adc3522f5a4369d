"""What browsers report that the content security policy has refused: counted, and told in the log, never in whole.

A report names the page's address, which may hold the token of a mailed link, and anybody can send one: of each there is
kept by which directive it was, one of ours, and whether the page itself or somebody else was refused.
https://www.w3.org/TR/CSP3/#deprecated-serialize-violation
"""

from __future__ import annotations

import json
import logging
from time import monotonic

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.telemetry.instruments import CSP_REPORTS
from app.web.csrf import csrf
from app.web.guards import public
from app.web.headers import POLICY, REPORTS_PATH

bp = Blueprint("csp", __name__)
csrf.exempt(bp)  # the browser sends it by itself; it changes nothing

MAX_REPORT = 16 * 1024
TOLD_EVERY_SECONDS = 600.0  # a directive, by one process
OTHER = "other"
log = logging.getLogger(__name__)
_told_at: dict[str, float] = {}


@bp.post(REPORTS_PATH)
@public
def receive() -> ResponseReturnValue:
    """204, whatever was sent: a browser has no use for more. Safe to repeat."""
    request.max_content_length = MAX_REPORT
    directive, blocked = _read(request.get_data())
    CSP_REPORTS.add(directive=directive)
    if monotonic() - _told_at.get(directive, float("-inf")) >= TOLD_EVERY_SECONDS:
        _told_at[directive] = monotonic()
        log.warning("a browser has refused something by our policy", extra={"directive": directive, "blocked": blocked})
    return "", 204


def _read(body: bytes) -> tuple[str, str]:
    """The directive, and `page` for what was in the page itself, `elsewhere` for the rest."""
    try:
        report = json.loads(body)["csp-report"]
        said = str(report.get("effective-directive") or report.get("violated-directive")).partition(" ")[0]
        blocked = "page" if report.get("blocked-uri") in ("inline", "eval", "self", "data", "blob") else "elsewhere"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return OTHER, "unknown"
    name = said.removesuffix("-elem").removesuffix("-attr")
    return (name if name in POLICY else OTHER), blocked
