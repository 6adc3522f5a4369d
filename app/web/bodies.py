"""What calls of the JSON API are sent: a view reads a body by the very schema that the document shows."""

from __future__ import annotations

from app.domain.accounts import MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARACTERS
from app.domain.tasks import DEFAULT_LEASE_MINUTES, MAX_LEASE_MINUTES, MAX_REASON, MAX_RESULT
from app.services.customers import MAX_ADJUSTMENT

from .files import MAX_FILES
from .shape import EMAIL, NOT_BLANK, TEXT, Json, fields, optional
from .shapes import BRIEF, FILE_ID

REASON: Json = {"type": "string", "pattern": NOT_BLANK, "minLength": 1, "maxLength": MAX_REASON}
PASSWORD: Json = {
    "type": "string",
    "minLength": MIN_PASSWORD_CHARACTERS,
    "maxLength": MAX_PASSWORD_BYTES,
    "description": f"At most {MAX_PASSWORD_BYTES} bytes in UTF-8, and none of the most common ones.",
}

SIGN_UP = fields(email=EMAIL, password=PASSWORD)
SIGN_IN = optional(
    fields(email=TEXT, password=TEXT),
    code=TEXT | {"description": "Of the authenticator app, or a recovery code: for a second factor."},
)
SUBMIT = BRIEF
REDO = fields(note=REASON)
BUY = fields(pack_id=TEXT)
REDEEM = fields(code=TEXT | {"description": "5 to 40 letters, digits and dashes; spaces do not matter."})
LEASE: Json = {
    "type": "object",
    "properties": {
        "minutes": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_LEASE_MINUTES,
            "default": DEFAULT_LEASE_MINUTES,
        }
    },
}
COMPLETE: Json = {
    "type": "object",
    "properties": {
        "result": {"type": "string", "maxLength": MAX_RESULT, "description": "Markdown."},
        "files": {"type": "array", "items": FILE_ID, "maxItems": MAX_FILES},
    },
    "anyOf": [
        {"required": ["result"], "properties": {"result": {"pattern": NOT_BLANK}}},
        {"required": ["files"], "properties": {"files": {"minItems": 1}}},
    ],
}
REJECT = fields(reason=REASON)
ADJUST = fields(
    amount={
        "type": "integer",
        "minimum": -MAX_ADJUSTMENT,
        "maximum": MAX_ADJUSTMENT,
        "not": {"const": 0},
        "description": "Signed credits; an adjustment never takes a balance below zero.",
    },
    reason=REASON,
)
