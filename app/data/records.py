"""A record as attributes of a row, and back: derived from its fields, so that it is described once, in the domain.

A field is stored under its own name. A moment is a text of fixed width, a set of texts a map to true, a mapping of
records a map of maps that do not repeat the key. What holds its default is not stored: conditions ask for what is not
there. What a row lacks has its default, as rows of earlier versions have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from app.domain.clock import from_iso, to_iso

Record = TypeVar("Record")
Converter = Callable[[Any], Any]


class Codec(Generic[Record]):
    """Made once for a class. `always` are fields that are stored even when they hold their default; `but` are none of
    the row's: whoever reads hands them in.
    """

    def __init__(self, record: type[Record], *, always: Iterable[str] = (), but: Iterable[str] = ()) -> None:
        hints, left_out = get_type_hints(record), set(but)
        known = [field for field in fields(record) if field.name not in left_out]  # type: ignore[arg-type]
        self._record = record
        self._write: dict[str, Converter] = {}
        self._as_it_is: list[str] = []  # most are, and every request reads an account: a call for each would show
        self._converted: list[tuple[str, Converter]] = []
        self._defaults: dict[str, Any] = {}
        for field in known:
            self._write[field.name], read = _converters(hints[field.name])
            if read is _same:
                self._as_it_is.append(field.name)
            else:
                self._converted.append((field.name, read))
            made = field.default_factory
            if field.name not in set(always):
                self._defaults[field.name] = made() if callable(made) else field.default

    def row(self, record: Record) -> dict[str, Any]:
        """Its attributes; none is lost that holds anything but its default."""
        values = {name: getattr(record, name) for name in self._write}
        kept = {name: value for name, value in values.items() if value != self._defaults.get(name, MISSING)}
        return self.attributes(kept)

    def attributes(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Some fields as attributes, None to remove one. Raises TypeError for what is no field: a mistake of ours."""
        if unknown := sorted(changes.keys() - self._write.keys()):
            raise TypeError(f"{self._record.__name__} has no {', '.join(unknown)}")
        return {name: None if value is None else self._write[name](value) for name, value in changes.items()}

    def record(self, row: Mapping[str, Any], **others: Any) -> Record:
        found = {name: row[name] for name in self._as_it_is if name in row}
        for name, read in self._converted:
            if name in row:
                found[name] = read(row[name])
        found |= others
        return self._record(**found)


def moment_of(text: str | None) -> datetime | None:
    return from_iso(text) if text else None


def _same(value: Any) -> Any:
    return value


def _converters(hint: Any) -> tuple[Converter, Converter]:
    """How a field of this type is written and read."""
    kind, inner = get_origin(hint), [part for part in get_args(hint) if part is not NoneType]
    if kind in (Union, UnionType):
        return _converters(inner[0])
    if hint is datetime:
        return to_iso, moment_of
    if kind is frozenset:
        return lambda texts: dict.fromkeys(sorted(texts), True), frozenset
    if kind is tuple:  # of records
        one: Codec[Any] = Codec(inner[0])
        return lambda records: [one.row(r) for r in records], lambda rows: tuple(one.record(row) for row in rows)
    if kind is not None and issubclass(kind, Mapping):
        return _of_mapping(inner[1])
    return _same, _same


def _of_mapping(hint: Any) -> tuple[Converter, Converter]:
    if not is_dataclass(hint):
        return dict, _same
    keyed = "key" in {field.name for field in fields(hint)}
    codec: Codec[Any] = Codec(hint, but=["key"] if keyed else [])  # type: ignore[arg-type]

    def read(rows: Mapping[str, Any]) -> dict[str, Any]:
        return {key: codec.record(row, **({"key": key} if keyed else {})) for key, row in rows.items()}

    return lambda records: {key: codec.row(record) for key, record in records.items()}, read
