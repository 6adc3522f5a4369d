"""The second factor: asked for after the password, and set up, shown and removed under the account."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from flask import Blueprint, Response, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.data.second_factors import Proof
from app.domain.accounts import BROWSER, Account
from app.domain.clock import utcnow
from app.domain.errors import BadCredentials, InvalidInput, WrongCode
from app.forms.account import PasskeyForm, PasswordAgainForm, SecondFactorCodeForm
from app.services import second_factor
from app.services.passkeys import ASSERT, REGISTER
from app.web import deps
from app.web.addresses import safe_path
from app.web.guards import half_signed_in, login_required, public, signed_in_account_or_none
from app.web.password_again import check_password
from app.web.sessions import caller, current_session_key, first_page, start_browser_session

bp = Blueprint("second_factor", __name__)

SET_UP = "account/second_factor.html"


@bp.route("/login/second-factor", methods=["GET", "POST"])
@public  # but for who has given the password: half_signed_in
def ask() -> ResponseReturnValue:
    """The second step of a sign-in: a code, a recovery code, or a passkey."""
    if request.method == "GET" and "half" not in session and (who := signed_in_account_or_none()):
        return redirect(first_page(who), code=303)  # by the Back button: that is no reason to sign out
    account, half = half_signed_in()
    form = SecondFactorCodeForm()
    if request.method == "GET":
        return _ask(account, form)
    try:
        with _counted(account):
            proof = _proof(account)
            signed_in = second_factor.finish_sign_in(deps.store(), account, half, proof, now=utcnow(), kind=BROWSER)
    except WrongCode as error:
        form.code.errors = [error.message]
        return _ask(account, form), 401
    start_browser_session(signed_in)
    if proof.what == "recovery code":
        left = len(signed_in.account.recovery_codes)
        flash(f"That recovery code is used up; {left} are left. Make new ones under Account, Second factor.")
    return redirect(safe_path(session.pop("next", "")) or first_page(signed_in.account), code=303)


@bp.post("/login/second-factor/options")
@public
def ask_options() -> ResponseReturnValue:
    """A fresh challenge for the passkeys of this account."""
    account, _ = half_signed_in()
    challenge = second_factor.new_challenge(deps.store(), account, ASSERT, now=utcnow())
    return _json(deps.get().passkeys.authentication_options(account, challenge))


@bp.get("/account/second-factor")
@login_required
def show() -> ResponseReturnValue:
    return _show()


@bp.post("/account/second-factor/prove")
@login_required
def prove() -> ResponseReturnValue:
    """For a session that began before the second factor was set up."""
    form = SecondFactorCodeForm()
    try:
        with _counted(g.account):
            second_factor.prove_session(deps.store(), g.account, current_session_key(), _proof(g.account), now=utcnow())
    except WrongCode as error:
        form.code.errors = [error.message]
        return _show(code_form=form), 422
    flash("Your second factor is proven for this session.")
    return redirect(url_for("second_factor.show"), code=303)


@bp.post("/account/second-factor/prove/options")
@login_required
def prove_options() -> ResponseReturnValue:
    challenge = second_factor.new_challenge(deps.store(), g.account, ASSERT, now=utcnow())
    return _json(deps.get().passkeys.authentication_options(g.account, challenge))


@bp.post("/account/second-factor/totp")
@login_required
def begin_totp() -> ResponseReturnValue:
    def begin() -> ResponseReturnValue:
        second_factor.begin_totp(deps.store(), deps.get().sealer, g.account)
        return redirect(url_for("second_factor.totp"), code=303)

    return _with_password(begin)


@bp.route("/account/second-factor/totp/code", methods=["GET", "POST"])
@login_required
def totp() -> ResponseReturnValue:
    """The secret to enter into an app, and the first code that comes back."""
    sealer, form = deps.get().sealer, SecondFactorCodeForm()
    if request.method == "POST":
        try:
            with _counted(g.account):
                codes = second_factor.enable_totp(
                    deps.store(), sealer, g.account, form.code.data, current_session_key(), now=utcnow()
                )
            return _done("Your authenticator app is set up.", codes)
        except WrongCode as error:
            form.code.errors = [error.message]
    authenticator = second_factor.pending_totp(sealer, g.account)
    import segno  # where it is used: few processes ever draw a code

    qr = Markup(segno.make(authenticator.uri).svg_inline(border=4, light="#fff", dark="#000", omitsize=True))  # nosec B704 # noqa: S704
    status = 422 if form.code.errors else 200
    return render_template("account/totp.html", form=form, secret=authenticator.secret, qr=qr), status


@bp.post("/account/second-factor/totp/remove")
@login_required
def remove_totp() -> ResponseReturnValue:
    def remove() -> ResponseReturnValue:
        second_factor.remove_totp(deps.store(), g.account, now=utcnow())
        flash("The authenticator app is removed.")
        return redirect(url_for("second_factor.show"), code=303)

    return _with_password(remove)


@bp.post("/account/second-factor/passkeys/options")
@login_required
def passkey_options() -> ResponseReturnValue:
    """What the browser needs to make a passkey; the password is asked for here, before anything is made."""
    try:
        check_password(request.form.get("password", ""))
    except (BadCredentials, InvalidInput) as error:
        return {"error": error.message}, 422
    challenge = second_factor.new_challenge(deps.store(), g.account, REGISTER, now=utcnow())
    return _json(deps.get().passkeys.registration_options(g.account, challenge))


@bp.post("/account/second-factor/passkeys")
@login_required
def add_passkey() -> ResponseReturnValue:
    """Counts only with the challenge that was handed out for the password a moment ago."""
    form = PasskeyForm()
    try:
        codes = second_factor.add_passkey(
            deps.store(),
            deps.get().passkeys,
            g.account,
            form.credential.data or "",
            form.name.data or "",
            current_session_key(),
            now=utcnow(),
        )
    except (WrongCode, InvalidInput) as error:
        return _show(error=error.message, passkey_name=form.name.data or ""), 422
    return _done("Your passkey is added.", codes)


@bp.post("/account/second-factor/passkeys/remove")
@login_required
def remove_passkey() -> ResponseReturnValue:
    def remove() -> ResponseReturnValue:
        second_factor.remove_passkey(deps.store(), g.account, request.form.get("key", ""), now=utcnow())
        flash("The passkey is removed.")
        return redirect(url_for("second_factor.show"), code=303)

    return _with_password(remove)


@bp.post("/account/second-factor/recovery-codes")
@login_required
def recovery_codes() -> ResponseReturnValue:
    return _with_password(
        lambda: _done(
            "The earlier recovery codes no longer work.",
            second_factor.renew_recovery_codes(deps.store(), g.account, now=utcnow()),
        )
    )


def _proof(account: Account) -> Proof:
    """What the form proves: a passkey's answer if there is one, else the code. Raises WrongCode."""
    credential = request.form.get("credential", "")
    if credential:
        return deps.get().passkeys.verify_assertion(account, credential, utcnow())
    return second_factor.prove_code(deps.get().sealer, account, request.form.get("code", ""), now=utcnow())


