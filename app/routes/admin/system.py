"""The system: what the doctor has found, and when."""

from __future__ import annotations

from flask import render_template
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.doctor import NOT_ASKED, RIGHT, UNKNOWN, WRONG
from app.routes.admin.blueprint import bp
from app.web import deps
from app.web.guards import operator_required

ORDER = (WRONG, UNKNOWN, RIGHT, NOT_ASKED)


@bp.get("/system")
@operator_required
def system() -> ResponseReturnValue:
    """One read: the checks themselves ask others, some of whom are slow."""
    kept, now = deps.store().doctor.find(), utcnow()
    deps.get().doctors_dot.know(kept)
    groups = [(state, [each for each in kept.findings if each.state == state] if kept else []) for state in ORDER]
    return render_template("admin/system.html", kept=kept, groups=groups, is_stale=kept and kept.is_stale(now))
