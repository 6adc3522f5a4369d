"""A record as attributes of a row, and back: derived from its fields, so that it is described once, in the domain.

A field is stored under its own name. A moment is a text of fixed width, a set of texts a map to true, a tuple a list, a
record a map, a mapping of records a map of maps that do not repeat the key. What holds its default is not stored:
conditions ask for what is not there. What a row lacks has its default, as rows of earlier versions have; what it holds
beside is left alone, as rows of later versions do. Where a row differs from that, its codec says so.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from app.domain.accounts import mask_email
from app.domain.clock import from_iso, to_iso
from app.domain.errors import RowUnreadable

log = logging.getLogger(__name__)

KEYS = ("transaction_id", "task_id", "payment_id", "email", "code", "mail_id", "audit_id", "session_id", "key")

Record = TypeVar("Record")
Converter = Callable[[Any], Any]


class Codec(Generic[Record]):
    """Made once for a class of records.

    `always`: fields that are stored even when they hold their default. `absent`: values that are not stored, of fields
    without a default. `names`: what fields are stored as. `inner`: the codecs of records within. `but`: fields that are
    no attributes; `beside` says what is stored of them, and whatever else follows from the record, `otherwise` which
    fields are read in a way of their own. What neither covers whoever reads hands in.
    """

    def __init__(
        self,
        record: type[Record],
        *,
        always: Iterable[str] = (),
        absent: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
        inner: Iterable[Codec[Any]] = (),
        but: Iterable[str] = (),
        beside: Callable[[Record], dict[str, Any]] = lambda record: {},
        otherwise: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda row: {},
    ) -> None:
        hints, left_out, kept = get_type_hints(record), set(but), set(always)
        codecs: dict[type, Codec[Any]] = {codec.of: codec for codec in inner}
        known = [field for field in fields(record) if field.name not in left_out]  # type: ignore[arg-type]
        self.of: type[Record] = record
        self.but = frozenset(left_out)
        self._names = {field.name: (names or {}).get(field.name, field.name) for field in known}
        self._write: dict[str, Converter] = {}
        self._as_it_is: list[tuple[str, str]] = []  # most are, and every request reads rows: a call for each would show
        self._converted: list[tuple[str, str, Converter]] = []
        self._defaults: dict[str, Any] = {}
        self._absent = dict(absent or {})
        self._beside, self._otherwise = beside, otherwise
        for field in known:
            name, stored = field.name, self._names[field.name]
            self._write[name], read = _converters(hints[name], codecs)
            if read is _same:
                self._as_it_is.append((name, stored))
            else:
                self._converted.append((name, stored, read))
            made = field.default_factory
            if name not in kept:
                self._defaults[name] = made() if callable(made) else field.default
        self._defaults |= self._absent

    def row(self, record: Record) -> dict[str, Any]:
        """Its attributes; none is lost that holds anything but its default."""
        return {name: value for name, value in self.as_set(record).items() if value is not None}

    def as_set(self, record: Record) -> dict[str, Any]:
        """Its attributes as an update sets them, which leaves alone what it does not name: None removes one."""
        found: dict[str, Any] = {}
        for name, write in self._write.items():
            value = getattr(record, name)
            stored = value is not None and value != self._defaults.get(name, MISSING)
            found[self._names[name]] = write(value) if stored else None
        return found | self._beside(record)

    def attributes(self, changes: Mapping[str, object]) -> dict[str, Any]:
        """Some fields as attributes, None to remove one. Raises TypeError for what is no field: a mistake of ours."""
        if unknown := sorted(changes.keys() - self._write.keys()):
            raise TypeError(f"{self.of.__name__} has no {', '.join(unknown)}")
        return {
            self._names[name]: None if value is None else self._write[name](value) for name, value in changes.items()
        }

    def record(self, row: Mapping[str, Any], **given: Any) -> Record:
        """Raises RowUnreadable, naming its key, where a field is missing or holds what is none of its kind."""
        try:
            return self.of(**self._fields(row) | self._otherwise(row) | given)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            key = next((str(row[name]) for name in KEYS if name in row), self.of.__name__)
            lacks = [] if isinstance(error, ValueError) else re.findall(r"'(\w+)'", str(error))
            why = f"it lacks {', '.join(lacks)}" if lacks else str(error)
            log.exception("a row cannot be read", extra={"row": mask_email(key) if "@" in key else key})
            raise RowUnreadable(key, why) from error

    def _fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        found = self._absent.copy()
        for name, stored in self._as_it_is:
            if stored in row:
                found[name] = row[stored]
        for name, stored, read in self._converted:
            if stored in row:
                found[name] = read(row[stored])
        return found


def moment_of(text: str | None) -> datetime | None:
    return from_iso(text) if text else None


def _same(value: Any) -> Any:
    return value


def _converters(hint: Any, codecs: Mapping[type, Codec[Any]]) -> tuple[Converter, Converter]:
    """How a field of this type is written and read."""
    kind, inner = get_origin(hint), [part for part in get_args(hint) if part is not NoneType]
    if kind in (Union, UnionType):
        return _converters(inner[0], codecs)
    if hint is datetime:
        return to_iso, moment_of
    if is_dataclass(hint):
        codec = _codec_of(hint, codecs)
        return codec.row, lambda row: codec.record(row) if row else None
    if kind is frozenset:
        return lambda texts: dict.fromkeys(sorted(texts), True), frozenset
    if kind is tuple:
        write, read = _converters(inner[0], codecs)
        return lambda parts: [write(part) for part in parts], lambda parts: tuple(read(part) for part in parts)
    if kind is not None and issubclass(kind, Mapping):
        return _of_mapping(inner[1], codecs)
    return _same, _same


def _codec_of(record: Any, codecs: Mapping[type, Codec[Any]], but: Iterable[str] = ()) -> Codec[Any]:
    return codecs.get(record) or Codec(record, but=but)


def _of_mapping(hint: Any, codecs: Mapping[type, Codec[Any]]) -> tuple[Converter, Converter]:
    if not is_dataclass(hint):
        return dict, _same
    keyed = "key" in {field.name for field in fields(hint)}
    codec = _codec_of(hint, codecs, but=["key"] if keyed else [])

    def read(rows: Mapping[str, Any]) -> dict[str, Any]:
        return {key: codec.record(row, **({"key": key} if keyed else {})) for key, row in rows.items()}

    return lambda records: {key: codec.row(record) for key, record in records.items()}, read
