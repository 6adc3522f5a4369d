"""Buying credits over JSON: packs, checkout and codes, through the same services as the page."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from app.domain.api_keys import ANY, SESSION
from app.domain.clock import utcnow
from app.domain.errors import NotFound
from app.domain.tasks import new_idempotency_key
from app.forms.api import idempotency_key, read_json, text_field
from app.services import checkout, codes
from app.services.throttle import CHECKOUT_BY_ACCOUNT, REDEEM_BY_ACCOUNT
from app.web import bodies, deps
from app.web.csrf import csrf
from app.web.guards import token_required
from app.web.shapes import CHECKOUT, PACK, PACKS, REDEEMED

bp = Blueprint("api_credits", __name__, url_prefix="/api")
csrf.exempt(bp)  # no cookie is read here, so there is nothing to forge


@bp.get("/packs")
@token_required(ANY)
def packs() -> ResponseReturnValue:
    return PACKS(packs=[PACK(pack, currency="usd") for pack in deps.config().packs])


@bp.post("/checkout")
@token_required(SESSION)
def buy() -> tuple[dict[str, Any], int]:
    """Open a Checkout Session; a person pays at `checkout_url`, and the credits arrive by themselves."""
    key = idempotency_key(request) or new_idempotency_key()
    wanted = text_field(read_json(request, bodies.BUY), "pack_id")
    pack = next((pack for pack in deps.config().packs if pack.pack_id == wanted), None)
    if pack is None:
        raise NotFound("There is no such pack. GET /api/packs lists them.")
    deps.get().throttle.hit(CHECKOUT_BY_ACCOUNT, "checkout", g.account.email)
    address = checkout.open_session(
        deps.store(),
        deps.get().stripe,
        g.account,
        pack,
        idempotency_key=key,
        app_url=deps.config().app_url,
        now=utcnow(),
    )
    return CHECKOUT(pack, checkout_url=address), 201


@bp.post("/redeem")
@token_required(SESSION)
def redeem() -> dict[str, Any]:
    key = idempotency_key(request)
    code = text_field(read_json(request, bodies.REDEEM), "code")
    deps.get().throttle.hit(REDEEM_BY_ACCOUNT, "redeem", g.account.email)
    added = codes.redeem(deps.store(), g.account, code, now=utcnow(), idempotency_key=key)
    return REDEEMED(credits_added=added, credits=deps.store().accounts.get(g.account.email).credits_balance)
