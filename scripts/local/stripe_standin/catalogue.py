"""What this account sells by Payment Links: credits, and a book that is none of the app's business."""

from __future__ import annotations

from typing import Any

from .refusals import missing_object

KINDS = {"payment_links": "payment_link", "prices": "price", "products": "product"}
CREDITS, BOOK = "credits", "book"
NAMES = {CREDITS: "1,000 ImpacterAGI credits", BOOK: "A book: The Prepaid Age"}
CENTS = {CREDITS: 1000, BOOK: 2900}


def line(what: str, amount: int) -> dict[str, Any]:
    """A line of a sale by link, as sessions keep it."""
    ids = {"price": f"price_{what}", "product": f"prod_{what}"}
    return {"name": NAMES[what], "quantity": 1, "unit_amount": amount, **ids}


def find(kind: str, item_id: str) -> dict[str, Any]:
    """A Payment Link, price or product as Stripe's API shows it. Raises ApiError when there is no such one."""
    prefix, _, what = item_id.partition("_")
    if what not in NAMES or prefix != {"payment_links": "plink", "prices": "price", "products": "prod"}[kind]:
        raise missing_object(KINDS[kind], item_id, param="id", status=404)
    body: dict[str, Any] = {"id": item_id, "object": KINDS[kind], "active": True, "livemode": False, "metadata": {}}
    if kind == "products":
        return body | {"name": NAMES[what], "default_price": f"price_{what}"}
    if kind == "prices":
        price = {"currency": "usd", "product": f"prod_{what}", "recurring": None, "type": "one_time"}
        return body | price | {"unit_amount": CENTS[what]}
    return body | {"currency": "usd", "url": f"https://buy.stripe.com/test_{what}"}
