"""JSON bodies: one strict reader, so that each odd body gets the same clear answer everywhere."""

from __future__ import annotations

import json
from typing import Any

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from app.domain.errors import InvalidInput, Malformed
from app.domain.tasks import MAX_IDEMPOTENCY_KEY, check_idempotency_key
from app.domain.text import storable

IDEMPOTENCY_KEY = "Idempotency-Key"


def read_json(request: Request) -> dict[str, Any]:
    """The body as an object. Raises 415 for another media type, Malformed for what is no JSON object in UTF-8."""
    if not request.is_json:
        raise UnsupportedMediaType
    try:
        body = json.loads(request.get_data().decode("utf-8"))
    except (ValueError, RecursionError) as error:  # deep nesting ends in RecursionError, which is no ValueError
        raise Malformed("The body is not valid JSON in UTF-8.") from error
    if not isinstance(body, dict):
        raise Malformed("The body must be a JSON object.")
    return body


def text_field(body: dict[str, Any], name: str) -> str:
    """A field that must be there and be text. Raises InvalidInput; fields that nobody asked for are ignored."""
    if name not in body:
        raise InvalidInput(f"The field {name} is missing.", field=name)
    return storable(body[name], name)


def idempotency_key(request: Request) -> str | None:
    """The key under which a repeat is the same request; None when the client gave none.

    Raises Malformed for one that is there but empty: granian hands a header with a character outside ASCII on as empty
    text, and a client that believes to have sent a key would be charged for each retry.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not key.strip():
        raise Malformed(
            f"The {IDEMPOTENCY_KEY} is empty or not ASCII: send 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters, "
            "or no such header. Nothing was charged."
        )
    return check_idempotency_key(key)
