"""Who is asking, which views may be asked by whom, and the headers that every answer carries."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import wraps
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes

from flask import Flask, Response, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFProtect, generate_csrf, validate_csrf
from itsdangerous import URLSafeTimedSerializer
from werkzeug.middleware.proxy_fix import ProxyFix
from wtforms import ValidationError

from app.domain.accounts import ABSOLUTE_LIFETIME, SEEN_GRAIN, Account, Session, mask_email, session_key
from app.domain.clock import utcnow
from app.domain.errors import (
    DomainError,
    Forbidden,
    Malformed,
    NotFound,
    NotSignedIn,
    OperatorNotProven,
    SignedInAsAnother,
    StoreUnavailable,
    TooBusy,
    UnreadableCookies,
)
from app.services import drafts
from app.services.accounts import SignedIn
from app.services.signing import Signer
from app.web import deps
from app.web.fragments import is_fragment_request
from app.web.looking import only_looking
from app.web.work_slots import NO_SLOT

if TYPE_CHECKING:
    from app.config import Config

log = logging.getLogger(__name__)

csrf = CSRFProtect()
View = TypeVar("View", bound=Callable[..., Any])

MAX_BODY = 64 * 1024
MAX_TYPED = 2 * 1024 * 1024  # bytes of a form of someone signed in: what is too long is refused with the text in hand
TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 # nosec B105 - a name: how an open page gets a token that fits
MAX_GIVEN_BACK = 4 * MAX_TYPED  # of what is even longer: that is refused as it stands, and the text handed back
MAX_CARRIED = 4 * MAX_BODY  # of a sign-in that carries along what was typed before it
MAX_TEXT_IN_URL = 2048  # bytes: what a key of the store may hold
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
UNCOOKED = ("static", "health.check")  # read no header that decides anything
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self' https://checkout.stripe.com",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "htmx",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), "
    "publickey-credentials-get=(self), publickey-credentials-create=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def public(view: View) -> View:
    """Anybody may ask. The architecture test wants each view to say who may."""
    view.access = "public"  # type: ignore[attr-defined]
    return view


def login_required(view: View) -> View:
    """A signed-in browser may ask: `g.account` is set. The pages take no bearer token."""
    return _guarded(view, "customer", _from_cookie)


def login_required_while_reading(reading: Callable[[str], Callable[[], Any] | None]) -> Callable[[View], View]:
    """As `login_required`, with a read of the view's own made beside that of the account: one wait instead of two.

    `reading` gets the address in the signed cookie and returns what is to be called in another thread, or None; the
    view finds a future in `g.reading`, or reads itself. Nobody looks at what was read before the session is known to be
    alive, and a dead one takes no more than a thread that nobody else needed.
    """

    def find() -> Account:
        email = session.get("email")
        if isinstance(email, str) and isinstance(session.get("sid"), str):
            with suppress(DomainError):  # a bad address bar: the view says so, once it is known who asks
                read = reading(email)
                begun = deps.get().readers.begin(read) if read else None
                if begun:
                    g.reading = begun
        return _from_cookie()

    return lambda view: _guarded(view, "customer", find)


def takes(max_body: int) -> Callable[[View], View]:
    """A view whose forms may hold more than MAX_BODY bytes: see `allow_body`."""

    def marked(view: View) -> View:
        view.max_body = max_body  # type: ignore[attr-defined]
        return view

    return marked


def token_required(view: View) -> View:
    """A program with a live token may ask: `g.account` is set. The API takes no cookie."""
    return _guarded(view, "token", _from_bearer)


def admin_required(view: View) -> View:
    """An operator's browser may ask. The role is read with each request, so a demotion works at once.

    Reading takes the password alone, any other method a second factor that was proven in this session.
    """

    def find() -> Account:
        account = _from_cookie()
        if not account.is_admin:
            raise Forbidden
        check_operator_is_proven()
        return account

    return _guarded(view, "admin", find)


def operator_token_required(view: View) -> View:
    """An operator's program with a live token may ask; to change anything its sign-in proved a second factor too."""

    def find() -> Account:
        account = _from_bearer()
        if not account.is_admin:
            raise Forbidden
        check_operator_is_proven()
        return account

    return _guarded(view, "operator", find)


def check_operator_is_proven() -> None:
    """Raises OperatorNotProven for a request that could change something, unless this session has a second factor."""
    if request.method in SAFE_METHODS or not deps.config().require_operator_2fa:
        return
    if g.session.mfa_at is None:
        raise OperatorNotProven


def _guarded(view: View, access: str, find: Callable[[], Account]) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.account = find()
        if is_fragment_request() and opened_by_another(g.account):
            raise SignedInAsAnother
        return view(*args, **kwargs)

    guarded.access = access  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def opened_by_another(account: Account) -> bool:
    """Whether the page that asks was made for another account than the one that is signed in here by now."""
    mark = request.headers.get("X-Opened-By") or (request.form.get("opened_by") if request.method == "POST" else "")
    return bool(mark) and mark != account.account_id


def _from_cookie() -> Account:
    email, session_id = session.get("email"), session.get("sid")
    if not isinstance(email, str) or not isinstance(session_id, str):
        raise NotSignedIn
    return _live(email, session_id)


def _from_bearer() -> Account:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotSignedIn("Send a bearer token: POST /api/auth/login gives you one.")
    return _live(*deps.get().tokens.read(token.strip()))


def _live(email: str, session_id: str) -> Account:
    """The account, if this session of it is alive. One consistent read: a signed-out session is dead everywhere."""
    account = deps.store().accounts.find(email)
    now = utcnow()
    live = account.live_session(session_id, now) if account else None
    if account is None or live is None:
        raise NotSignedIn
    if now - live.seen_at > SEEN_GRAIN and not only_looking():
        deps.store().updates.accounts.touch_session(account, live, now)
    g.session_id, g.session = session_id, live
    return account


