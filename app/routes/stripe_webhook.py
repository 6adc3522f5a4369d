"""Stripe's webhook: verify the raw bytes, record what they say, answer fast."""

from __future__ import annotations

from flask import Blueprint, request

from app import deps
from app.domain.clock import utcnow
from app.gateways.stripe import verify_webhook
from app.security import csrf, public
from app.services import payments

bp = Blueprint("stripe_webhook", __name__)
csrf.exempt(bp)  # the signature is the proof

MAX_WEBHOOK_BODY = 256 * 1024


@bp.post("/api/stripe/webhook")
@public
def receive():
    """Answers 2xx only once the write is durable: anything else makes Stripe try again."""
    request.max_content_length = MAX_WEBHOOK_BODY
    config = deps.config()
    event = verify_webhook(
        request.get_data(cache=False), request.headers.get("Stripe-Signature"), config.stripe_webhook_secrets
    )
    payments.handle_event(deps.store(), event, livemode=config.livemode, now=utcnow())
    return {"received": True}
