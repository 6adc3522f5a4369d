"""The components of the document: each shape that has a name, and the refusals."""

from __future__ import annotations

from app.web import shapes
from app.web.shape import COUNT, MOMENT, TEXT, WHOLE, Json, Shape, fields, optional

ERROR = fields(
    error=TEXT | {"description": "A plain sentence for people."},
    code=TEXT | {"description": "A stable word for programs."},
)
REFUSALS: dict[str, Json] = {
    "Error": ERROR,
    "InvalidInput": optional(ERROR, field=TEXT | {"description": "What to mend."}),
    "Forbidden": optional(ERROR, scope=TEXT | {"description": "What an API key lacks."}),
    "KeyLimitReached": fields(
        **ERROR["properties"],
        limit=COUNT | {"description": "Credits that the key may spend in a UTC month."},
        used=COUNT,
        resets_at=MOMENT,
    ),
    "InsufficientCredits": fields(**ERROR["properties"], required=COUNT, available=WHOLE),
}
SCHEMAS: dict[str, Json] = REFUSALS | {
    shape.name: shape.schema for shape in vars(shapes).values() if isinstance(shape, Shape) and shape.name
}
