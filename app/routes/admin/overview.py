"""The overview: how much waits, how long it takes, and what was sold and spent."""

from __future__ import annotations

from flask import render_template
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.tasks import median_minutes
from app.routes.admin.blueprint import bp
from app.services import clock_check, figures
from app.web import deps
from app.web.guards import operator_required


@bp.get("/overview")
@operator_required
def overview() -> ResponseReturnValue:
    found = figures.overview(deps.store(), utcnow())
    return render_template(
        "admin/overview.html",
        found=found,
        median=median_minutes(found.turnarounds),
        cap=figures.COUNT_CAP,
        trouble=deps.store().mails.trouble(),
        clock=clock_check.sentence(deps.get().clock.latest),
    )
