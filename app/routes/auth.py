"""Sign-up, sign-in, sign-out, and the links that mails carry."""

from __future__ import annotations

from hashlib import sha256

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import Account
from app.domain.clock import utcnow
from app.domain.drafts import Draft
from app.domain.errors import (
    AccountExists,
    BadCredentials,
    DomainError,
    InvalidInput,
    LinkExpired,
    RateLimited,
)
from app.forms.auth import EmailForm, LoginForm, PasswordForm, SignupForm
from app.services import accounts, drafts
from app.services.links import CONFIRM, RESET, SET_PASSWORD
from app.web import deps
from app.web.addresses import safe_path
from app.web.admission import MAX_CARRIED, takes
from app.web.guards import login_required, public, signed_in_account_or_none
from app.web.sessions import caller, client_label, first_page, start_browser_session
from app.web.typed import Typed, uncarried

bp = Blueprint("auth", __name__)


@bp.route("/login", methods=["GET", "POST"])
@takes(MAX_CARRIED)
@public
def login() -> ResponseReturnValue:
    form, typed = LoginForm(), uncarried(request.form.get("carried", ""))
    if request.method == "GET":
        form.next.data = safe_path(request.args.get("next"))
        return render_template("auth/login.html", form=form, signed_out="out" in request.args)
    form.validate()
    try:
        signed_in = deps.get().entrance.sign_in(form.email.data, form.password.data, caller(), now=utcnow())
    except BadCredentials as error:
        return render_template("auth/login.html", form=form, error=error.message, typed=typed), 401
    except RateLimited as error:
        wait = error.retry_after_seconds
        return render_template("auth/login.html", form=form, wait=wait, typed=typed), 429, {"Retry-After": str(wait)}
    target = safe_path(form.next.data)
    start_browser_session(signed_in)
    if typed:
        if not _keep(signed_in.account, typed) and not signed_in.half:
            g.account = signed_in.account
            return render_template("unsent/show.html", drafts=[(Draft(typed.place, typed.fields, utcnow()), typed)])
        target = url_for("unsent.show")
    if signed_in.half:
        session["next"] = target
        return redirect(url_for("second_factor.ask"), code=303)
    return redirect(target or first_page(signed_in.account), code=303)


def _keep(account: Account, typed: Typed) -> bool:
    """Whether what rode along in the sign-in page waits for its author now."""
    try:
        return drafts.keep(deps.store(), account, typed.place, typed.fields, now=utcnow())
    except DomainError:
        return False


@bp.route("/signup", methods=["GET", "POST"])
@public
def signup() -> ResponseReturnValue:
    form = SignupForm()
    if request.method == "GET":
        return render_template("auth/signup.html", form=form)
    if not form.validate():
        return render_template("auth/signup.html", form=form), 422
    try:
        signed_in = deps.get().entrance.sign_up(form.email.data, form.password.data, caller(), now=utcnow())
    except AccountExists as error:
        form.email.errors = [error.message]
        return render_template("auth/signup.html", form=form), 409
    except InvalidInput as error:
        form[error.field or "email"].errors = [error.message]
        return render_template("auth/signup.html", form=form), 422
    start_browser_session(signed_in)
    return redirect(url_for("second_factor.ask") if signed_in.half else first_page(signed_in.account), code=303)


@bp.post("/logout")
@login_required
def logout() -> ResponseReturnValue:
    accounts.sign_out(deps.store(), g.account, g.session_id)
    session.clear()
    session["left"] = True  # a page that is still open may send what was typed: see `allow_body`
    response = redirect(url_for("auth.login", out=1), code=303)
    response.headers["Clear-Site-Data"] = '"cache"'  # nothing private is left for the Back button
    return response


@bp.get("/confirm/<token>")
@public
def open_confirm(token: str) -> ResponseReturnValue:
    """On to the button that confirms the address, for whoever is signed in to the account; others sign in first.

    Opening the link uses nothing up: mail scanners and browsers that fetch ahead open it, too.
    """
    who = signed_in_account_or_none()
    try:
        account, _ = accounts.account_of_link(deps.store(), deps.get().links, token, CONFIRM)
    except LinkExpired:
        return _confirm_expired()
    if who is None or who.email != account.email:
        return redirect(url_for("auth.login", next=request.path), code=303)
    session["confirm"] = token
    return redirect(url_for("auth.confirm"), code=303)


@bp.route("/confirm", methods=["GET", "POST"])
@public
def confirm() -> ResponseReturnValue:
    """Confirms the address for whoever is signed in to the account that the link was sent for."""
    store, links, token = deps.store(), deps.get().links, session.get("confirm", "")
    who = signed_in_account_or_none()
    try:
        account, _ = accounts.account_of_link(store, links, token, CONFIRM)
        if who is None or who.email != account.email:
            return redirect(url_for("auth.login", next=url_for("auth.open_confirm", token=token)), code=303)
        if request.method == "GET":
            return render_template("auth/confirm.html", email=account.address, account=who)
        accounts.confirm_address(store, links, token, signed_in_as=who.email, now=utcnow())
    except LinkExpired:
        if who is None or not _confirmed_before(who, token):
            return _confirm_expired()
    session.pop("confirm", None)
    return render_template("auth/confirmed.html", email=who.address, account=who)


