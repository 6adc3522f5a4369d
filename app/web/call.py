"""One definition for each call of the JSON API: `@call(...)` at the view, under its guard.

    class SubmitTask(Body):
        description: Annotated[str, checked(check_description, maxLength=MAX_DESCRIPTION)]

    @bp.post("/tasks")
    @token_required(TASKS_WRITE)
    @call("submit_task", "Submit a task", tag="tasks", answers={201: TASK}, refusals=[InsufficientCredits])
    def submit_task(body: SubmitTask, headers: Keyed) -> ResponseReturnValue: ...

What a view is handed follows from its signature: `body`, `query` and `headers` are typed models, read and checked
before it runs; what else it takes are the parts of its path, whose annotations are their schemas. A parameter of the
query that no model names is a 400, a field of the body a 422, and all that is wrong with one of them is told at once.
The same definition is the call's entry in /api/openapi.json (openapi.py) and on /docs.

A field is a type of Python with, where that is not all, `checked(...)`: a rule of the domain, which raises InvalidInput
with its sentence, and what JSON Schema says of it. Text that cannot be stored is refused everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache, cached_property, partial, wraps
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, TypeVar, get_type_hints

from flask import Request, make_response, request
from msgspec import NODEFAULT, Meta, Struct, ValidationError, convert, inspect, structs
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.http import http_date

from app.domain.errors import DomainError, InvalidInput, Malformed
from app.domain.text import storable

from .shape import Json, Pages, Shape

View = TypeVar("View", bound=Callable[..., Any])
Refusal = type[DomainError]
Fault = tuple[str, str]  # the field, and a sentence
MOST_FAULTS = 50  # told of one request
MOST_OF_A_NAME = 100  # characters of a name that somebody made up


class Body(Struct, kw_only=True, forbid_unknown_fields=True):
    """A JSON object that a call is sent. `more_schema` is what JSON Schema says of it besides its fields."""

    more_schema: ClassVar[Json] = {}


class Query(Struct, kw_only=True):
    """The parameters of a query. One that is empty is as good as left out.

    Where one must be there, and Paging has others that need not: `class Asked(Paging, kw_only=True)`.
    """


class Headers(Struct, kw_only=True):
    """Headers that a call reads, each by `readable`; its field says the name."""


def checked(check: Callable[[Any], Any], /, *, description: str | None = None, **schema: Any) -> Meta:
    """A field of a body with a rule of its own. It is handed whatever was sent, and raises InvalidInput."""
    return _meta(description, schema, check=check)


def readable(read: Callable[[str], Any], /, *, description: str | None = None, **schema: Any) -> Meta:
    """A parameter or header that is read out of text. Raises InvalidInput or Malformed."""
    return _meta(description, schema, read=read)


def told(description: str | None = None, /, **schema: Any) -> Meta:
    """What JSON Schema says of a field besides its type; nothing is checked by it."""
    return _meta(description, schema)


def _meta(description: str | None, schema: Json, **extra: Any) -> Meta:
    if "items" in schema:  # msgspec writes its own over it
        raise TypeError("What the items of a list may be is told at their type: list[Annotated[str, told(...)]].")
    return Meta(description=description, extra_json_schema=schema, extra=extra or None)


REPLAYED = "Idempotent-Replayed"


def replayed(was: bool) -> dict[str, str]:
    """The header of an answer that tells again what an earlier request has done; none of one that did it."""
    return {REPLAYED: "true"} if was else {}


@dataclass(frozen=True, slots=True)
class Raw:
    """A body that the view reads by itself."""

    schema: Json
    media_type: str = "application/json"
    required: bool = True


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is a file, sent piece by piece from where it was written: see exports.py. It has no ETag.

    `headers` are those of openapi.py that it may bring besides its name.
    """

    media_type: str
    schema: Json
    headers: tuple[str, ...] = ()


Said = Shape[Any] | Pages[Any] | File | Json | str  # a success


