"""Sign-up, sign-in, sign-out, and the links that mails carry."""

from __future__ import annotations

from contextlib import AbstractContextManager
from hashlib import sha256

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import API, BROWSER, Account, normalise_email, session_key
from app.domain.clock import utcnow
from app.domain.drafts import Draft
from app.domain.errors import (
    AccountExists,
    BadCredentials,
    DomainError,
    InvalidInput,
    LinkExpired,
    RateLimited,
    SecondFactorMissing,
)
from app.domain.second_factor import digits, proven_since
from app.forms.auth import EmailForm, LoginForm, PasswordForm, SignupForm
from app.services import accounts, drafts, second_factor
from app.services.links import CONFIRM, RESET, SET_PASSWORD
from app.services.throttle import FORGOT_BY_ADDRESS, FORGOT_BY_DEVICE, network_of
from app.web import deps
from app.web.admission import MAX_CARRIED, takes
from app.web.guards import login_required, public, signed_in_account_or_none
from app.web.sessions import client_label, start_browser_session
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
        signed_in = sign_in(form.email.data, form.password.data, BROWSER)
    except BadCredentials as error:
        return render_template("auth/login.html", form=form, error=error.message, typed=typed), 401
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
    return redirect(target or url_for("dashboard.show"), code=303)


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
        signed_in = sign_up(form.email.data, form.password.data, BROWSER)
    except AccountExists as error:
        form.email.errors = [error.message]
        return render_template("auth/signup.html", form=form), 409
    except InvalidInput as error:
        form[error.field or "email"].errors = [error.message]
        return render_template("auth/signup.html", form=form), 422
    start_browser_session(signed_in)
    return redirect(url_for("second_factor.ask" if signed_in.half else "dashboard.show"), code=303)


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
    """On to the button that proves the mailbox, for whoever is signed in to the account; others sign in first.

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
    """Proves the mailbox to whoever is signed in to the account that the link was sent for."""
    store, links, token = deps.store(), deps.get().links, session.get("confirm", "")
    who = signed_in_account_or_none()
    try:
        account, _ = accounts.account_of_link(store, links, token, CONFIRM)
        if who is None or who.email != account.email:
            return redirect(url_for("auth.login", next=url_for("auth.open_confirm", token=token)), code=303)
        if request.method == "GET":
            return render_template("auth/confirm.html", email=account.email, account=who)
        accounts.confirm_mailbox(store, links, token, signed_in_as=who.email, now=utcnow())
    except LinkExpired:
        if who is None or not _confirmed_before(who, token):
            return _confirm_expired()
    session.pop("confirm", None)
    return render_template("auth/confirmed.html", email=who.email, account=who)


def _confirmed_before(who: Account, token: str) -> bool:
    """Whether a link of ours to this very account is used up because its mailbox is proven: nothing is left to do."""
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
    if device := _device(form.email.data):
        deps.get().throttle.hit(FORGOT_BY_DEVICE, "forgot-device", device)
    else:
        deps.get().throttle.hit(FORGOT_BY_ADDRESS, "forgot", network_of(request.remote_addr or ""))
    accounts.ask_for_link(deps.store(), form.email.data, now=utcnow())
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
            error = f"Another link was opened meanwhile. This form is for {account.email}; nothing was changed."
            return render_template(template, form=form, email=account.email, error=error), 409
        if request.method == "GET" or not form.validate():
            status = 200 if request.method == "GET" else 422
            return render_template(template, form=form, email=account.email), status
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
        again = _sent_again(form, token, purpose) if request.method == "POST" and shown == form.link.data else None
        if again is None:
            return _link_expired(purpose)
        signed_in = again
    except InvalidInput as error:
        form.password.errors = [error.message]
        return render_template(template, form=form, email=account.email), 422
    deps.get().throttle.proven(signed_in.account.email)
    start_browser_session(signed_in)
    if signed_in.half:
        flash("Your password is set. Your second factor is still needed.")
        return redirect(url_for("second_factor.ask"), code=303)
    flash("Your password is set. You are signed in.")
    return redirect(url_for("dashboard.show"), code=303)


def _sent_again(form: PasswordForm, token: str, purpose: str) -> accounts.SignedIn | None:
    """The sign-in of who sends a form once more that has worked, because its answer never came.

    Whoever has the password that was set may sign in by it: this opens no other door, and the same limits guard it.
    """
    try:
        email, _ = deps.get().links.email_of(token, purpose)
        return sign_in(email, form.password.data, BROWSER)
    except (LinkExpired, BadCredentials, RateLimited):
        return None


def sign_in(email: object, password: object, kind: str) -> accounts.SignedIn:
    """Sign in behind the limits by account and by address; browsers and programs take the same way."""
    try:
        account = normalise_email(email)
    except InvalidInput:
        account = "invalid"
    device = _device(account) if kind == BROWSER else None
    with deps.get().throttle.sign_in(account, request.remote_addr or "", device):
        return accounts.sign_in(
            deps.store(), deps.get().passwords, email, password, now=utcnow(), kind=kind, label=client_label()
        )


def _device(email: object) -> str | None:
    """What attempts of this browser at the account are counted by, if it has signed in to it before."""
    devices = deps.get().devices
    if not devices.any():
        return None
    try:
        return devices.of(deps.store().accounts.find(normalise_email(email)))
    except InvalidInput:
        return None


def counted_proof(
    account: Account, code: object, *, credential: str = "", browser: bool = True
) -> AbstractContextManager[None]:
    """The limit that an attempt at the second factor falls under: the guard is for what can be guessed."""
    throttle, device = deps.get().throttle, deps.get().devices.of(account) if browser else None
    if credential or digits(code) is None:
        return throttle.unguessable(request.remote_addr or "", device)
    return throttle.second_factor(account.email, proven_since(account.password_hash, account.recovery_codes), device)


def finish_with_code(signed_in: accounts.SignedIn, code: object) -> accounts.SignedIn:
    """The second step for a program, in the same call as the first. Raises SecondFactorMissing, WrongCode."""
    store, account = deps.store(), signed_in.account
    half = account.sessions[session_key(signed_in.session_id)]
    try:
        if code is None:
            raise SecondFactorMissing
        with counted_proof(account, code, browser=False):
            proof = second_factor.prove_code(deps.get().sealer, account, code, now=utcnow())
            return second_factor.finish_sign_in(store, account, half, proof, now=utcnow(), kind=API)
    except DomainError:
        store.updates.accounts.remove_session(account, half.key)
        raise


def sign_up(email: object, password: object, kind: str) -> accounts.SignedIn:
    throttle = deps.get().throttle
    throttle.hit(throttle.signup_by_address, "sign-up", network_of(request.remote_addr or ""))
    try:
        return accounts.sign_up(
            deps.store(), deps.get().passwords, email, password, now=utcnow(), kind=kind, label=client_label()
        )
    except AccountExists:
        again = _signed_up_before(email, password, kind)
        if again is None:
            raise
        return again


def _signed_up_before(email: object, password: object, kind: str) -> accounts.SignedIn | None:
    """The sign-in of who signs up once more, because the answer never came.

    Whoever has the password may sign in by it: this opens no other door, and the same limits guard it.
    """
    try:
        signed_in = sign_in(email, password, kind)
    except (BadCredentials, RateLimited):
        return None
    if signed_in.half and kind == API:  # a program is asked for its code where it signs in
        deps.store().updates.accounts.remove_session(signed_in.account, session_key(signed_in.session_id))
        return None
    return signed_in


def safe_path(target: str | None) -> str:
    """A path on our own host to go back to, or nothing. Browsers read `\\` as `/` and drop tabs and newlines."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return ""
    if "\\" in target or not target.isprintable() or any(char.isspace() for char in target):
        return ""
    return target
