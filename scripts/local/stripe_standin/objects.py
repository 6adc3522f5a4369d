"""Fresh Stripe objects with the fields that matter, named and typed as Stripe's API has them."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from .store import now

API_VERSION = "2026-10-28.endive"
ZERO_DECIMAL = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"}
)
_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def customer(email: str | None, name: str | None, metadata: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "email": email,
        "invoice_prefix": secrets.token_hex(4).upper(),
        "livemode": False,
        "metadata": dict(metadata),
        "name": name,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
    }


def session(**fields: Any) -> dict[str, Any]:
    """An open Checkout Session in payment mode."""
    created = now()
    return {
        "id": new_id("cs_test", 58),
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": 0,
        "amount_total": 0,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": None,
        "client_reference_id": None,
        "client_secret": None,
        "consent": None,
        "consent_collection": None,
        "created": created,
        "currency": "usd",
        "custom_fields": [],
        "customer": None,
        "customer_creation": "if_required",
        "customer_details": None,
        "customer_email": None,
        "discounts": [],
        "expires_at": created + 24 * 3600,
        "invoice": None,
        "invoice_creation": {"enabled": False, "invoice_data": {"metadata": {}}},
        "livemode": False,
        "locale": None,
        "metadata": {},
        "mode": "payment",
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_types": ["card", "us_bank_account"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "setup_intent": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": None,
        **fields,
    }


def payment_intent(**fields: Any) -> dict[str, Any]:
    intent_id = new_id("pi")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": 0,
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{secrets.token_hex(12)}",
        "confirmation_method": "automatic",
        "created": now(),
        "currency": "usd",
        "customer": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "payment_method": None,
        "payment_method_types": ["card", "us_bank_account"],
        "processing": None,
        "receipt_email": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "status": "requires_payment_method",
        **fields,
    }


def charge(prefix: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": new_id(prefix),
        "object": "charge",
        "amount": 0,
        "amount_captured": 0,
        "amount_refunded": 0,
        "balance_transaction": None,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "captured": False,
        "created": now(),
        "currency": "usd",
        "customer": None,
        "description": None,
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "outcome": None,
        "paid": False,
        "payment_intent": None,
        "payment_method": None,
        "payment_method_details": None,
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "statement_descriptor": None,
        "status": "pending",
        **fields,
    }


def refund(prefix: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": new_id(prefix),
        "object": "refund",
        "amount": 0,
        "balance_transaction": None,
        "charge": None,
        "created": now(),
        "currency": "usd",
        "destination_details": {"type": "card", "card": {"reference_status": "pending", "type": "refund"}},
        "failure_balance_transaction": None,
        "failure_reason": None,
        "metadata": {},
        "payment_intent": None,
        "pending_reason": None,
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
        **fields,
    }


def dispute(**fields: Any) -> dict[str, Any]:
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": 0,
        "balance_transactions": [],
        "charge": None,
        "created": now(),
        "currency": "usd",
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": now() + 7 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": None,
        "payment_method_details": None,
        "reason": "fraudulent",
        "status": "needs_response",
        **fields,
    }


def invoice(**fields: Any) -> dict[str, Any]:
    return {
        "id": new_id("in"),
        "object": "invoice",
        "amount_due": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": now(),
        "currency": "usd",
        "customer": None,
        "customer_email": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "livemode": False,
        "metadata": {},
        "number": None,
        "status": "paid",
        "subtotal": 0,
        "total": 0,
        **fields,
    }


def event(
    kind: str, thing: Mapping[str, Any], previous: Mapping[str, Any], request: Mapping[str, Any]
) -> dict[str, Any]:
    data: dict[str, Any] = {"object": dict(thing)}
    if previous:
        data["previous_attributes"] = dict(previous)
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": now(),
        "data": data,
        "livemode": bool(thing.get("livemode", False)),
        "pending_webhooks": 1,
        "request": {"id": request.get("id"), "idempotency_key": request.get("idempotency_key")},
        "type": kind,
    }


def money(amount: object, currency: object) -> str:
    """An amount for reading: $10.00, 1,000 JPY."""
    if not isinstance(amount, int):
        return "no amount"
    code = str(currency or "?").lower()
    if code in ZERO_DECIMAL:
        return f"{amount:,} {code.upper()}"
    sign, cents = "-" if amount < 0 else "", abs(amount)
    figure = f"{cents // 100:,}.{cents % 100:02d}"
    return f"{sign}${figure}" if code == "usd" else f"{sign}{figure} {code.upper()}"