@dataclass(frozen=True, slots=True)
class Deprecated:
    """A call that will end: its answers say since when (RFC 9745) and from when on it is not there (RFC 8594)."""

    since: datetime
    sunset: datetime | None = None
    instead: str = ""  # the operation to use

    @property
    def headers(self) -> dict[str, str]:
        made = {"Deprecation": f"@{int(self.since.astimezone(UTC).timestamp())}"}
        return made | ({"Sunset": http_date(self.sunset)} if self.sunset else {})


@dataclass(frozen=True)
class Call:
    """What is known of a call: see `call`."""

    name: str
    summary: str
    tag: str
    answers: Mapping[int, Said]
    refusals: tuple[Refusal, ...]
    description: str
    links: Json
    deprecated: Deprecated | None
    raw: Raw | None
    body_required: bool
    body: type[Body] | None
    query: type[Query] | None
    headers: type[Headers] | None
    path: Mapping[str, Any]
    replays: bool
    limits: tuple[str, ...]

    def read(self, asked: Request) -> dict[str, Any]:
        """What the view takes. Raises Malformed (400), InvalidInput (422), 413 and 415."""
        made: dict[str, Any] = {}
        some = asked.environ.get("QUERY_STRING")
        if self.query:
            made["query"] = read_query(asked.args, self.query) if some else self._no_query
        elif some:
            read_query(asked.args, Query)
        if self.headers:
            made["headers"] = read_headers(asked, self.headers)
        if self.body:
            made["body"] = read_body(asked, self.body, required=self.body_required)
        return made

    @cached_property
    def _no_query(self) -> Query:
        return read_query(MultiDict(), self.query or Query)


def call(
    name: str,
    summary: str,
    *,
    tag: str,
    answers: Mapping[int, Said],
    refusals: Iterable[Refusal] = (),
    description: str = "",
    links: Json | None = None,
    deprecated: Deprecated | None = None,
    raw: Raw | None = None,
    body_required: bool = True,
    most_bytes: int | None = None,
    replays: bool = False,
    limits: Iterable[str] = (),
) -> Callable[[View], View]:
    """Make a view a call of the API. Put it under the guard, which says who may ask and by which scope.

    `answers` are the successes by status (a text for a redirect: what it leads to), `refusals` what the view raises
    beyond what every call may be answered with. `raw` is a body that the view reads; one that is not `body_required`
    may be left out whole. `most_bytes` is another limit of the body than the app's. One that `replays` says by
    the header REPLAYED where an earlier request has done what is asked. `limits` are the names of the limits that may
    count it: see rate_limits.py.
    """

    def decorate(view: View) -> View:
        hints = _asked_of(view)
        asked = {part: hints.pop(part, None) for part in ("body", "query", "headers")}
        found = Call(
            name=name,
            summary=summary,
            tag=tag,
            answers=answers,
            refusals=tuple(refusals),
            description=description,
            links=links or {},
            deprecated=deprecated,
            raw=raw,
            body_required=body_required,
            path=hints,
            replays=replays,
            limits=tuple(limits),
            **asked,
        )

        @wraps(view)
        def called(**parts: Any) -> Any:
            if most_bytes:
                request.max_content_length = most_bytes
            answer = view(**parts, **found.read(request._get_current_object()))  # type: ignore[attr-defined]
            if found.deprecated:
                answer = make_response(answer)
                answer.headers.update(found.deprecated.headers)
            return answer

        called.call = found  # type: ignore[attr-defined]
        return called  # type: ignore[return-value]

    return decorate


def _asked_of(view: Callable[..., Any]) -> dict[str, Any]:
    """What a view takes, by name. What it returns is often a name for type checkers alone, and is not looked up."""
    given = {name: kind for name, kind in view.__annotations__.items() if name != "return"}
    return get_type_hints(SimpleNamespace(__annotations__=given), view.__globals__, None, True)


# Reading


