"""Stripe's webhook: verify the raw bytes, record what they say, answer fast."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from msgspec import field

from app.domain.clock import utcnow
from app.domain.errors import InvalidPayload, InvalidSignature, PaymentsUnavailable
from app.gateways.stripe import SignatureOutOfTime, verify_webhook
from app.services import endpoint, payments
from app.services.heartbeats import note_delivery
from app.web import deps
from app.web.call import Headers, Raw, call, told
from app.web.csrf import csrf
from app.web.guards import public
from app.web.shape import TEXT, fields
from app.web.shapes import RECEIVED

bp = Blueprint("stripe_webhook", __name__)
csrf.exempt(bp)  # the signature is the proof

MAX_WEBHOOK_BODY = 256 * 1024


class Signed(Headers):
    """Read by what verifies it: see _verified."""

    stripe_signature: Annotated[
        str, told("HMAC-SHA256 over the moment and the exact bytes: https://docs.stripe.com/webhooks")
    ] = field(default="", name="Stripe-Signature")


@bp.post("/api/stripe/webhook")
@public
@call(
    "stripe_webhook",
    "What Stripe tells of a payment",
    tag="machinery",
    raw=Raw(fields(type=TEXT, data={"type": "object"})),
    answers={200: RECEIVED},
    refusals=[InvalidSignature, InvalidPayload, PaymentsUnavailable],
    description="Answers 200 only once the write is durable. Repeats and events of other types change nothing.",
    most_bytes=MAX_WEBHOOK_BODY,
)
def receive(headers: Signed) -> ResponseReturnValue:
    """Answers 2xx only once the write is durable: anything else makes Stripe try again."""
    try:
        _take(headers.stripe_signature or None)
    except InvalidPayload:
        endpoint.note_no_event(headers.stripe_signature)
        raise
    return RECEIVED(received=True)


def _take(signature: str | None) -> None:
    config = deps.config()
    event = _verified(signature)
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


def _verified(header: str | None) -> dict[str, Any]:
    """Raises InvalidSignature, InvalidPayload. What carries a signature that is none of ours rings an alarm."""
    try:
        return verify_webhook(request.get_data(), header, deps.config().stripe_webhook_secrets)
    except InvalidSignature as error:
        why = "its time" if isinstance(error, SignatureOutOfTime) else "its secret"
        endpoint.note_wrong_signature(header, why)
        raise
