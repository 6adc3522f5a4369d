"""What is let in: how long a body may be, which text is text, which headers decide, and that there is room."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes

from flask import Flask, current_app, request, session
from werkzeug.middleware.proxy_fix import ProxyFix

from app.domain.errors import Malformed, NotFound, TooBusy, UnreadableCookies
from app.web import probes
from app.web.work_slots import NO_SLOT, WHY

if TYPE_CHECKING:
    from app.config import Config

View = TypeVar("View", bound=Callable[..., Any])
MAX_BODY = 64 * 1024
MAX_TYPED = 2 * 1024 * 1024  # bytes of a form of someone signed in: what is too long is refused with the text in hand
MAX_GIVEN_BACK = 4 * MAX_TYPED  # of what is even longer: that is refused as it stands, and the text handed back
MAX_CARRIED = 4 * MAX_BODY  # of a sign-in that carries along what was typed before it
MAX_TEXT_IN_URL = 2048  # bytes: what a key of the store may hold
UNCOOKED = ("static", *probes.ENDPOINTS)  # read no header that decides anything


def register(app: Flask, config: Config) -> None:
    """Asked before the CSRF check and every view, in this order."""
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY)
    for check in (allow_body, check_text, check_headers, refuse_when_busy):
        app.before_request(check)
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=config.trusted_proxies, x_proto=1, x_host=0, x_port=0, x_prefix=0
        )


def takes(max_body: int) -> Callable[[View], View]:
    """A view whose forms may hold more than MAX_BODY bytes: see `allow_body`."""

    def marked(view: View) -> View:
        view.max_body = max_body  # type: ignore[attr-defined]
        return view

    return marked


def allow_body() -> None:
    """How much may be sent: a form of a person signed in may be longer, and a view that takes files says how much.

    Read from the signed cookie alone: whoever had a session here.
    """
    view = current_app.view_functions.get(request.endpoint or "")
    limit = getattr(view, "max_body", 0)
    known = _had_a_session()
    if request.method == "POST" and not request.path.startswith("/api/") and (known or limit == MAX_CARRIED):
        request.max_content_length = max(limit, MAX_TYPED if known else 0)
        request.max_form_memory_size = MAX_GIVEN_BACK


def allow_giving_back() -> None:
    """More of a form that was refused for its length than was to be read of it, so that its text is not lost."""
    limit = MAX_GIVEN_BACK if _had_a_session() else MAX_CARRIED
    if (request.content_length or 0) <= limit:
        request.max_content_length = request.max_form_memory_size = limit


def _had_a_session() -> bool:
    return "sid" in session or "left" in session


def check_text() -> None:
    """The one place where text that is no text is refused, before any view reads it.

    Werkzeug would silently replace bytes that are not UTF-8, and what it hands on would not be what was sent. NUL and
    lone surrogates inside a field are the field's own business: app/domain/text.py.
    """
    if "\x00" in request.path or len(request.path.encode("utf-8", "replace")) > MAX_TEXT_IN_URL:
        raise NotFound
    values = [value for key, value in request.args.items(multi=True)]
    if any("\x00" in value or len(value.encode("utf-8", "replace")) > MAX_TEXT_IN_URL for value in values):
        raise Malformed
    parts = [request.query_string]
    if request.mimetype == "application/x-www-form-urlencoded":
        parts.append(request.get_data())
    try:
        for part in parts:
            unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise Malformed("The request is not UTF-8 text. Nothing was charged.") from error


def check_headers() -> None:
    """Refuse a request whose deciding header came as nothing: granian hands one with a byte outside ASCII on as empty.

    Unseen, a cookie that another page of the domain has set would sign its owner out for good, and a made-up
    X-Forwarded-For would hide the address that the limits count. The Idempotency-Key has its reader in forms/api.py;
    an empty Authorization or Stripe-Signature is refused where it is read.
    """
    if request.endpoint in UNCOOKED:
        return
    if request.headers.get("Cookie") == "" and not request.path.startswith("/api/"):
        raise UnreadableCookies
    # ProxyFix keeps what the server handed on before it put the believed address in place.
    if request.environ.get("HTTP_X_FORWARDED_FOR") == "":
        raise Malformed("The X-Forwarded-For header is not ASCII. Nothing was charged.")


def refuse_when_busy() -> None:
    """Before the CSRF check and every view: a form is not judged, only given back."""
    if NO_SLOT in request.environ:
        raise WHY.get(request.environ[NO_SLOT], TooBusy)
