"""Buying without an account: the hand-over to Stripe, and the page that a guest comes back to."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from app.config import Pack
from app.domain.clock import utcnow
from app.domain.errors import NotFound, PaymentsUnavailable, RateLimited
from app.domain.tasks import MAX_DESCRIPTION, REDO_WINDOW, TASK_COST, new_idempotency_key
from app.forms.base import form_key
from app.forms.credits import BuyForm
from app.services import checkout
from app.services.throttle import CHECKOUT_BY_ADDRESS, GUEST_LOOKS_BY_ADDRESS, network_of
from app.web import deps
from app.web.fragments import render
from app.web.guards import public, signed_in_account_or_none
from app.web.looking import only_looking

bp = Blueprint("buy", __name__)

POLL_SECONDS = ((5, 2), (15, 5), (30, 15))  # so many looks, and the wait after each of them; then a minute
FRONT_PAGE = "home/index.html"


def offer() -> dict[str, Any]:
    """What the front page needs: the smallest pack, a key that makes pressing twice one checkout, and what it tells of
    tasks, from where that is decided.
    """
    packs = deps.config().packs
    return {
        "pack": packs[0] if packs else None,
        "request_id": new_idempotency_key(),
        "usual": deps.get().usual_time.known(),
        "cost": TASK_COST,
        "text_limit": MAX_DESCRIPTION,
        "redo_days": REDO_WINDOW.days,
    }


@bp.post("/buy")
@public
def start() -> ResponseReturnValue:
    """Opens a Checkout Session; only a POST does, so neither a robot that follows links nor a prefetch opens one."""
    if signed_in_account_or_none():
        return redirect(url_for("credits.show"), code=303)
    form = BuyForm()
    pack = _pack(form.pack.data)
    deps.get().throttle.hit(CHECKOUT_BY_ADDRESS, "guest-checkout", network_of(request.remote_addr or ""))
    try:
        address = checkout.open_guest_session(
            deps.get().stripe,
            pack,
            browser=_browser(),
            idempotency_key=form_key(request.form.get("request_id")),
            app_url=deps.config().app_url,
        )
    except PaymentsUnavailable as error:
        headers = {"Retry-After": str(error.retry_after_seconds)}
        return render_template(FRONT_PAGE, account=None, unavailable=True, **offer()), 503, headers
    return redirect(address, code=303)


@bp.get("/buy/return")
@public
def returned() -> ResponseReturnValue:
    return render("buy/returned.html", "status", **_standing())


@bp.get("/buy/return/status")
@public
def status() -> ResponseReturnValue:
    """The page's own question while it waits."""
    return render("buy/returned.html", "status", **_standing())


def _pack(pack_id: str | None) -> Pack:
    pack = next((pack for pack in deps.config().packs if pack.pack_id == pack_id), None)
    if pack is None:
        raise NotFound("There is no such pack any more. Choose another.")
    return pack


def _browser() -> str:
    """Something that one browser keeps and no other has, so that nobody can open somebody else's checkout."""
    return sha256(str(session.get("csrf_token", "")).encode()).hexdigest()


def _standing() -> dict[str, Any]:
    """The session's id is all that is asked for: who paid by telephone may come back by another browser."""
    session_id, looks = request.args.get("session_id", ""), _looks()
    try:
        state = checkout.look_up_guest(
            deps.store(),
            deps.get().stripe,
            session_id,
            livemode=deps.config().livemode,
            now=utcnow(),
            named=deps.named_sales(),
            before_asking=_count_question,
            only_looking=only_looking(),
        )
    except RateLimited:
        state = checkout.WAITING  # the webhook books it all the same
    return {
        "account": signed_in_account_or_none(),
        "state": state,
        "session_id": session_id,
        "looks": looks + 1,
        "poll_seconds": next((wait for most, wait in POLL_SECONDS if looks < most), 60),
    }


def _looks() -> int:
    text = request.args.get("looks", "0")
    return min(int(text), 1000) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _count_question() -> None:
    """Stripe is asked for HEAD and for what is fetched ahead as well, or they could not answer as GET does."""
    deps.get().throttle.hit(GUEST_LOOKS_BY_ADDRESS, "guest-look", network_of(request.remote_addr or ""), costs=True)