def half_signed_in() -> tuple[Account, Session]:
    """The account whose password this browser has given, while the second factor is still to come."""
    email, session_id = session.get("email"), session.get("half")
    if isinstance(email, str) and isinstance(session_id, str):
        account = deps.store().accounts.find(email)
        half = account.live_session(session_id, utcnow(), half=True) if account else None
        if account and half:
            return account, half
    raise NotSignedIn


def start_browser_session(signed_in: SignedIn) -> None:
    """A new session at each sign-in; what an earlier visitor of this browser had is dropped."""
    kept = {name: session[name] for name in ("next", "confirm") if name in session}
    session.clear()
    session.permanent = True
    session["email"] = signed_in.account.email
    session["half" if signed_in.half else "sid"] = signed_in.session_id
    session.update(kept)
    if not signed_in.half:
        deps.get().devices.remember(signed_in.account)


def current_session_key() -> str:
    return session_key(g.session_id)


def client_label() -> str:
    """What the list of sessions calls this browser or program: words of ours where they are known."""
    agent = request.user_agent.string
    browser = next((name for mark, name in BROWSERS if mark in agent), None)
    system = next((name for mark, name in SYSTEMS if mark in agent), None)
    if browser:
        return f"{browser} on {system}" if system else browser
    return re.sub(r"[^A-Za-z0-9 ._/-]", "", agent)[:40].strip() or "Unknown"


BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrom", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows")),
    *(("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)


class SessionCookies(SecureCookieSessionInterface):
    """Flask's, dated by the clock that dates the sessions themselves."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = Signer
        return serializer

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        return utcnow() + app.permanent_session_lifetime if session.permanent else None


def register(app: Flask, config: Config) -> None:
    keys = [derive_key(secret, "session-cookie") for secret in config.jwt_secrets]
    app.config.update(
        SECRET_KEY=keys[0],
        SECRET_KEY_FALLBACKS=keys[1:],
        SESSION_COOKIE_NAME="__Host-session" if config.is_production else "session",
        SESSION_COOKIE_SECURE=config.is_production,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=ABSOLUTE_LIFETIME["customer"],
        MAX_CONTENT_LENGTH=MAX_BODY,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_HEADERS=["X-CSRFToken"],
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=365),
    )

    app.session_interface = SessionCookies()

    @app.before_request
    def name_request() -> None:  # before the CSRF check, so that a refusal of it has a reference too
        g.request_id = secrets.token_hex(8)
        g.account = None
        g.started = time.perf_counter()

    app.before_request(allow_body)
    app.before_request(check_text)
    app.before_request(check_headers)
    app.before_request(refuse_when_busy)
    csrf.init_app(app)
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=config.trusted_proxies, x_proto=1, x_host=0, x_port=0, x_prefix=0
        )
    policy = content_security_policy(config)

    app.after_request(renew_token)
    app.after_request(forget_what_was_sent)

    @app.after_request
    def log_request(response: Response) -> Response:
        """One line a request. The path stays out: it may hold the token of a mailed link."""
        quiet = request.endpoint in ("static", "health.check") and response.status_code < 400
        log.log(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            extra={
                "status": response.status_code,
                "ms": round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
                "email": mask_email(g.account.email) if g.get("account") else None,
            },
        )
        return response

    @app.after_request
    def add_headers(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in (200, 304):
            response.headers["X-Content-Type-Options"] = "nosniff"  # the rest is for documents, and costs 1 KB a file
        else:
            response.headers.update(HEADERS)
            response.headers["Content-Security-Policy"] = policy
            response.headers["X-Request-Id"] = g.get("request_id", "")
        if config.is_production:
            response.headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
        if request.endpoint == "static" and response.status_code in (200, 304) and "v" in request.args:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        elif request.endpoint == "static" and response.status_code in (200, 304):
            response.headers["Cache-Control"] = "no-cache"  # without its hash an address may show something new
        elif request.endpoint != "api_description.show" or response.status_code != 200:
            response.headers["Cache-Control"] = "no-store"
        return response


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


def forget_what_was_sent(response: Response) -> Response:
    """A form that went through is no longer kept: see services/drafts.py."""
    account = g.get("account")
    through = response.status_code == 303 or (response.status_code == 200 and is_fragment_request())  # not a preview
    if request.method == "POST" and account and account.unsent and through:
        with suppress(DomainError):  # it stays on the list, and going out under its key it is done once all the same
            sent = tuple(request.form.items(multi=True))
            drafts.drop_sent(deps.store(), account, request.path, sent, now=utcnow())
    return response


def renew_token(response: Response) -> Response:
    """An open page whose session was renewed in another tab gets, with the next answer, a token that fits."""
    token = request.headers.get("X-CSRFToken")
    if g.get("account") and token and is_fragment_request() and not opened_by_another(g.account):
        try:
            validate_csrf(token)
        except ValidationError:
            response.headers[TOKEN_HEADER] = generate_csrf()
    return response


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
    if request.environ.get(NO_SLOT):
        raise TooBusy


def content_security_policy(config: Config) -> str:
    policy = dict(POLICY)
    if config.stripe_api_base:  # development: checkout is handed over to the stand-in
        policy["form-action"] = f"'self' {config.stripe_api_base}"
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def derive_key(secret: str, purpose: str) -> str:
    """A key of its own for each use, so that a cookie can never be taken for a token."""
    return hmac.new(secret.encode(), purpose.encode(), sha256).hexdigest()


def signed_in_account_or_none() -> Account | None:
    """For public pages that only look different to those who are signed in; never guards anything."""
    try:
        return _from_cookie()
    except (NotSignedIn, StoreUnavailable):
        return None
