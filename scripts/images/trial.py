"""Load what the app uses out of the image's packages, and nothing from elsewhere: run with PYTHONPATH set to them.

A whole import of the app, a client for each AWS service with its operations, Stripe's client with what is called of it
and the kinds of things that it answers with, and a statement with the letters of many scripts as a PDF file. Ends with
a traceback where something is missing.
"""

import importlib
import json
import pkgutil
import re
import sys
from pathlib import Path
from unicodedata import name

import boto3
from stripe._object_classes import get_object_class

import app
from app.domain.statement import Statement
from app.gateways.stripe_client import connect
from app.web.statement_pdf import statement_pdf

MANY_SCRIPTS = "αβ Жук 漢字 한글 नमस्ते مرحبا שלום ไทย ∑ ☂ e\u0301"
CALLED = {"dynamodb": "transact_write_items", "s3": "put_object", "sesv2": "send_email", "sts": "assume_role"}
ANSWERS = (
    *("account", "charge", "checkout.session", "customer", "dispute", "event", "item", "list", "payment_intent"),
    *("payment_link", "payment_method", "price", "product", "refund", "webhook_endpoint"),
)


def main() -> None:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if module.name != "app.wsgi":  # wants settings
            importlib.import_module(module.name)
    for service, operation in CALLED.items():
        client = boto3.client(service, "us-east-1")
        getattr(client, operation)  # its description is read with the client
    stripe = connect("sk_test_none", version="2025-01-01", retries=0, timeout=(1, 1), api_base=None)
    for call in calls_of_stripe():
        found = stripe.v1
        for part in call.split("."):
            found = getattr(found, part)
    for kind in ANSWERS:
        get_object_class("V1", kind)
    empty = Statement("2026-11", [], opening=0, closing=0, credits_in=0, credits_out=0, in_full=True)
    made = statement_pdf(empty, MANY_SCRIPTS)
    if not made.startswith(b"%PDF"):
        sys.exit(f"no PDF file, but {made[:20]!r}")
    scripts = sorted({name(letter).split()[0] for letter in MANY_SCRIPTS if letter.isalpha()})
    print(json.dumps({"modules": len(sys.modules), "pdf_bytes": len(made), "scripts": scripts}))


def calls_of_stripe() -> set[str]:
    """As they stand in the gateways: `checkout.sessions.create`."""
    found: set[str] = set()
    for path in Path(app.__path__[0], "gateways").glob("stripe*.py"):
        found |= set(re.findall(r"\b(?:v1|stripe_client)\.((?:[a-z_]+\.)+[a-z_]+)\(", path.read_text(encoding="utf-8")))
    if len(found) < 15:
        sys.exit(f"only {sorted(found)} are called of Stripe, which cannot be all")
    return found


if __name__ == "__main__":
    main()
