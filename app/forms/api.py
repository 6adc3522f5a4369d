"""JSON bodies: one strict reader, so that each odd body gets the same clear answer everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from app.domain.errors import InvalidInput, Malformed
from app.domain.tasks import MAX_IDEMPOTENCY_KEY, check_idempotency_key
from app.domain.text import storable

IDEMPOTENCY_KEY = "Idempotency-Key"


class Sent:
    """A body, of which a view reads what its description names: what else is in it is ignored, and asking for more than
    is described raises TypeError, for a mistake of ours.
    """

    def __init__(self, body: dict[str, Any], described: Mapping[str, Any]) -> None:
        self._body, self._known = body, described["properties"].keys()

    def __contains__(self, name: str) -> bool:
        if name not in self._known:
            raise TypeError(f"{name} is not described")
        return name in self._body

    def get(self, name: str, default: Any = None) -> Any:
        return self._body[name] if name in self else default


def read_json(request: Request, described: Mapping[str, Any], *, required: bool = True) -> Sent:
    """The body as an object; one that is not `required` may be left out whole.

    Raises 415 for another media type, Malformed for what is no JSON object in UTF-8.
    """
    if not required and not request.get_data():
        return Sent({}, described)
    if not request.is_json:
        raise UnsupportedMediaType
    try:
        body = json.loads(request.get_data().decode("utf-8"))
    except (ValueError, RecursionError) as error:  # deep nesting ends in RecursionError, which is no ValueError
        raise Malformed("The body is not valid JSON in UTF-8.") from error
    if not isinstance(body, dict):
        raise Malformed("The body must be a JSON object.")
    return Sent(body, described)


def text_field(body: Sent, name: str) -> str:
    """A field that must be there and be text. Raises InvalidInput."""
    if name not in body:
        raise InvalidInput(f"The field {name} is missing.", field=name)
    return storable(body.get(name), name)


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
