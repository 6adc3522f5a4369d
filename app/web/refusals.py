"""The one place that turns a refusal or a failure into an answer: JSON under /api, a fragment for HTMX, or a page."""

from __future__ import annotations

import logging
from typing import Any

from flask import (
    Flask,
    Response,
    current_app,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_wtf.csrf import CSRFError
from jinja2 import TemplateNotFound
from werkzeug.exceptions import HTTPException

from app.data.client import Stale
from app.domain import errors as domain
from app.domain.accounts import AccountKey
from app.domain.clock import utcnow
from app.domain.errors import NotSignedIn, SignedInAsAnother
from app.domain.tasks import new_idempotency_key
from app.forms.auth import LoginForm
from app.gateways.stripe import PaymentRefused
from app.services import drafts
from app.web import csrf, deps, rate_limits
from app.web.admission import allow_giving_back
from app.web.fragments import is_fragment_request
from app.web.guards import opened_by_another, signed_in_account_or_none
from app.web.typed import Typed, typed_in

log = logging.getLogger(__name__)

STATUS: dict[type[domain.DomainError], int] = {
    domain.Malformed: 400,
    domain.NotSignedIn: 401,
    domain.InsufficientCredits: 402,
    domain.KeyLimitReached: 402,
    domain.Forbidden: 403,
    domain.NotFound: 404,
    domain.AccountExists: 409,
    domain.AlreadyRecorded: 409,
    domain.IdempotencyKeyReused: 409,
    domain.ReferenceUsed: 409,
    domain.WrongState: 409,
    Stale: 409,
    domain.LinkExpired: 410,
    domain.InvalidInput: 422,
    PaymentRefused: 422,
    domain.RateLimited: 429,
    domain.LedgerWrong: 500,
    domain.Unavailable: 503,
}
CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "not_json"}


