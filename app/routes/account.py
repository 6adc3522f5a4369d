"""The account page: password, settings, sessions, one's own data, and the end of the account."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from app.domain.accounts import HALF
from app.domain.clock import utcnow
from app.domain.errors import AccountExists, BadCredentials, InvalidInput, WrongState
from app.forms.account import ChangeEmailForm, ChangePasswordForm, DeleteForm, MailsForm, SettingsForm
from app.services import accounts, addresses
from app.services.throttle import network_of
from app.web import deps
from app.web.guards import login_required
from app.web.own_files import own_data
from app.web.password_again import check_password
from app.web.sessions import current_session_key, start_browser_session

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("")
@login_required
def show() -> ResponseReturnValue:
    return _page()


@bp.post("/password")
@login_required
def password() -> ResponseReturnValue:
    form = ChangePasswordForm()
    if not form.validate():
        return _page(password_form=form), 422
    try:
        with deps.get().throttle.password_again(current_session_key()):
            signed_in = accounts.change_password(
                deps.store(),
                deps.get().passwords,
                g.account,
                form.current_password.data,
                form.new_password.data,
                g.session,
                end_keys=bool(form.keys_too.data),
                now=utcnow(),
            )
    except BadCredentials as error:
        form.current_password.errors = [error.message]
        return _page(password_form=form), 422
    except InvalidInput as error:
        form.new_password.errors = [error.message]
        return _page(password_form=form), 422
    deps.get().throttle.proven(g.account.address)
    start_browser_session(signed_in)
    keys = " Your API keys have ended." if form.keys_too.data and g.account.api_keys else ""
    flash(f"Your password is changed. Every other browser and program is signed out.{keys}")
    return redirect(url_for("account.show"), code=303)


@bp.post("/email")
@login_required
def change_email() -> ResponseReturnValue:
    """Ask for another address: nothing changes before both mailboxes have agreed (routes/address.py)."""
    form = ChangeEmailForm()
    if not form.validate():
        return _page(email_form=form), 422
    try:
        check_password(form.password.data or "")
        throttle = deps.get().throttle
        throttle.hit(throttle.signup_by_address, "sign-up", network_of(request.remote_addr or ""))
        addresses.ask(deps.store(), g.account, form.new_email.data, label=g.session.label, now=utcnow())
    except BadCredentials as error:
        form.password.errors = [error.message]
        return _page(email_form=form), 422
    except AccountExists as error:
        form.new_email.errors = [error.message]
        return _page(email_form=form), 409
    except (InvalidInput, WrongState) as error:
        form.new_email.errors = [error.message]
        return _page(email_form=form), 422
    flash("Two mails are on their way. Open the link in each: your address changes once both mailboxes have agreed.")
    return redirect(url_for("account.show") + "#email", code=303)


@bp.post("/email/cancel")
@login_required
def cancel_email() -> ResponseReturnValue:
    addresses.cancel(deps.store(), g.account)
    flash("Your address stays as it is.")
    return redirect(url_for("account.show") + "#email", code=303)


@bp.post("/settings")
@login_required
def settings() -> ResponseReturnValue:
    form = SettingsForm()
    if not form.validate():
        return _page(settings_form=form), 422
    try:
        accounts.change_settings(
            deps.store(),
            g.account,
            low_balance_threshold=form.threshold,
            theme=form.theme.data or "system",
            shortcuts=bool(form.shortcuts.data),
        )
    except InvalidInput as error:
        form[error.field or "theme"].errors = [error.message]
        return _page(settings_form=form), 422
    flash("Your settings are saved.")
    return redirect(url_for("account.show"), code=303)


@bp.post("/mails")
@login_required
def mails() -> ResponseReturnValue:
    form = MailsForm()
    if not form.validate():
        return _page(mails_form=form), 422
    accounts.choose_mails(deps.store(), g.account, unwanted=form.unwanted)
    flash("Your choice of mails is saved.")
    return redirect(url_for("account.show") + "#mails", code=303)


@bp.post("/resend-confirmation")
@login_required
def resend_confirmation() -> ResponseReturnValue:
    accounts.resend_confirmation(deps.store(), g.account, now=utcnow())
    flash("The link is on its way. It can take a minute; we send at most one in five minutes.")
    return redirect(url_for("account.show"), code=303)


@bp.post("/sign-out")
@login_required
def sign_out() -> ResponseReturnValue:
    accounts.sign_out_one(deps.store(), g.account, request.form.get("key", ""))
    flash("That session is signed out.")
    return redirect(url_for("account.show") + "#sessions", code=303)


@bp.post("/sign-out-everywhere")
@login_required
def sign_out_everywhere() -> ResponseReturnValue:
    accounts.sign_out_everywhere(deps.store(), g.account, end_keys="keys_too" in request.form)
    session.clear()
    deps.get().devices.remember(replace(g.account, session_version=g.account.session_version + 1))
    return redirect(url_for("auth.login", out=1), code=303)


@bp.get("/export.json")
@login_required
def export() -> ResponseReturnValue:
    return own_data()


@bp.post("/delete")
@login_required
def delete() -> ResponseReturnValue:
    form = DeleteForm()
    try:
        with deps.get().throttle.password_again(current_session_key()):
            accounts.delete(deps.store(), deps.get().passwords, g.account, form.password.data, now=utcnow())
    except BadCredentials as error:
        form.password.errors = [error.message]
        return _page(delete_form=form), 422
    session.clear()
    flash("Your account is deleted.")
    return redirect(url_for("home.index"), code=303)


def _page(**forms: FlaskForm) -> str:
    account = g.account
    blank = SettingsForm(
        formdata=None, data={"low_balance_threshold": str(account.low_balance_threshold), "theme": account.theme}
    )
    now = utcnow()
    current = current_session_key()
    live = [s for s in account.sessions.values() if s.kind != HALF and s.is_live(now, account.role)]
    context: dict[str, Any] = {
        "email_form": ChangeEmailForm(formdata=None),
        "change": account.change_that_stands(now),
        "password_form": ChangePasswordForm(formdata=None),
        "settings_form": blank,
        "mails_form": MailsForm.showing(account.unwanted_mails),
        "delete_form": DeleteForm(formdata=None),
        "sessions": [
            {
                "key": s.key,
                "kind": s.kind,
                "label": s.label,
                "created_at": s.created_at,
                "seen_at": s.seen_at,
                "current": s.key == current,
            }
            for s in sorted(live, key=lambda s: (s.key != current, s.seen_at), reverse=False)
        ],
        "api_url": f"{deps.config().app_url}/api",
    }
    return render_template("account/show.html", account=account, **(context | forms))
