"""Load what the app uses out of the image's packages, and nothing from elsewhere: run with PYTHONPATH set to them.

A whole import of the app, a client for each AWS service with its operations, and a statement with the letters of many
scripts as a PDF file. Ends with a traceback where something is missing.
"""

import importlib
import json
import pkgutil
import sys
from unicodedata import name

import boto3

import app
from app.domain.statement import Statement
from app.web.statement_pdf import statement_pdf

MANY_SCRIPTS = "αβ Жук 漢字 한글 नमस्ते مرحبا שלום ไทย ∑ ☂ e\u0301"
CALLED = {"dynamodb": "transact_write_items", "s3": "put_object", "sesv2": "send_email", "sts": "assume_role"}


def main() -> None:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if module.name != "app.wsgi":  # wants settings
            importlib.import_module(module.name)
    for service, operation in CALLED.items():
        client = boto3.client(service, "us-east-1")
        getattr(client, operation)  # its description is read with the client
    empty = Statement("2026-11", [], opening=0, closing=0, credits_in=0, credits_out=0, in_full=True)
    made = statement_pdf(empty, MANY_SCRIPTS)
    if not made.startswith(b"%PDF"):
        sys.exit(f"no PDF file, but {made[:20]!r}")
    scripts = sorted({name(letter).split()[0] for letter in MANY_SCRIPTS if letter.isalpha()})
    print(json.dumps({"modules": len(sys.modules), "pdf_bytes": len(made), "scripts": scripts}))


if __name__ == "__main__":
    main()
