"""Stripe's webhook: verify the raw bytes, record what they say, answer fast."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.gateways.stripe import verify_webhook
from app.services import payments
from app.services.heartbeats import note_delivery
from app.web import deps
from app.web.csrf import csrf
from app.web.guards import public
from app.web.shapes import RECEIVED

bp = Blueprint("stripe_webhook", __name__)
csrf.exempt(bp)  # the signature is the proof

MAX_WEBHOOK_BODY = 256 * 1024


@bp.post("/api/stripe/webhook")
@public
def receive() -> ResponseReturnValue:
    """Answers 2xx only once the write is durable: anything else makes Stripe try again."""
    request.max_content_length = MAX_WEBHOOK_BODY
    config = deps.config()
    event = verify_webhook(request.get_data(), request.headers.get("Stripe-Signature"), config.stripe_webhook_secrets)
    now = utcnow()
    payments.handle_event(
        deps.store(),
        event,
        livemode=config.livemode,
        now=now,
        named=deps.named_sales(),
        lines_of=deps.get().stripe.line_items,
    )
    note_delivery(deps.store(), now)
    return RECEIVED(received=True)
