"""The bodies that several calls share. Nullable fields are there all the same: an answer has every field it names."""

from __future__ import annotations

from typing import Any

from app.data.adjustments import APPROVED, DECLINED, WAITING
from app.domain.accounts import MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARACTERS
from app.domain.credits import TYPES
from app.domain.tasks import MAX_DESCRIPTION, MAX_REASON, STATUSES
from app.domain.text import CONTROLS, INVISIBLE

from .parts import Json, fields, optional, or_null

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
TRUTH: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
MOMENT: Json = {"type": "string", "format": "date-time", "examples": ["2026-11-22T15:27:52.123456Z"]}
EMAIL: Json = {"type": "string", "format": "email"}
TASK_ID: Json = {"type": "string", "minLength": 1, "examples": ["task_fmg2xoq4bm7ky4l6d4xkzjm7py"]}
FILE_ID: Json = {"type": "string", "pattern": "^[0-9a-f]{16}$"}

NOT_BLANK = rf"^[^\u0000]*[^\s{CONTROLS}{INVISIBLE}][^\u0000]*$"  # something shows, and no NUL: app/domain/text.py
DESCRIPTION: Json = {"type": "string", "pattern": NOT_BLANK, "minLength": 1, "maxLength": MAX_DESCRIPTION}
REASON: Json = {"type": "string", "pattern": NOT_BLANK, "minLength": 1, "maxLength": MAX_REASON}
PASSWORD: Json = {
    "type": "string",
    "minLength": MIN_PASSWORD_CHARACTERS,
    "maxLength": MAX_PASSWORD_BYTES,
    "description": f"At most {MAX_PASSWORD_BYTES} bytes in UTF-8, and none of the most common ones.",
}

ERROR = fields(
    error=TEXT | {"description": "A plain sentence for people."},
    code=TEXT | {"description": "A stable word for programs."},
)
SIGNED_IN = fields(token=TEXT, email=EMAIL, credits=WHOLE)
TASK = fields(
    task_id=TASK_ID,
    status={"enum": list(STATUSES)},
    description=TEXT,
    credits_spent=COUNT,
    created_at=MOMENT,
    updated_at=MOMENT,
)
TRANSACTION = fields(
    transaction_id=TEXT,
    type=TEXT | {"examples": list(TYPES), "description": "Rows of the original product may hold another word."},
    amount=WHOLE | {"description": "Signed credits."},
    timestamp=MOMENT,
    description=TEXT,
    balance_after=or_null(WHOLE) | {"description": "Null in rows of the original product."},
    sequence={"type": ["integer", "null"], "minimum": 1, "description": "From 1 without a gap; null as above."},
    task_id=or_null(TASK_ID),
    stripe_payment_intent=or_null(TEXT),
)
FILE = fields(number={"type": "integer", "minimum": 1}, name=TEXT, size_bytes=COUNT, content_type=TEXT)
RESULT = fields(
    result=or_null(TEXT) | {"description": "Markdown; null while there is none."},
    files={"type": "array", "items": {"$ref": "#/components/schemas/File"}},
    reason=or_null(TEXT) | {"description": "Why the task was rejected."},
    redo_of=or_null(TASK_ID),
    redone_by=or_null(TASK_ID),
)
LEASE = fields(
    user_email=EMAIL,
    lease_owner=or_null(EMAIL),
    lease_until=or_null(MOMENT),
    redo_of=or_null(TASK_ID),
    redo_note=or_null(TEXT) | {"description": "What the customer missed in the first result."},
)


def together(*objects: Json) -> Json:
    """One object with the fields of all of these, which generators read more easily than allOf."""
    merged: dict[str, Any] = {}
    for schema in objects:
        merged |= schema["properties"]
    return fields(**merged)


SCHEMAS: dict[str, Json] = {
    "Error": ERROR,
    "InvalidInput": optional(ERROR, field=TEXT | {"description": "What to mend."}),
    "InsufficientCredits": together(ERROR, fields(required=COUNT, available=WHOLE)),
    "SignedIn": SIGNED_IN,
    "User": fields(email=EMAIL, credits=WHOLE, created_at=MOMENT, email_confirmed=TRUTH, open_tasks=COUNT),
    "Task": TASK,
    "TaskAndBalance": together(TASK, fields(credits_remaining=WHOLE)),
    "TaskAndResult": together(TASK, RESULT),
    "File": FILE,
    "Transaction": TRANSACTION,
    "Pack": fields(pack_id=TEXT, credits=COUNT, price_cents=COUNT, currency={"const": "usd"}),
    "QueuedTask": together(TASK, LEASE),
    "QueuedTaskAndResult": together(TASK, LEASE, RESULT),
    "StoredFile": fields(file_id=FILE_ID, name=TEXT, size_bytes=COUNT),
    "Customer": fields(
        account_id=TEXT,
        email=EMAIL,
        credits=WHOLE,
        open_tasks=COUNT,
        created_at=MOMENT,
        email_confirmed=TRUTH,
        role={"enum": ["customer", "admin"]},
        disabled=TRUTH,
    ),
    "ProposedCorrection": fields(adjustment_id=TEXT, amount=WHOLE, state={"enum": [WAITING, APPROVED, DECLINED]}),
}
