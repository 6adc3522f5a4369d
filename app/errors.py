"""The one place that turns a refusal or a failure into an answer: JSON under /api, a fragment for HTMX, or a page."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

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
from app.domain.tasks import new_request_id
from app.fragments import is_fragment_request
from app.gateways.stripe import PaymentRefused
from app.looking import only_looking

log = logging.getLogger(__name__)

STATUS: dict[type[domain.DomainError], int] = {
    domain.Malformed: 400,
    domain.NotSignedIn: 401,
    domain.InsufficientCredits: 402,
    domain.Forbidden: 403,
    domain.NotFound: 404,
    domain.AccountExists: 409,
    domain.AlreadyRecorded: 409,
    domain.RequestIdReused: 409,
    domain.WrongState: 409,
    Stale: 409,
    domain.LinkExpired: 410,
    domain.InvalidInput: 422,
    PaymentRefused: 422,
    domain.RateLimited: 429,
    domain.Unavailable: 503,
}
CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "not_json"}
KEPT_DRAFT = 2_000  # characters of a text that ride in the signed cookie through a sign-in


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
        return _to_sign_in()
    log.warning("refused", extra={"code": error.code, "status": status_of(error)})
    retry_after = getattr(error, "retry_after_seconds", None)
    response = _answer(status_of(error), error.code, error.message, retry_after, error.details(), error)
    if isinstance(error, domain.UnreadableCookies):  # or this browser would never get past this answer
        response.headers["Clear-Site-Data"] = '"cookies"'
    return response


def _csrf_error(error: CSRFError) -> Response:
    log.warning("refused: CSRF token")
    message = "This page was open for too long or has lost its session. Reload the page and send it again."
    return _answer(400, "csrf", message, None, {})


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400 and error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    response = _answer(status, CODES.get(status, "error"), _words(status, error), None, {})
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
    page = template.render(request_id=g.get("request_id"), opened=_opened())
    return make_response(page, 500)


def _answer(
    status: int,
    code: str,
    message: str,
    retry_after: int | None,
    details: dict[str, Any],
    error: domain.DomainError | None = None,
) -> Response:
    if is_api():
        response = jsonify(error=message, code=code, **details)
        response.status_code = status
    elif is_fragment_request():
        response = _toast(status, message, error)
    else:
        name = "second_factor" if isinstance(error, domain.OperatorNotProven) else str(status)
        response = _page(status, code, message if status != 404 else None, retry_after, name)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _toast(status: int, message: str, error: domain.DomainError | None) -> Response:
    body = render_template("errors/_toast.html", message=message)
    if isinstance(error, domain.RequestIdReused):  # the changed text can go out as a task of its own
        body += render_template("dashboard/_request_id.html", request_id=new_request_id())
    response = make_response(body, status)
    response.vary.add("HX-Request")
    return response


def _page(status: int, code: str, message: str | None, retry_after: int | None, name: str) -> Response:
    text = _typed()
    context = {
        "status": status,
        "code": code,
        "message": message,
        "retry_after": retry_after,
        "request_id": g.get("request_id"),
        "opened": _opened(),
        "kept_text": text,
        "kept": request.form if text and request.endpoint == "tasks.submit" else None,
    }
    try:
        page = render_template(f"errors/{name}.html", **context)
    except TemplateNotFound:
        page = render_template("errors/400.html", **context)
    return make_response(page, status)


def _opened() -> bool:
    """Whether a page was only to be shown: that never charges anything, while a write may have gone through."""
    return request.method in ("GET", "HEAD")


def _typed() -> str:
    """The text of a task in the form, to be shown again; none when the body was too large or broke off."""
    try:
        return request.form.get("description", "") if request.method == "POST" else ""
    except HTTPException:
        return ""


def _to_sign_in() -> Response:
    """To the sign-in page and back; a fragment request is told by a header, or the form would land in the fragment."""
    here = request.full_path.rstrip("?") if request.method == "GET" else "/dashboard"
    if is_fragment_request():
        here = _path_of(request.headers.get("HX-Current-URL", ""))
    if request.method == "POST" and (text := request.form.get("description", "")):
        session["draft"] = text[:KEPT_DRAFT]
    had_session = "sid" in session
    if not only_looking():
        session.pop("sid", None)
    target = url_for("auth.login", next=here if here != "/dashboard" else None, out=1 if had_session else None)
    if is_fragment_request():
        response = make_response("", 401)
        response.headers["HX-Redirect"] = target
        return response
    return redirect(target, code=303)  # type: ignore[return-value]


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path or "/dashboard"
    except ValueError:
        return "/dashboard"


def _words(status: int, error: HTTPException) -> str:
    known = {
        400: "The request could not be understood.",
        404: "There is nothing here.",
        405: "This address does not answer that method.",
        413: "That is too large.",
        415: "Send JSON, with the header Content-Type: application/json.",
    }
    return known.get(status, error.name + ".")
