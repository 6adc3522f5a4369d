"""The front page."""

from flask import Blueprint, render_template

from app.security import public, signed_in_account_or_none

bp = Blueprint("home", __name__)


@bp.get("/")
@public
def index():
    return render_template("home/index.html", account=signed_in_account_or_none())
