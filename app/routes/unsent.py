"""Forms that came after their session had ended: what was typed, for its author alone, to be sent or thrown away."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.services import drafts
from app.web import deps
from app.web.guards import login_required
from app.web.typed import typed_at

bp = Blueprint("unsent", __name__)


@bp.get("/unsent")
@login_required
def show() -> ResponseReturnValue:
    found = [
        (draft, typed_at(draft.place, draft.fields)) for draft in drafts.waiting(deps.store(), g.account, now=utcnow())
    ]
    if not found and g.account.unsent:
        drafts.drop(deps.store(), g.account, "", now=utcnow())  # the last one has expired
    return render_template("unsent/show.html", drafts=found)


@bp.post("/unsent/discard")
@login_required
def discard() -> ResponseReturnValue:
    drafts.drop(deps.store(), g.account, request.form.get("key", ""), now=utcnow())
    flash("Thrown away.")
    return redirect(url_for("unsent.show"), code=303)
