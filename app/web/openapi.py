"""The JSON API as an OpenAPI 3.1 document, out of the definitions at its views: see call.py.

Words that may grow (a status, a code, a type of ledger row) are described as text with `x-extensible-enum`, and every
refusal by the one schema `Refusal`: a program that was generated from the document survives a word that came later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any

from flask import Flask
from msgspec import Struct
from werkzeug.routing import Rule

from app.domain import api_keys, errors
from app.web import shapes

from .call import REPLAYED, Body, Call, File, Refusal, Said, fields_of, schema_of
from .etags import ETAG, described
from .exports import COUNTED, NAMED, SUMMED
from .rate_limits import LEFT, POLICY
from .refusals import CODES, status_of
from .shape import COUNT, MOMENT, TEXT, WHOLE, Json, Shape, fields, optional, ref

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
VERSION = "2026-12-01"  # of the API: a day, after which nothing was taken away and nothing came to mean another thing
DESCRIPTION = """\
The same services as the pages, for programs. Bodies are JSON in UTF-8; times are UTC, ISO 8601 with microseconds.

A field of a body or a parameter that a call does not know is refused by its name, so that a slip of the pen is never
taken for nothing. Answers may grow new fields, and lists of words marked `x-extensible-enum` new words: take what you
do not know for something that you do not use.

