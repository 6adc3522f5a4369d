"""Contact, terms and privacy: the words of whoever runs this installation, or that there are none yet."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.web import deps
from app.web.guards import public, signed_in_account_or_none

bp = Blueprint("texts", __name__)


@bp.get("/contact")
@public
def contact() -> ResponseReturnValue:
    return _show("contact")


@bp.get("/terms")
@public
def terms() -> ResponseReturnValue:
    return _show("terms")


@bp.get("/privacy")
@public
def privacy() -> ResponseReturnValue:
    return _show("privacy")


def _show(name: str) -> str:
    text = deps.get().texts.by_name[name]
    return render_template("texts/show.html", account=signed_in_account_or_none(), name=name, text=text)
