"""What an open page keeps while somebody types, and the way to throw it away."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.errors import Malformed
from app.services import typed_drafts
from app.services.throttle import DRAFTS_BY_ACCOUNT
from app.web import deps
from app.web.guards import login_required
from app.web.typed_drafts import page_of, sent_mark, sent_words

bp = Blueprint("drafts", __name__)


@bp.post("/drafts")
@login_required
def keep() -> ResponseReturnValue:
    """The form as it stands, sent by its page a second after the last key. Answers with the line that says so."""
    mark, number = sent_mark(), request.form.get("number", "", str)
    if not mark.pages or not number.isdecimal() or len(number) > 9:
        raise Malformed("That names no page.")
    deps.get().throttle.hit(DRAFTS_BY_ACCOUNT, "drafts", g.account.email)
    kept = typed_drafts.keep(deps.store(), g.account, mark, int(number), sent_words(), now=utcnow())
    return render_template("drafts/line.html", kept=kept, mark=mark)


@bp.post("/drafts/discard")
@login_required
def discard() -> ResponseReturnValue:
    mark = sent_mark()
    typed_drafts.finish(deps.store(), g.account, mark, now=utcnow())
    flash("Thrown away.")
    return redirect(page_of(mark), code=303)
