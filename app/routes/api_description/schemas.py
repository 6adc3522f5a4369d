"""What calls are sent, and the components of the document: each shape that has a name, and the refusals."""

from __future__ import annotations

from app.domain.accounts import MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARACTERS
from app.domain.tasks import MAX_REASON
from app.web import shapes
from app.web.shape import COUNT, NOT_BLANK, TEXT, WHOLE, Json, Shape, fields, optional

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
REFUSALS: dict[str, Json] = {
    "Error": ERROR,
    "InvalidInput": optional(ERROR, field=TEXT | {"description": "What to mend."}),
    "InsufficientCredits": fields(**ERROR["properties"], required=COUNT, available=WHOLE),
}
SCHEMAS: dict[str, Json] = REFUSALS | {
    shape.name: shape.schema for shape in vars(shapes).values() if isinstance(shape, Shape) and shape.name
}
