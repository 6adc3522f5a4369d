"""Buying credits over JSON: packs, checkout and codes, through the same services as the page."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from flask import Blueprint, g
from flask.typing import ResponseReturnValue

from app.domain.api_keys import ANY, SESSION
from app.domain.clock import utcnow
from app.domain.codes import normalise_code
from app.domain.errors import AddressUnconfirmed, IdempotencyKeyReused, NotFound, PaymentsUnavailable
from app.domain.tasks import new_idempotency_key
from app.gateways.stripe import PaymentRefused
from app.services import checkout, codes
from app.services.throttle import CHECKOUT_BY_ACCOUNT, REDEEM_BY_ACCOUNT
from app.web import deps
from app.web.asked import Keyed
from app.web.call import Body, call, checked, replayed, told
from app.web.csrf import csrf
from app.web.guards import token_required
from app.web.shapes import CHECKOUT, PACK, PACKS, REDEEMED

bp = Blueprint("api_credits", __name__, url_prefix="/api")
csrf.exempt(bp)  # no cookie is read here, so there is nothing to forge


class Buy(Body):
    pack_id: Annotated[str, told("One of GET /api/packs.", examples=["pack-1000"])]


class Redeem(Body):
    code: Annotated[
        str,
        checked(
            normalise_code,
            description="5 to 40 letters, digits and dashes; spaces do not matter.",
            examples=["SPRING-2026"],
        ),
    ]


@bp.get("/packs")
@token_required(ANY)
@call("list_packs", "What is for sale", tag="credits", answers={200: PACKS})
def packs() -> ResponseReturnValue:
    return PACKS(packs=[PACK(pack, currency="usd") for pack in deps.config().packs])


@bp.post("/checkout")
@token_required(SESSION)
@call(
    "buy",
    "Open a payment page for a pack",
    tag="credits",
    limits=["checkout"],
    answers={201: CHECKOUT},
    refusals=[NotFound, PaymentRefused, PaymentsUnavailable, IdempotencyKeyReused],
    description="A person pays at checkout_url; the credits arrive by themselves. A repeated key is the same page for "
    "23 hours, and counts nothing; with another pack it is a 409.",
    replays=True,
)
def buy(body: Buy, headers: Keyed) -> ResponseReturnValue:
    key = headers.idempotency_key or new_idempotency_key()
    pack = next((pack for pack in deps.config().packs if pack.pack_id == body.pack_id), None)
    if pack is None:
        raise NotFound("There is no such pack. GET /api/packs lists them.")
    opened = checkout.open_session(
        deps.store(),
        deps.get().stripe,
        g.account,
        pack,
        idempotency_key=key,
        app_url=deps.config().app_url,
        now=utcnow(),
        before_asking=partial(deps.get().throttle.hit, CHECKOUT_BY_ACCOUNT, "checkout", g.account.email),
    )
    return CHECKOUT(pack, checkout_url=opened.url), 201, replayed(opened.replayed)


@bp.post("/redeem")
@token_required(SESSION)
@call(
    "redeem",
    "Redeem a promotional code, once a person",
    tag="credits",
    limits=["redeem"],
    answers={200: REDEEMED},
    refusals=[AddressUnconfirmed, IdempotencyKeyReused],
    description="The e-mail address of the account must be confirmed. Addresses that differ by case, dots or a +tag "
    "before the @ are one person's. A repeated key is answered as the first time for 30 days; with another code it is "
    "a 409.",
    replays=True,
)
def redeem(body: Redeem, headers: Keyed) -> ResponseReturnValue:
    key, code = headers.idempotency_key, body.code
    deps.get().throttle.hit(REDEEM_BY_ACCOUNT, "redeem", g.account.email)
    done = codes.redeem(deps.store(), g.account, code, now=utcnow(), idempotency_key=key)
    return REDEEMED(credits_added=done.credits, credits=done.balance), 200, replayed(done.replayed)