def _confirmed_before(who: Account, token: str) -> bool:
    """Whether a link of ours to this very account is used up, its address being confirmed: nothing is left to do."""
    try:
        email, _ = deps.get().links.email_of(token, CONFIRM)
    except LinkExpired:
        return False
    return who.confirmed and who.email == email


def _confirm_expired() -> ResponseReturnValue:
    session.pop("confirm", None)
    return render_template("auth/link_expired.html", form=EmailForm(), what="confirm"), 410


@bp.get("/set-password/<token>")
@public
def open_set_password(token: str) -> ResponseReturnValue:
    return _open_link(token, SET_PASSWORD)


@bp.route("/set-password", methods=["GET", "POST"])
@public
def set_password() -> ResponseReturnValue:
    return _password_by_link(SET_PASSWORD)


@bp.get("/reset/<token>")
@public
def open_reset(token: str) -> ResponseReturnValue:
    return _open_link(token, RESET)


@bp.route("/reset", methods=["GET", "POST"])
@public
def reset() -> ResponseReturnValue:
    return _password_by_link(RESET)


@bp.route("/forgot", methods=["GET", "POST"])
@public
def forgot() -> ResponseReturnValue:
    """The same answer for every address, whether an account has it or not."""
    form = EmailForm()
    if request.method == "GET":
        return render_template("auth/forgot.html", form=form)
    if not form.validate():
        return render_template("auth/forgot.html", form=form), 422
    deps.get().entrance.ask_for_link(form.email.data, caller(), now=utcnow())
    return render_template("auth/forgot_sent.html", email=form.email.data)


FORMS = {SET_PASSWORD: ("auth.set_password", "auth/set_password.html"), RESET: ("auth.reset", "auth/reset.html")}


def _open_link(token: str, purpose: str) -> ResponseReturnValue:
    """On to the form, with the token in the cookie: an address is kept in histories and shown to whoever looks."""
    try:
        accounts.account_of_link(deps.store(), deps.get().links, token, purpose)
    except LinkExpired:
        return _link_expired(purpose)
    session["link"] = token
    return redirect(url_for(FORMS[purpose][0]), code=303)


def _link_expired(purpose: str) -> ResponseReturnValue:
    session.pop("link", None)
    template = "auth/set_password.html" if purpose == SET_PASSWORD else "auth/link_expired.html"
    return render_template(template, form=EmailForm(), expired=True), 410


def _password_by_link(purpose: str) -> ResponseReturnValue:
    form, template, token = PasswordForm(), FORMS[purpose][1], session.get("link", "")
    store, links = deps.store(), deps.get().links
    shown, form.link.data = form.link.data, sha256(token.encode()).hexdigest()[:16]
    try:
        account, _ = accounts.account_of_link(store, links, token, purpose)
        if request.method == "POST" and shown != form.link.data:  # an older tab, for an account that it names itself
            error = f"Another link was opened meanwhile. This form is for {account.address}; nothing was changed."
            return render_template(template, form=form, email=account.address, error=error), 409
        if request.method == "GET" or not form.validate():
            status = 200 if request.method == "GET" else 422
            return render_template(template, form=form, email=account.address), status
        signed_in = accounts.set_password(
            store,
            deps.get().passwords,
            links,
            token,
            form.password.data,
            purpose=purpose,
            now=utcnow(),
            label=client_label(),
        )
    except LinkExpired:
        sent = request.method == "POST" and shown == form.link.data
        again = _sent_again(token, purpose, form.password.data) if sent else None
        if again is None:
            return _link_expired(purpose)
        signed_in = again
    except InvalidInput as error:
        form.password.errors = [error.message]
        return render_template(template, form=form, email=account.address), 422
    deps.get().throttle.proven(signed_in.account.address)
    start_browser_session(signed_in)
    if signed_in.half:
        flash("Your password is set. Your second factor is still needed.")
        return redirect(url_for("second_factor.ask"), code=303)
    flash("Your password is set. You are signed in.")
    return redirect(first_page(signed_in.account), code=303)


def _sent_again(token: str, purpose: str, password: object) -> accounts.SignedIn | None:
    """The sign-in of who sends a form once more that has worked, because its answer never came."""
    try:
        key, _ = deps.get().links.email_of(token, purpose)
    except LinkExpired:
        return None
    account = deps.store().accounts.find(key)
    return deps.get().entrance.sign_in_again(account.address, password, caller(), now=utcnow()) if account else None