Every refusal has a plain sentence in `error` and a stable word for programs in `code`; a body with several things to
mend is told all of them, in `errors`. A 503 has charged nothing, but for `store_uncertain`, which is safe to repeat
with the same Idempotency-Key. Any call may be answered with 429, 500 or 503."""
TAGS = [
    {"name": "accounts", "description": "Signing up, in and out."},
    {"name": "tasks", "description": "Submitting tasks and reading their results."},
    {"name": "credits", "description": "The ledger, buying credits, and codes."},
    {"name": "keys", "description": "API keys, which programs sign in with."},
    {"name": "webhooks", "description": "Addresses of yours that are told what happens."},
    {"name": "operators", "description": "Working the queue and looking after customers, for operators."},
    {"name": "machinery", "description": "For Stripe, and for tools that read this document."},
]
SECURITY_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "From POST /api/auth/login: good for 12 hours, or until its session ends. Cookies are not read.",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "imp_live_…",
        "description": "An API key, made under Account. Each call names the scope that it asks of a key.",
    },
}

# What every call may be answered with, by who may ask, and by whether it reads or writes.
READS: tuple[Refusal, ...] = (errors.StoreUnavailable, errors.StoreBusy)
WRITES: tuple[Refusal, ...] = (errors.OutcomeUnknown, errors.BalanceUnexplained)  # the first: its answer was lost
ANYBODY: tuple[Refusal, ...] = (errors.Malformed, errors.RateLimited)
BY_TOKEN: tuple[Refusal, ...] = (*ANYBODY, errors.NotSignedIn, errors.KeyRefused, errors.Forbidden)
SHARED: dict[str, tuple[Refusal, ...]] = {
    "public": ANYBODY,
    "token": (*BY_TOKEN, errors.MissingScope),
    "operator_token": (*BY_TOKEN, errors.MissingScope, errors.OperatorNotProven),
}
INTERNAL = "internal"  # of a 500

MEANING = {
    400: "Not understood.",
    401: "No live token or API key, or wrong credentials.",
    402: "Not enough credits, or an API key has spent its month. Nothing was charged.",
    403: "Not open to this account, or to this API key.",
    404: "Not there, or not yours.",
    409: "In the way of what is there.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "Well-formed but not acceptable; `field` and `errors` say what to mend.",
    429: "Too many. Retry-After says when to try again.",
    500: "A fault of ours, which has been noted.",
    503: "Something that we depend on is down. Retry-After says when to try again.",
}
HEADERS: dict[str, Json] = {
    "X-Request-Id": {"description": "Names this request in our logs.", "schema": {"type": "string"}, "required": True},
    "ETag": ETAG,
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}, "required": True},
    "Deprecation": {"description": "Since when, RFC 9745.", "schema": {"type": "string"}, "required": True},
    "Sunset": {"description": "The end of this call, RFC 8594.", "schema": {"type": "string"}, "required": True},
    REPLAYED: {
        "description": "There, and `true`, where an earlier request has done it and nothing was done again.",
        "schema": {"enum": ["true"]},
        "required": False,
    },
    NAMED: {
        "description": "A name for the file, RFC 6266.",
        "schema": {"type": "string", "examples": ["attachment; filename=impacteragi-transactions.csv"]},
        "required": True,
    },
    COUNTED: {"description": "Rows of the file; not with HEAD.", "schema": {"type": "integer"}, "required": False},
    SUMMED: {"description": "What they add up to; not with HEAD.", "schema": {"type": "integer"}, "required": False},
    "WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}, "required": True},
    POLICY: {
        "description": "The limits that have counted this request (draft-ietf-httpapi-ratelimit-headers): `q` so many "
        "in `w` seconds, or at one time where `qu` says so.",
        "schema": {"type": "string", "examples": ['"submit";q=600;w=60']},
        "required": False,
    },
    LEFT: {
        "description": "How it stands with them: `r` are left, and there are more in `t` seconds. Of attempts at a "
        "secret only a refusal says it.",
        "schema": {"type": "string", "examples": ['"submit";r=599;t=42']},
        "required": False,
    },
}
HEADERS_OF = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}

REFUSAL = optional(
    fields(
        error=TEXT | {"description": "A plain sentence for people."},
        code=TEXT | {"description": "A stable word for programs. More of them may come."},
    ),
    field=TEXT | {"description": "400, 422: what to mend first."},
    errors={
        "type": "array",
        "description": "400, 422: everything to mend.",
        "items": fields(field=TEXT, error=TEXT | {"description": "A plain sentence for people."}),
    },
    scope=TEXT | {"description": "403: what an API key lacks."},
    required=COUNT | {"description": "402: credits that this takes."},
    available=WHOLE | {"description": "402: credits that there are."},
    limit=COUNT | {"description": "402: credits that the API key may spend in a UTC month."},
    used=COUNT | {"description": "402: credits that it has spent in this one."},
    resets_at=MOMENT | {"description": "402: when the next month begins."},
    task_id=TEXT | {"description": "409: the task that has the reference."},
)


def calls_of(app: Flask) -> Iterator[tuple[str, str, Any, Call]]:
    """Method, path as the document writes it, view and definition of each call of the API, in the order of the routes.

    Raises TypeError for a view under /api without a definition: a mistake of ours.
    """
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/"):
            continue
        view = app.view_functions[rule.endpoint]
        if not hasattr(view, "call"):
            raise TypeError(f"{rule.rule} is under /api and has no @call")
        for method in METHODS:
            if method in (rule.methods or ()):
                yield method, _path(rule), view, view.call


def document(app: Flask, app_url: str, *, without: Collection[str] = ()) -> Json:
    """The document, with `app_url` as the server's address, `without` the calls of some tags."""
    paths: Json = {}
    models: set[type[Struct]] = set()
    for method, path, view, call in calls_of(app):
        if call.tag in without:
            continue
        paths.setdefault(path, {})[method.lower()] = _operation(method, view, call)
        models |= {call.body} if call.body else set()
    paths = described(paths)
    schemas = {"Refusal": REFUSAL} | shapes.MAPS | _answers() | _bodies(models)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ImpacterAGI Customer Dashboard",
            "version": VERSION,
            "description": DESCRIPTION,
            "contact": {"name": "ImpacterAGI", "url": app_url},
        },
        "servers": [{"url": app_url}],
        "tags": [tag for tag in TAGS if tag["name"] not in without],
        "paths": paths,
        "components": {
            "schemas": _used(schemas, paths, "schemas"),
            "headers": _used(HEADERS, paths, "headers"),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def then(*calls: str, at: str = "/task_id") -> Json:
    """Links to calls that take the task_id of this answer."""
    return {name: {"operationId": name, "parameters": {"task_id": f"$response.body#{at}"}} for name in calls}


def scope_of(view: Any) -> str:
    """What a call asks of an API key, in words; empty where anybody may ask."""
    if view.access == "public":
        return ""
    if view.scope == api_keys.SESSION:
        return "A token of a sign-in (`login`): no API key may."
    return "Any API key may." if view.scope == api_keys.ANY else f"Scope of an API key: `{view.scope}`."


def codes_of(method: str, view: Any, call: Call) -> dict[int, list[str]]:
    """The codes that a call may be refused with, by status."""
    codes: dict[int, set[str]] = {}
    refusals = [*SHARED[view.access], *READS, *(() if method == "GET" else WRITES), *call.refusals]
    if call.body:
        refusals.append(errors.InvalidInput)
    for refusal in refusals:
        codes.setdefault(status_of(refusal), set()).add(refusal.code)
    for status in _of_body(call):
        codes.setdefault(status, set()).add(CODES[status])
    codes.setdefault(500, set()).add(INTERNAL)
    return {status: sorted(codes[status]) for status in sorted(codes)}


def _of_body(call: Call) -> tuple[int, ...]:
    if call.body or (call.raw and call.raw.media_type == "application/json"):
        return (413, 415) if call.body else (413,)
    return (413,) if call.raw else ()


def _operation(method: str, view: Any, call: Call) -> Json:
    made: Json = {"operationId": call.name, "summary": call.summary, "tags": [call.tag]}
    made["description"] = " ".join(filter(None, (call.description or f"{call.summary}.", scope_of(view))))
    if call.deprecated:
        made["deprecated"] = True
        if call.deprecated.instead:
            made["description"] += f" Deprecated: use `{call.deprecated.instead}`."
    if call.limits:
        made["description"] += f" Limits: {', '.join(f'`{name}`' for name in call.limits)}."
        made["x-rate-limits"] = list(call.limits)
    made["security"] = _security(view)
    if parameters := list(_parameters(call)):
        made["parameters"] = parameters
    if call.raw:
        content = {call.raw.media_type: {"schema": call.raw.schema}}
        made["requestBody"] = {"required": call.raw.required, "content": content}
    elif call.body:
        content = {"application/json": {"schema": ref(call.body.__name__)}}
        made["requestBody"] = {"required": call.body_required, "content": content}
    responses = {str(status): _answer(said, call) for status, said in call.answers.items()}
    if call.links:
        next(iter(responses.values()))["links"] = call.links
    codes = codes_of(method, view, call)
    made["responses"] = responses | {str(status): _refusal(status, codes[status], call) for status in codes}
    return made


def _security(view: Any) -> list[Json]:
    """https://spec.openapis.org/oas/v3.1.0#security-requirement-object: the names are those of scopes, or of roles."""
    if view.access == "public":
        return []
    if view.scope == api_keys.SESSION:
        return [{"token": []}]
    return [{"token": []}, {"key": [] if view.scope == api_keys.ANY else [view.scope]}]


def _parameters(call: Call) -> Iterator[Json]:
    for name, kind in call.path.items():
        yield {"name": name, "in": "path", "required": True, **_told(schema_of(kind))}
    for place, model in (("query", call.query), ("header", call.headers)):
        for name, field in fields_of(model).items() if model else ():
            made = {"name": name, "in": place, **_told(schema_of(field.type))}
            if field.default:
                made["schema"]["default"] = field.default
            if field.required:
                made["required"] = True
            elif place == "query":
                made["allowEmptyValue"] = True
            yield made


def _told(schema: Json) -> Json:
    said = {"description": schema.pop("description")} if "description" in schema else {}
    return {"schema": schema, **said}


def _answer(said: Said, call: Call) -> Json:
    """A success: the shape that the view answers with, or for a redirect what it leads to."""
    headers = _headers(*_ends(call), *([REPLAYED] if call.replays else []), *_limits(call))
    if isinstance(said, str):
        location = {"schema": {"type": "string", "format": "uri"}, "required": True}
        return {"description": said, "headers": {"Location": location} | headers}
    if isinstance(said, File):
        content = {said.media_type: {"schema": said.schema}}
        return {"description": "The file.", "headers": headers | _headers(NAMED, *said.headers), "content": content}
    schema = said if isinstance(said, dict) else said.described
    return {"description": "Done.", "headers": headers, "content": {"application/json": {"schema": schema}}}


def _refusal(status: int, codes: list[str], call: Call) -> Json:
    words = ", ".join(f"`{code}`" for code in codes)
    return {
        "description": f"{MEANING[status]} `code`: {words}.",
        "x-codes": codes,
        "headers": _headers(*HEADERS_OF.get(status, ()), *_limits(call)),
        "content": {"application/json": {"schema": ref("Refusal")}},
    }


def _ends(call: Call) -> list[str]:
    if not call.deprecated:
        return []
    return ["Deprecation", *(["Sunset"] if call.deprecated.sunset else [])]


def _limits(call: Call) -> list[str]:
    return [POLICY, LEFT] if call.limits else []


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


@cache
def _answers() -> dict[str, Json]:
    return {shape.name: shape.schema for shape in vars(shapes).values() if isinstance(shape, Shape) and shape.name}


def _bodies(models: Iterable[type[Struct]]) -> dict[str, Json]:
    from msgspec.json import schema_components

    _, made = schema_components(
        sorted(models, key=lambda model: model.__name__), ref_template="#/components/schemas/{name}"
    )
    more = {model.__name__: model.more_schema for model in models if issubclass(model, Body)}
    return {name: _plain(schema) | more.get(name, {}) for name, schema in made.items()}


def _plain(schema: Json) -> Json:
    """Without the title that only repeats the name, and without null where a field is left out."""
    for field in schema.get("properties", {}).values():
        if "default" in field and field["default"] is None:
            del field["default"]
    return {key: value for key, value in schema.items() if key != "title"}


def _used(known: dict[str, Json], said: Json, kind: str) -> dict[str, Json]:
    """What is referred to, by the calls or by one another."""
    found: set[str] = set()
    ahead = [said]
    while ahead:
        names = set(re.findall(rf'"#/components/{kind}/([^"]+)"', json.dumps(ahead.pop()))) - found
        found |= names
        ahead += [known[name] for name in names]
    return {name: made for name, made in known.items() if name in found}


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
