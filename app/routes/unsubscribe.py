"""The way out of one kind of mail, by the link in its header: one click of a mail program, or a button for a person."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.errors import LinkExpired
from app.forms.account import MailsForm
from app.services import accounts
from app.web import deps
from app.web.csrf import csrf
from app.web.guards import public, signed_in_account_or_none

bp = Blueprint("unsubscribe", __name__)
csrf.exempt(bp)  # the token is the proof, and mail programs have no cookie


@bp.route("/unsubscribe/<token>", methods=["GET", "POST"])
@public
def one_kind(token: str) -> ResponseReturnValue:
    """Opening the link changes nothing: mail scanners open it, too. A POST leads nowhere else, as RFC 8058 wants."""
    store, links = deps.store(), deps.get().links
    shown = {"account": signed_in_account_or_none(), "kind": None, "done": request.method == "POST"}
    try:
        if request.method == "POST":
            kind = accounts.unsubscribe(store, links, token)
        else:
            _, kind = accounts.account_of_unsubscribe(store, links, token)
    except LinkExpired:
        return render_template("unsubscribe/one_kind.html", **shown), 410
    label = MailsForm(formdata=None, meta={"csrf": False})[kind].label.text
    return render_template("unsubscribe/one_kind.html", **shown | {"kind": label})