def register(app: Flask) -> None:
    app.register_error_handler(domain.DomainError, _domain_error)
    app.register_error_handler(CSRFError, _csrf_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def is_api() -> bool:
    return request.path.startswith("/api/")


def status_of(error: domain.DomainError | type[domain.DomainError]) -> int:
    found = error if isinstance(error, type) else type(error)
    return next((STATUS[kind] for kind in found.__mro__ if kind in STATUS), 400)


def _domain_error(error: domain.DomainError) -> Response:
    if isinstance(error, domain.NotSignedIn) and not is_api():
        return _to_sign_in(error)
    log.warning("refused", extra={"code": error.code, "status": status_of(error)})
    if isinstance(error, domain.RateLimited) and error.standing:
        rate_limits.tell(error.standing)
    retry_after = getattr(error, "retry_after_seconds", None)
    response = _answer(status_of(error), error.code, error.message, retry_after, error.details(), error)
    if isinstance(error, domain.UnreadableCookies):  # or this browser would never get past this answer
        response.headers["Clear-Site-Data"] = '"cookies"'
    return response


def _csrf_error(error: CSRFError) -> Response:
    """The page is older than the session, or no page of ours sent this. Whoever is signed in gets the form again.

    The new token only leaves in an answer to the account that the page was made for, which no other site can read.
    """
    log.warning("refused: CSRF token")
    found = typed_in(request)
    account = signed_in_account_or_none()
    if account is None and found and found.open_to_all:
        message = "This page was open for too long or has lost its session."
        return _answer(400, "csrf", message, None, {}, fresh_token=csrf.token())
    if account is None and (found or is_fragment_request()):
        return _to_sign_in(NotSignedIn(), author_known=False)
    message = "This page was open for too long or has lost its session. Reload the page and send it again."
    if account is None or (found is None and not is_fragment_request()):
        return _answer(400, "csrf", message, None, {})
    g.account = account
    if opened_by_another(account):
        g.another_signed_in = True
        return _answer(400, "csrf", SignedInAsAnother.message, None, {})
    if is_fragment_request():
        response = _toast(400, "You have signed in again since this page was opened. Send it once more.", None)
        response.headers[csrf.TOKEN_HEADER] = csrf.token()
        return response
    words = "You have signed in again since that page was opened, so it was not taken. Nothing was charged."
    return _answer(400, "csrf", words, None, {}, fresh_token=csrf.token())


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400 and error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    if status == 413:
        allow_giving_back()
    response = _answer(status, CODES.get(status, "error"), _words(status), None, {})
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    """A fault of ours. Shows a reference, no trace; reads no session and no store."""
    log.exception("unexpected error")
    if is_api():
        return _answer(500, "internal", "Something broke on our side. It has been noted.", None, {})
    if is_fragment_request():
        return _toast(500, "Something broke on our side. Look at your history before you try again.", None)
    template = current_app.jinja_env.get_template("errors/500.html")
    page = template.render(request_id=g.get("request_id"), opened=_opened(), **_typed())
    return make_response(page, 500)


def _answer(
    status: int,
    code: str,
    message: str,
    retry_after: int | None,
    details: dict[str, Any],
    error: domain.DomainError | None = None,
    fresh_token: str = "",
) -> Response:
    if is_api():
        response = jsonify(error=message, code=code, **details)
        response.status_code = status
    elif is_fragment_request():
        response = _toast(status, message, error)
    else:
        name = "second_factor" if isinstance(error, domain.OperatorNotProven) else str(status)
        wrong = getattr(error, "field", None)
        response = _page(status, code, message if status != 404 else None, retry_after, name, fresh_token, wrong)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _toast(status: int, message: str, error: domain.DomainError | None) -> Response:
    body = render_template("errors/_toast.html", message=message)
    if isinstance(error, domain.IdempotencyKeyReused):  # the changed text can go out as a task of its own
        body += render_template("dashboard/_request_id.html", request_id=new_idempotency_key())
    response = make_response(body, status)
    response.vary.add("HX-Request")
    return response


def _page(
    status: int,
    code: str,
    message: str | None,
    retry_after: int | None,
    name: str,
    fresh_token: str = "",
    wrong: str | None = None,
) -> Response:
    context = {
        "status": status,
        "code": code,
        "message": message,
        "retry_after": retry_after,
        "request_id": g.get("request_id"),
        "opened": _opened(),
        "wrong": wrong,
        **_typed(fresh_token),
    }
    try:
        page = render_template(f"errors/{name}.html", **context)
    except TemplateNotFound:
        page = render_template("errors/400.html", **context)
    return make_response(page, status)


def _typed(fresh_token: str = "") -> dict[str, Any]:
    """For the page of an error: what was typed, and the token that it can go out under again."""
    found = typed_in(request)
    if found is None:
        return {"typed": None}
    token = fresh_token or ("" if g.get("another_signed_in") else request.form.get("csrf_token", ""))
    return {"typed": found, "token": token}


def _opened() -> bool:
    """Whether a page was only to be shown: that never charges anything, while a write may have gone through."""
    return request.method in ("GET", "HEAD")


def _to_sign_in(error: domain.NotSignedIn, *, author_known: bool = True) -> Response:
    """To the sign-in page and back; an open page stays as it is, for it may hold a text.

    A form whose session has ended is kept for the account that the signed cookie names. Where nobody can be named, or
    it cannot be kept, it rides along in the sign-in page: nothing that the next person at this browser could come upon.
    """
    found = typed_in(request)
    kept = bool(found and author_known and _keep(found))
    if is_fragment_request():
        message = error.message if isinstance(error, SignedInAsAnother) else ""
        response = make_response(render_template("errors/_signed_out.html", message=message), 401)
        response.headers["WWW-Authenticate"] = "Bearer"
        response.vary.add("HX-Request")
        return response
    if found and not kept:
        form = LoginForm(formdata=None)
        return make_response(render_template("auth/login.html", form=form, signed_out=True, typed=found), 401)
    here = request.full_path.rstrip("?") if request.method == "GET" else "/dashboard"
    if kept:
        here = url_for("unsent.show")
    # The dead session stays in the cookie: another open page may still have something to keep for its account.
    target = url_for("auth.login", next=here if here != "/dashboard" else None, out=1 if "sid" in session else None)
    return redirect(target, code=303)  # type: ignore[return-value]


def _keep(found: Typed) -> bool:
    """Whether the form is safe with the account whose session has ended; the signature of the cookie names it."""
    email = session.get("email")
    if not isinstance(email, str) or "sid" not in session:
        return False
    try:
        store = deps.store()
        account = store.accounts.find(AccountKey(email))
        return account is not None and drafts.keep(store, account, found.place, found.fields, now=utcnow())
    except domain.DomainError:
        return False


def _words(status: int) -> str:
    """Ours: the sentences of the library speak of protocols."""
    known = {
        400: "The request could not be understood.",
        404: "There is nothing here.",
        405: "This address does not answer that method.",
        413: "That is too large.",
        415: "Send JSON, with the header Content-Type: application/json.",
    }
    return known.get(status, "This request cannot be answered as it was sent.")