def read_body(asked: Request, model: type[Body], *, required: bool = True) -> Body:
    """The body as its model. Raises 415 for another media type, Malformed for what is no JSON object in UTF-8, and
    InvalidInput with every fault of it.
    """
    sent = asked.get_data()
    if not sent and not required:
        return model()
    if not asked.is_json:
        raise UnsupportedMediaType
    try:
        body = json.loads(sent.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # deep nesting ends in RecursionError, which is no ValueError
        raise Malformed("The body is not valid JSON in UTF-8.") from error
    if not isinstance(body, dict):
        raise Malformed("The body must be a JSON object.")
    return fitted(body, model)


def fitted(body: dict[str, Any], model: type[Body]) -> Body:
    """Raises InvalidInput with every fault, where `convert` would stop at the first: only then each field is looked at
    by itself.
    """
    made: Body | None = None
    faults: list[Fault] = []
    try:
        made = convert(body, model)
    except ValidationError:
        _look(model, body, "", faults, fits=False)
    else:
        _look(model, body, "", faults, fits=True)
    if made is None or faults:
        raise _refused(InvalidInput, faults or [("", "The body is not as this call describes it.")])
    return made


def read_query(args: MultiDict[str, str], model: type[Query]) -> Query:
    """Raises Malformed, naming each parameter that is unknown, given twice or not readable."""
    known, faults = fields_of(model), list[Fault]()
    for name, texts in args.lists():
        if name not in known:
            faults.append(_unknown(name, known, "parameter"))
        elif len(texts) > 1:
            faults.append((name, f"The parameter {name} is given {len(texts)} times."))
    found: dict[str, Any] = {}
    for name, field in known.items():
        if text := args.get(name):
            _read(field, text, found, faults)
        elif field.required:
            faults.append((name, f"The parameter {name} is missing."))
    if faults:
        raise _refused(Malformed, faults)
    return model(**found)


def read_headers(asked: Request, model: type[Headers]) -> Headers:
    """A header that is there is read, however empty: granian hands one with a byte outside ASCII on as empty text."""
    found: dict[str, Any] = {}
    for name, field in fields_of(model).items():
        text = asked.headers.get(name)
        if text is not None:
            found[field.attribute] = field.read(text)
        elif field.required:
            raise Malformed(f"The header {name} is missing.")
    return model(**found)


def _read(field: Field, text: str, found: dict[str, Any], faults: list[Fault]) -> None:
    try:
        found[field.attribute] = field.read(text)
    except (InvalidInput, Malformed) as error:
        faults.append((field.name, error.message))


def _look(model: type[Struct], sent: dict[str, Any], at: str, faults: list[Fault], *, fits: bool) -> None:
    """Add what is wrong with each field of an object; where it `fits` its types, that is what rules of ours say."""
    known = fields_of(model)
    if not fits:
        for name in sent:
            if name not in known:
                told_name, sentence = _unknown(name, known, "field")
                faults.append((at + told_name, sentence))
    for name, field in known.items():
        if name not in sent:
            if field.required:
                faults.append((at + name, f"The field {name} is missing."))
            continue
        value = sent[name]
        if field.inner and isinstance(value, list) and len(value) <= field.most:
            for number, one in enumerate(value):
                if isinstance(one, dict):
                    _look(field.inner, one, f"{at}{name}.{number}.", faults, fits=fits)
                else:
                    faults.append((f"{at}{name}.{number}", f"{name.capitalize()} must be a list of objects."))
            continue
        sentence = field.fault(value, fits=fits)
        if sentence:
            faults.append((at + name, sentence))


# Models


@dataclass(frozen=True)
class Field:
    """A field of a model, as it is read."""

    name: str
    attribute: str
    type: Any
    required: bool
    default: Any
    check: Callable[[Any], Any] | None
    read: Callable[[str], Any]
    inner: type[Struct] | None  # a list of these
    most: float
    sentence: str  # when its type is another

    def fault(self, value: Any, *, fits: bool) -> str:
        """What is wrong with a value, in a sentence; empty when it will do."""
        try:
            if self.check:
                self.check(value)
            if not fits:
                convert(value, self.type)
        except InvalidInput as error:
            return error.message
        except (ValidationError, TypeError):  # a rule that was handed what it does not know
            return self.sentence
        return ""


@cache
def fields_of(model: type[Struct]) -> dict[str, Field]:
    """The fields of a model by the names that they are sent under."""
    return {field.encode_name: _field(field) for field in structs.fields(model)}


def _field(field: structs.FieldInfo) -> Field:
    kind, extra = inspect.type_info(field.type), dict[str, Any]()
    while isinstance(kind, inspect.Metadata):
        extra, kind = {**extra, **(kind.extra or {})}, kind.type
    if isinstance(kind, inspect.UnionType):  # with null, which is what an absent one is
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    inner = _bare(kind.item_type) if isinstance(kind, inspect.ListType) else None
    return Field(
        name=field.encode_name,
        attribute=field.name,
        type=field.type,
        required=field.required,
        default=None if field.default is NODEFAULT else field.default,
        check=extra.get("check") or _rule(kind, field.encode_name),
        read=extra.get("read") or partial(_plain, field.encode_name, kind),
        inner=inner.cls if isinstance(inner, inspect.StructType) else None,
        most=(getattr(kind, "max_length", None) or float("inf")),
        sentence=_sentence(kind, field.encode_name),
    )


def _bare(kind: inspect.Type) -> inspect.Type:
    """A type without what is told of it."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _rule(kind: inspect.Type, name: str) -> Callable[[Any], Any] | None:
    """Text of any field can be stored exactly, or is refused."""
    if isinstance(kind, inspect.StrType):
        return partial(storable, field=name)
    if isinstance(kind, inspect.ListType) and isinstance(_bare(kind.item_type), inspect.StrType):
        return lambda texts: [storable(text, name) for text in texts] if isinstance(texts, list) else None
    return None


def _plain(name: str, kind: inspect.Type, text: str) -> Any:
    try:
        return convert(text, _type_of(kind), strict=False)
    except ValidationError as error:
        raise Malformed(_sentence(kind, name)) from error


def _type_of(kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.LiteralType):
        return Literal[kind.values]
    return {inspect.IntType: int, inspect.BoolType: bool}.get(type(kind), str)


def _sentence(kind: inspect.Type, name: str) -> str:
    said = name[:1].upper() + name[1:]
    match kind:
        case inspect.LiteralType():
            return f"{name} must be one of {', '.join(map(str, kind.values))}."
        case inspect.IntType(ge=int(), le=int()):
            return f"{said} must be a whole number from {kind.ge:,} to {kind.le:,}."
        case inspect.IntType():
            return f"{said} must be a whole number."
        case inspect.BoolType():
            return f"{said} must be true or false."
        case inspect.ListType(max_length=int()):
            return f"{said} must be a list of at most {kind.max_length:,}."
        case inspect.ListType():
            return f"{said} must be a list."
        case inspect.StructType():
            return f"{said} must be an object."
    return f"{said} must be text."


def schema_of(kind: Any) -> Json:
    """What JSON Schema says of a parameter: one that may be left out is never null."""
    from msgspec.json import schema

    made: Json = schema(kind)
    if "anyOf" in made:
        (plain,) = (each for each in made.pop("anyOf") if each != {"type": "null"})
        made = plain | made
    return made | ({"type": "string"} if "enum" in made else {})


# Refusals


def _unknown(name: str, known: Iterable[str], what: str) -> Fault:
    shown, near = name[:MOST_OF_A_NAME], get_close_matches(name[:MOST_OF_A_NAME], known, n=1)
    if near:
        return shown, f"There is no {what} {shown} here. Is {near[0]} meant?"
    takes = f"This call takes {', '.join(known)}." if known else f"This call takes no {what}."
    return shown, f"There is no {what} {shown} here. {takes}"


def _refused(kind: type[InvalidInput] | type[Malformed], faults: list[Fault]) -> InvalidInput | Malformed:
    field, sentence = faults[0]
    more = f" There is more to mend: errors names all {len(faults)}." if len(faults) > 1 else ""
    return kind(sentence + more, field, faults[:MOST_FAULTS])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which each name stands once: of two the parser would take the last, and somebody else the first."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Malformed("The body names a field twice.")
    return made
