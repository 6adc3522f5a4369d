"""What a JSON object is made of: one definition, from which both the answers and their description come.

The words of a schema (`TEXT`, `fields`, `or_null` …) and `Shape`, which knows how each field is described and where it
is read. Nullable fields are there all the same: an answer has every field that it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, TypeVar

from app.domain.clock import to_iso
from app.domain.labels import UNSEEN
from app.domain.paging import Page
from app.domain.text import CONTROLS, INVISIBLE

# Something shows, and no NUL: app/domain/text.py. Without what is beyond four digits of hexadecimals, which is two
# characters to a JavaScript that was not told otherwise, and no range.
_UNSEEN = re.sub("[\U00010000-\U0010ffff](-[\U00010000-\U0010ffff])?", "", INVISIBLE)
NOT_BLANK = rf"^[^\u0000]*[^\s{CONTROLS}{_UNSEEN}][^\u0000]*$"
LABEL = rf"^[^{UNSEEN}]*[^\s{CONTROLS}{_UNSEEN}][^{UNSEEN}]*$"  # app/domain/labels.py
TAG = rf"^[^,{UNSEEN}]*[^,\s{CONTROLS}{_UNSEEN}][^,{UNSEEN}]*$"
Json = dict[str, Any]
Thing = TypeVar("Thing")

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
TRUTH: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
MOMENT: Json = {"type": "string", "format": "date-time", "examples": ["2026-11-22T15:27:52.123456Z"]}
EMAIL: Json = {"type": "string", "format": "email"}


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a shape. Without a way to read it, whoever answers gives it by its name."""

    schema: Json
    read: Callable[[Any], Any] | None = None


class Shape(Generic[Thing]):
    """One JSON object about a thing of ours. A schema alone stands for the thing's attribute of that name.

    A name makes it a component of the document. Raises TypeError for what the thing does not have: a mistake of ours.
    """

    def __init__(self, name: str, of: type[Thing], /, **parts: Json | Part) -> None:
        self.name, self._of = name, of
        self.parts = {key: part if isinstance(part, Part) else _attribute(of, key, part) for key, part in parts.items()}
        self._given = {key for key, part in self.parts.items() if part.read is None}

    def __call__(self, thing: Thing | None = None, /, **given: Any) -> Json:
        if given.keys() != self._given:
            raise TypeError(f"{self.name or self._of} is given {sorted(given)} and wants {sorted(self._given)}")
        return {key: given[key] if part.read is None else _plain(part.read(thing)) for key, part in self.parts.items()}

    def with_(self, name: str, /, **parts: Json | Part) -> Shape[Thing]:
        """The same with more fields."""
        return Shape(name, self._of, **{**self.parts, **parts})

    @property
    def properties(self) -> dict[str, Json]:
        return {key: part.schema for key, part in self.parts.items()}

    @property
    def schema(self) -> Json:
        return fields(**self.properties)

    @property
    def described(self) -> Json:
        """How the document says it where it is used."""
        return ref(self.name) if self.name else self.schema


class Pages(Generic[Thing]):
    """Pages of a shape, under a name."""

    def __init__(self, name: str, of: Shape[Thing], most: int) -> None:
        self._name, self._of, self._most = name, of, most

    def __call__(self, page: Page[Thing]) -> Json:
        return {self._name: [self._of(thing) for thing in page.items], "next_cursor": page.next_cursor}

    @property
    def described(self) -> Json:
        return fields(
            **{self._name: list_of(self._of) | {"maxItems": self._most}},
            next_cursor={"type": ["string", "null"], "description": "For the next page; null on the last one."},
        )


def given(**schemas: Json) -> dict[str, Part]:
    """Fields that whoever answers gives by their names."""
    return {name: Part(schema) for name, schema in schemas.items()}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def fields(**properties: Json) -> Json:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def optional(schema: Json, **properties: Json) -> Json:
    """The same object, which may have these as well."""
    return schema | {"properties": schema["properties"] | properties}


def or_null(schema: Json) -> Json:
    return schema | {"type": [schema["type"], "null"]}


def list_of(shape: Shape[Any]) -> Json:
    return {"type": "array", "items": shape.described}


def one_of(words: Sequence[str]) -> Json:
    """A word out of a list that may grow: text, for programs that were written before it did."""
    return TEXT | {"x-extensible-enum": list(words), "description": f"{', '.join(words)}; more may come."}


def _attribute(of: type[Any], name: str, schema: Json) -> Part:
    if name not in getattr(of, "__dataclass_fields__", {}) and not hasattr(of, name):
        raise TypeError(f"{of.__name__} has no {name}")
    return Part(schema, attrgetter(name))


def _plain(value: Any) -> Any:
    return to_iso(value) if isinstance(value, datetime) else value
