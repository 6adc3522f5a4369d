"""Who is asking, and which views may be asked by whom: each view says it with one of these."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar

from flask import g, make_response, request, session

from app.domain.accounts import SEEN_GRAIN, Account, AccountKey, Session
from app.domain.api_keys import BEGINNING, SESSION, USED_GRAIN
from app.domain.clock import utcnow
from app.domain.errors import (
    DomainError,
    Forbidden,
    MissingScope,
    NotSignedIn,
    OperatorNotProven,
    SignedInAsAnother,
    StoreUnavailable,
)
from app.services import api_keys
from app.services.accounts import note_seen
from app.web import deps
from app.web.fragments import is_fragment_request
from app.web.looking import only_looking
from app.web.whose import bearer

View = TypeVar("View", bound=Callable[..., Any])
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def public(view: View) -> View:
    """Anybody may ask. The architecture test wants each view to say who may."""
    view.access = "public"  # type: ignore[attr-defined]
    return view


def login_required(view: View) -> View:
    """A signed-in browser may ask: `g.account` is set. The pages take no bearer token."""
    return _guarded(view, "customer", _from_cookie)


def login_required_while_reading(reading: Callable[[AccountKey], Callable[[], Any] | None]) -> Callable[[View], View]:
    """As `login_required`, with a read of the view's own made beside that of the account: one wait instead of two,
    where the store lets one wait at all.

    `reading` gets the key in the signed cookie and returns what is to be called in another thread, or None; the
    view finds a future in `g.reading`, or reads itself. Nobody looks at what was read before the session is known to be
    alive, and a dead one takes no more than a thread that nobody else needed.
    """

    def find() -> Account:
        email = session.get("email")
        if isinstance(email, str) and isinstance(session.get("sid"), str):
            with suppress(DomainError):  # a bad address bar: the view says so, once it is known who asks
                read = reading(AccountKey(email))
                begun = deps.get().readers.begin(read) if read and not deps.store().answers_at_once else None
                if begun:
                    g.reading = begun
        return _from_cookie()

    return lambda view: _guarded(view, "customer", find)


def login_required_unless_unchanged(tag: Callable[[Account], str]) -> Callable[[View], View]:
    """As `login_required`, for what an open page asks every few seconds: while `tag` of the account is the one that the
    page has, the answer is an empty 304, for half a read unit.

    That may be a moment late: who has just been signed out may hear once more that nothing is new. All else is decided
    and shown by a consistent read.
    """

    def find() -> Account:
        if _page_has():
            with suppress(NotSignedIn):
                account = _from_cookie(late=True)
                g.unchanged = _page_has() == tag(account)
                if g.unchanged:
                    return account
        return _from_cookie()

    def decorate(view: View) -> View:
        @wraps(view)
        def told(*args: Any, **kwargs: Any) -> Any:
            if g.pop("unchanged", False) or _page_has() == tag(g.account):
                return make_response("", 304)
            return view(*args, **kwargs)

        return _guarded(told, "customer", find)  # type: ignore[return-value]

    return decorate


def _page_has() -> str | None:
    """The tag of what the page shows that asks by itself."""
    return request.headers.get("HX-PTag") if is_fragment_request() else None


def token_required(scope: str) -> Callable[[View], View]:
    """A program with a live token or API key may ask: `g.account` is set. The API takes no cookie.

    `scope` is what the call asks of a key, which is in `g.api_key`: one of api_keys.py, kept as `view.scope`. A session
    may do all that its account may.
    """
    return lambda view: _scoped(_guarded(view, "token", lambda: _from_bearer(scope)), scope)


def operator_required(view: View) -> View:
    """An operator's browser may ask. The role is read with each request, so a demotion works at once.

    Reading takes the password alone, any other method a second factor that was proven in this session.
    """
    return _guarded(view, "operator", lambda: _operator(_from_cookie()))


def operator_token_required(scope: str) -> Callable[[View], View]:
    """An operator's program may ask; to change anything its sign-in, or the one that made its key, proved a second
    factor too.
    """
    return lambda view: _scoped(_guarded(view, "operator_token", lambda: _operator(_from_bearer(scope))), scope)


def _operator(account: Account) -> Account:
    """Raises Forbidden; OperatorNotProven for what could change something, unless this session has a second factor.

    A key was made in a session that had: it works without one, as long as the account has the role.
    """
    if not account.is_operator:
        raise Forbidden
    changes = request.method not in SAFE_METHODS
    if changes and g.api_key is None and deps.config().require_operator_2fa and g.session.mfa_at is None:
        raise OperatorNotProven
    return account


def _guarded(view: View, access: str, find: Callable[[], Account]) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.account = find()
        if is_fragment_request() and opened_by_another(g.account):
            raise SignedInAsAnother
        return view(*args, **kwargs)

    guarded.access = access  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def _scoped(view: View, scope: str) -> View:
    view.scope = scope  # type: ignore[attr-defined]
    return view


def opened_by_another(account: Account) -> bool:
    """Whether the page that asks was made for another account than the one that is signed in here by now."""
    mark = request.headers.get("X-Opened-By") or (request.form.get("opened_by") if request.method == "POST" else "")
    return bool(mark) and mark != account.account_id


def _from_cookie(*, late: bool = False) -> Account:
    email, session_id = session.get("email"), session.get("sid")
    if not isinstance(email, str) or not isinstance(session_id, str):
        raise NotSignedIn
    return _live(AccountKey(email), session_id, late=late)


def _from_bearer(scope: str) -> Account:
    token = bearer(request.headers.get("Authorization", ""))
    if not token:
        raise NotSignedIn("Send a bearer token: an API key, or what POST /api/auth/login gives you.")
    if token.startswith(BEGINNING):
        return _by_key(token, scope)
    key, session_id = deps.get().tokens.read(token)
    return _live(key, session_id)


def _by_key(secret: str, scope: str) -> Account:
    """The account of an API key that may do this. Raises NotSignedIn, MissingScope."""
    now = utcnow()
    account, key = api_keys.let_in(deps.store(), secret, now=now)
    g.account, g.api_key = account, key  # a refusal is logged with whose it was
    deps.get().key_owners.note(key.key_id, account.email)
    if scope == SESSION:
        raise MissingScope(scope, "No API key may do this: sign in with POST /api/auth/login, or at the pages.")
    if not key.may(scope):
        raise MissingScope(scope)
    if (key.used_at is None or now - key.used_at >= USED_GRAIN) and not only_looking():
        api_keys.note_used(deps.store(), account, key, now=now)
    return account


def _live(email: AccountKey, session_id: str, *, late: bool = False) -> Account:
    """The account, if this session of it is alive. One consistent read: a signed-out session is dead everywhere. What
    was read `late` decides nothing, and shows nobody anything.
    """
    account = deps.store().accounts.find(email, late=late)
    now = utcnow()
    live = account.live_session(session_id, now) if account else None
    if account is None or live is None:
        raise NotSignedIn
    if now - live.seen_at > SEEN_GRAIN and not only_looking():
        note_seen(deps.store(), account, live, now)
    g.session_id, g.session = session_id, live
    return account


def half_signed_in() -> tuple[Account, Session]:
    """The account whose password this browser has given, while the second factor is still to come."""
    email, session_id = session.get("email"), session.get("half")
    if isinstance(email, str) and isinstance(session_id, str):
        account = deps.store().accounts.find(AccountKey(email))
        half = account.live_session(session_id, utcnow(), half=True) if account else None
        if account and half:
            return account, half
    raise NotSignedIn


def signed_in_account_or_none() -> Account | None:
    """For public pages that only look different to those who are signed in; never guards anything."""
    try:
        return _from_cookie()
    except (NotSignedIn, StoreUnavailable):
        return None
