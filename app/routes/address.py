"""The links that change the address of an account: both mailboxes agree, and the present one may refuse.

Opening a link changes nothing, since mail scanners open them, too: on to a button, with the token in the cookie.
"""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import Account
from app.domain.clock import utcnow
from app.domain.errors import AccountExists, LinkExpired
from app.services import addresses
from app.web import deps
from app.web.guards import login_required, public, signed_in_account_or_none
from app.web.sessions import start_browser_session

bp = Blueprint("address", __name__, url_prefix="/address")


@bp.get("/agree/<token>")
@public
def open_agree(token: str) -> ResponseReturnValue:
    """On to the button, for whoever is signed in to the account that asked; others sign in first."""
    who = signed_in_account_or_none()
    try:
        account, _, _ = addresses.request_of(deps.store(), deps.get().links, token, utcnow())
    except LinkExpired:
        return _expired(token, who)
    if who is None or who.email != account.email:
        return redirect(url_for("auth.login", next=request.path), code=303)
    session["agree"] = token
    return redirect(url_for("address.agree"), code=303)


@bp.get("/agree")
@login_required
def agree() -> ResponseReturnValue:
    token = session.get("agree", "")
    try:
        account, change, for_new = addresses.request_of(deps.store(), deps.get().links, token, utcnow())
        if account.email != g.account.email:
            raise LinkExpired
    except LinkExpired:
        return _expired(token, g.account)
    return render_template("address/agree.html", change=change, for_new=for_new)


@bp.post("/agree")
@login_required
def do_agree() -> ResponseReturnValue:
    store, links, token = deps.store(), deps.get().links, session.get("agree", "")
    try:
        signed_in = addresses.agree(store, links, token, signed_in_as=g.account, session=g.session, now=utcnow())
    except LinkExpired:
        return _expired(token, g.account)
    except AccountExists:
        return render_template("address/over.html", account=g.account, taken=True), 409
    session.pop("agree", None)
    if signed_in is None:
        flash("Thank you. Your address changes once the other mailbox has agreed, too: open the link in its mail.")
        return redirect(url_for("account.show") + "#email", code=303)
    start_browser_session(signed_in)
    addresses.tell_stripe(store, deps.get().stripe, signed_in.account)
    flash(f"Your address is {signed_in.account.address} now. Every other browser and program is signed out.")
    return redirect(url_for("account.show") + "#email", code=303)


def _expired(token: str, who: Account | None) -> ResponseReturnValue:
    """Of a link that has done its work: that it has."""
    session.pop("agree", None)
    if who is not None and addresses.is_done(deps.get().links, token, who):
        return render_template("address/over.html", account=who, done=True)
    return render_template("address/over.html", account=who), 410


@bp.get("/refuse/<token>")
@public
def open_refuse(token: str) -> ResponseReturnValue:
    try:
        addresses.account_to_refuse(deps.store(), deps.get().links, token, utcnow())
    except LinkExpired:
        return render_template("address/over.html", account=signed_in_account_or_none()), 410
    session["refuse"] = token
    return redirect(url_for("address.refuse"), code=303)


@bp.route("/refuse", methods=["GET", "POST"])
@public
def refuse() -> ResponseReturnValue:
    """By the link in the present mailbox: no sign-in is asked for, as whoever asked may have changed the password."""
    store, links, token = deps.store(), deps.get().links, session.get("refuse", "")
    try:
        account = addresses.account_to_refuse(store, links, token, utcnow())
        if request.method == "GET":
            return render_template("address/refuse.html", change=account.address_change, address=account.address)
        addresses.refuse(store, links, token, now=utcnow())
    except LinkExpired:
        if request.method == "POST" and session.get("refused") == token:  # sent again: its answer never came
            return render_template("address/refused.html")
        return render_template("address/over.html", account=signed_in_account_or_none()), 410
    session["refused"] = token
    return render_template("address/refused.html")
