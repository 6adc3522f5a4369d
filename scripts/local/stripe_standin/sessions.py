"""New Checkout Sessions: what they may be made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from stripe.params.checkout import SessionCreateParams

from . import catalogue, objects, params
from .refusals import ApiError, missing_object
from .store import Store, now

MINIMUM_TOTAL = 50


def read_session(given: Mapping[str, Any], store: Store, url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The session that these parameters of POST /v1/checkout/sessions ask for, and what it keeps to itself."""
    params.refuse_unknown(given, SessionCreateParams.__annotations__)
    if params.required_text(given, "mode") != "payment":
        raise ApiError("This stand-in only offers mode=payment.", param="mode")
    if params.text(given, "ui_mode") not in (None, "hosted_page", "hosted"):
        raise ApiError("This stand-in only offers the hosted page.", param="ui_mode")
    lines, currency, subtotal = _lines(given)
    customer_id, email = params.text(given, "customer"), params.email(given, "customer_email")
    creation = params.choice(given, "customer_creation", ("always", "if_required"))
    if customer_id and email:
        raise ApiError("You may only specify one of these parameters: customer, customer_email.", param="customer")
    if customer_id and creation:
        raise ApiError("`customer_creation` cannot be used with `customer`.", param="customer_creation")
    if customer_id:
        customer = store.get("customer", customer_id)
        if customer is None:
            raise missing_object("customer", customer_id, param="customer", status=400)
        email = customer.body["email"]
    invoice = params.group(given, "invoice_creation")
    invoice_data = params.group(invoice, "invoice_data", prefix="invoice_creation")
    intent_data = params.group(given, "payment_intent_data")
    promotions = params.boolean(given, "allow_promotion_codes")
    body = objects.session(
        allow_promotion_codes=promotions or None,
        amount_subtotal=subtotal,
        amount_total=subtotal,
        cancel_url=_url(given, "cancel_url"),
        client_reference_id=params.text(given, "client_reference_id", limit=200),
        currency=currency,
        customer=customer_id,
        customer_creation=None if customer_id else creation or "if_required",
        customer_details=details(email, None) if email else None,
        customer_email=None if customer_id else email,
        expires_at=_expiry(given),
        invoice_creation={
            "enabled": params.boolean(invoice, "enabled", prefix="invoice_creation"),
            "invoice_data": {"metadata": params.metadata(invoice_data, prefix="invoice_creation[invoice_data]")},
        },
        locale=params.text(given, "locale"),
        metadata=params.metadata(given),
        success_url=_url(given, "success_url"),
    )
    if body["success_url"] is None:
        raise ApiError("Missing required param: success_url.", code="parameter_missing", param="success_url")
    body["url"] = f"{url}/c/pay/{body['id']}"
    private = {
        "lines": lines,
        "intent_metadata": params.metadata(intent_data, prefix="payment_intent_data"),
        "intent_description": params.text(intent_data, "description", prefix="payment_intent_data"),
        "receipt_email": params.text(intent_data, "receipt_email", prefix="payment_intent_data"),
    }
    return body, private


def payment_link_session(given: Mapping[str, Any], url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A session with none of the app's metadata. `override` replaces fields of it once it is paid.

    `sells` names one of the catalogue's links; without it the link is one that nobody has seen before.
    """
    what = given.get("sells")
    if what is not None and what not in catalogue.NAMES:
        raise ApiError(f"sells must be one of {', '.join(catalogue.NAMES)}.", param="sells")
    amount, tax, discount = _whole(given, "amount"), _whole(given, "tax", 0), _whole(given, "discount", 0)
    if discount > amount:
        raise ApiError("A discount must not be larger than the amount.", param="discount")
    reference = given.get("client_reference_id")
    body = objects.session(
        amount_subtotal=amount,
        amount_total=amount - discount + tax,
        client_reference_id=str(reference) if reference else None,
        currency=str(given.get("currency") or "usd").lower(),
        metadata=dict(given.get("metadata") or {}),
        payment_link=f"plink_{what}" if what else objects.new_id("plink"),
        submit_type="auto",
        total_details={"amount_discount": discount, "amount_shipping": 0, "amount_tax": tax},
    )
    body["url"] = f"{url}/c/pay/{body['id']}"
    lines = [{"name": str(given.get("product") or "Credits"), "quantity": 1, "unit_amount": amount}]
    if what is not None:
        lines = [catalogue.line(what, amount)]
    return body, {"lines": lines, "intent_metadata": {}, "override": dict(given.get("override") or {})}


def _whole(given: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ApiError(f"{name} must be a whole number of the currency's smallest unit.", param=name)
    return value


def details(email: str | None, name: str | None) -> dict[str, Any]:
    return {"address": None, "email": email, "name": name, "phone": None, "tax_exempt": "none", "tax_ids": None}


def _lines(given: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str, int]:
    """The lines of a new session, their one currency and their sum."""
    raw = given.get("line_items")
    if not isinstance(raw, list) or not raw:
        raise ApiError("Missing required param: line_items.", code="parameter_missing", param="line_items")
    lines: list[dict[str, Any]] = []
    currencies: set[str] = set()
    subtotal = 0
    for index, item in enumerate(raw):
        prefix = f"line_items[{index}]"
        if not isinstance(item, dict):
            raise ApiError("Invalid object", param=prefix)
        if "price" in item:
            raise missing_object("price", str(item["price"]), param=f"{prefix}[price]", status=400)
        price = params.group(item, "price_data", prefix=prefix)
        inner = f"{prefix}[price_data]"
        currencies.add(params.required_text(price, "currency", prefix=inner).lower())
        unit_amount = params.integer(price, "unit_amount", prefix=inner, minimum=0)
        if unit_amount is None:
            full = f"{inner}[unit_amount]"
            raise ApiError(f"Missing required param: {full}.", code="parameter_missing", param=full)
        product = params.group(price, "product_data", prefix=inner)
        quantity = params.integer(item, "quantity", prefix=prefix, minimum=1)
        if quantity is None:
            raise ApiError("Quantity is required. Add `quantity`.", code="parameter_missing", param=prefix)
        subtotal += quantity * unit_amount
        lines.append(
            {
                "name": params.required_text(product, "name", prefix=f"{inner}[product_data]"),
                "quantity": quantity,
                "unit_amount": unit_amount,
            }
        )
    if len(currencies) > 1:
        raise ApiError("All line items must have the same currency.", param="line_items")
    currency = currencies.pop()
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        raise ApiError(f"Invalid currency: {currency}.", param="line_items[0][price_data][currency]")
    if 0 < subtotal < MINIMUM_TOTAL and currency == "usd":
        message = "The Checkout Session's total amount must convert to at least 50 cents."
        raise ApiError(message, code="amount_too_small")
    if subtotal > 99_999_999:
        raise ApiError("The Checkout Session's total amount must be no more than $999,999.99.", code="amount_too_large")
    return lines, currency, subtotal


def _url(given: Mapping[str, Any], name: str) -> str | None:
    value = params.text(given, name)
    if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc):
        raise ApiError("Not a valid URL", code="url_invalid", param=name)
    return value


def _expiry(given: Mapping[str, Any]) -> int:
    moment = params.integer(given, "expires_at")
    if moment is None:
        return now() + 24 * 3600
    if not now() + 30 * 60 - 5 <= moment <= now() + 24 * 3600 + 5:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."
        raise ApiError(message, param="expires_at")
    return moment
