"""The front page."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.web.guards import public, signed_in_account_or_none

from .buy import FRONT_PAGE, offer

bp = Blueprint("home", __name__)


@bp.get("/")
@public
def index() -> ResponseReturnValue:
    return render_template(FRONT_PAGE, account=signed_in_account_or_none(), **offer())
