"""API keys under the account: listed, made and revoked by its owner."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.domain.api_keys import QUEUE_WORK, SCOPES, wishes
from app.domain.clock import month_of, utcnow
from app.domain.errors import BadCredentials, InvalidInput, OperatorNotProven, WrongState
from app.forms.account import KeyForm
from app.forms.base import blame
from app.services import api_keys
from app.services.throttle import KEYS_BY_ACCOUNT
from app.web import deps
from app.web.guards import login_required
from app.web.password_again import check_password

bp = Blueprint("keys", __name__, url_prefix="/account/keys")


@bp.get("")
@login_required
def show() -> ResponseReturnValue:
    return _page(KeyForm(formdata=None))


@bp.post("")
@login_required
def make() -> ResponseReturnValue:
    """The key stands on this one answer and nowhere else; whoever sends the form again is told that it is made."""
    form, account = KeyForm(), g.account
    if not form.validate():
        return _page(form), 422
    try:
        monthly, days = form.credits_a_month.data, form.days.data or None
        wanted = wishes(form.name.data or "", form.may.data or [], monthly, days, operator=account.is_operator)
        check_password(form.password.data or "")
        deps.get().throttle.hit(KEYS_BY_ACCOUNT, "keys", account.email, said="You have made many keys.")
        key, secret = api_keys.make(deps.store(), account, wanted, g.session, now=utcnow())
    except BadCredentials as error:
        form.password.errors = [error.message]
        return _page(form), 422
    except (InvalidInput, OperatorNotProven, WrongState) as error:
        return _page(form, error=blame(form, error, known_as={"scopes": "may"})), 422
    api_url = f"{deps.config().app_url}/api"
    return render_template("account/key_made.html", key=key, secret=secret, api_url=api_url)


@bp.post("/<key_id>/revoke")
@login_required
def revoke(key_id: str) -> ResponseReturnValue:
    key = api_keys.revoke(deps.store(), g.account, key_id, now=utcnow())
    flash(f"The key {key.name} is revoked. A program that still has it is refused from now on.")
    return redirect(url_for("keys.show"), code=303)


def _page(form: KeyForm, *, error: str = "") -> str:
    now, account = utcnow(), g.account
    alive, ended = api_keys.listed(deps.store(), account, now=now)
    return render_template(
        "account/keys.html",
        form=form,
        error=error,
        alive=alive,
        ended=ended,
        month=month_of(now),
        now=now,
        scopes=[scope for scope in SCOPES if scope != QUEUE_WORK or account.is_operator],
    )