def _counted(account: Account) -> AbstractContextManager[None]:
    code, credential = request.form.get("code", ""), request.form.get("credential", "")
    return deps.get().entrance.attempt(account, code, caller(), credential=credential)


def _with_password(act: Callable[[], ResponseReturnValue]) -> ResponseReturnValue:
    """Run `act` once the password in the form is right; changing how an account is entered always takes it again."""
    form = PasswordAgainForm()
    try:
        check_password(form.password.data or "")
    except (BadCredentials, InvalidInput) as error:
        return _show(error=error.message, wrong_password=isinstance(error, BadCredentials)), 422
    return act()


def _ask(account: Account, form: SecondFactorCodeForm) -> str:
    passkeys = deps.get().passkeys.available and bool(account.passkeys)
    return render_template("auth/second_factor.html", form=form, has_passkeys=passkeys, has_totp=bool(account.totp))


def _show(
    *,
    code_form: SecondFactorCodeForm | None = None,
    error: str = "",
    wrong_password: bool = False,
    passkey_name: str = "",
) -> str:
    account = g.account
    return render_template(
        SET_UP,
        error=error,
        wrong_password=wrong_password,
        code_form=code_form or SecondFactorCodeForm(formdata=None),
        password_form=PasswordAgainForm(formdata=None),
        has_totp=account.totp is not None,
        passkeys=sorted(account.passkeys.values(), key=lambda passkey: passkey.created_at),
        passkey_name=passkey_name,
        passkeys_available=deps.get().passkeys.available,
        codes_left=len(account.recovery_codes),
        proven=g.session.mfa_at is not None,
        required=account.is_operator and deps.config().require_operator_2fa,
    )


def _done(message: str, codes: list[str]) -> ResponseReturnValue:
    """The recovery codes are on this one answer and nowhere else. How the account is entered has changed, and this
    browser has proven that it may: it stays known.
    """
    deps.get().devices.remember(deps.store().accounts.get(g.account.email))
    if codes:
        return render_template("account/recovery_codes.html", message=message, codes=codes)
    flash(message)
    return redirect(url_for("second_factor.show"), code=303)


def _json(text: str) -> Response:
    return Response(text, mimetype="application/json")
