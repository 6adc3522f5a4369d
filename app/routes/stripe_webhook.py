"""Stripe's webhook: verify the raw bytes, record what they say, answer fast."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.errors import InvalidSignature
from app.gateways.stripe import SignatureOutOfTime, verify_webhook
from app.services import endpoint, payments
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
    event = _verified()
    endpoint.note_event(event, livemode=config.livemode)
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


def _verified() -> dict[str, Any]:
    """Raises InvalidSignature, InvalidPayload. What carries a signature that is none of ours rings an alarm."""
    header = request.headers.get("Stripe-Signature")
    try:
        return verify_webhook(request.get_data(), header, deps.config().stripe_webhook_secrets)
    except InvalidSignature as error:
        why = "its time" if isinstance(error, SignatureOutOfTime) else "its secret"
        endpoint.note_wrong_signature(header, why)
        raise
