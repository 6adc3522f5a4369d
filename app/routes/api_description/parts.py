"""The words that the document is written in: `call` for an operation, and the parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.domain import errors
from app.domain.tasks import MAX_IDEMPOTENCY_KEY
from app.forms.paging import DEFAULT_LIMIT, MAX_LIMIT, MAX_SEARCH
from app.web.etags import ETAG
from app.web.refusals import CODES, status_of
from app.web.shape import Json, Pages, Shape, ref

Refusal = type[errors.DomainError]

TAGS = [
    {"name": "accounts", "description": "Signing up, in and out."},
    {"name": "tasks", "description": "Submitting tasks and reading their results."},
    {"name": "credits", "description": "The ledger, buying credits, and codes."},
    {"name": "operators", "description": "Working the queue and looking after customers: with an operator's token."},
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
        "description": "An API key, made under Account.",
    },
}
ANYBODY, CUSTOMER, OPERATOR = "anybody", "customer", "operator"
# What every call may be answered with, by who may ask.
READS: tuple[Refusal, ...] = (errors.StoreUnavailable, errors.StoreBusy)
WRITES: tuple[Refusal, ...] = (*READS, errors.OutcomeUnknown)  # the last: sent, and its answer was lost
MOVES_CREDITS: tuple[Refusal, ...] = (*WRITES, errors.BalanceUnexplained)
BY_TOKEN: tuple[Refusal, ...] = (errors.Malformed, errors.NotSignedIn, errors.KeyRefused, errors.MissingScope, *READS)
SHARED: dict[str, tuple[Refusal, ...]] = {
    ANYBODY: (errors.Malformed,),
    CUSTOMER: BY_TOKEN,
    OPERATOR: (*BY_TOKEN, errors.Forbidden, errors.OperatorNotProven),
}

# What a status means, whatever the call.
MEANING = {
    400: "Not understood.",
    401: "No live token or API key, or wrong credentials.",
    402: "Not enough credits, or an API key has spent its month. Nothing was charged.",
    403: "Not open to this account, or to this API key.",
    404: "Not there, or not yours.",
    409: "In the way of what is there.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "Well-formed but not acceptable; `field` says what to mend.",
    429: "Too many. Retry-After says when to try again.",
    500: "A fault of ours, which has been noted.",
    503: "Something that we depend on is down. Retry-After says when to try again.",
}
HEADERS: dict[str, Json] = {
    "X-Request-Id": {"description": "Names this request in our logs.", "schema": {"type": "string"}, "required": True},
    "ETag": ETAG,
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}, "required": True},
    "Deprecation": {"description": "Since when, RFC 9745.", "schema": {"type": "string"}, "required": True},
    "Link": {"description": "What to call instead.", "schema": {"type": "string"}, "required": True},
    "WWW-Authenticate": {"schema": {"const": "Bearer"}, "required": True},
}
REFUSAL_OF = {402: ("InsufficientCredits", "KeyLimitReached"), 403: ("Forbidden",), 422: ("InvalidInput",)}
HEADERS_OF = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}


@dataclass(frozen=True, slots=True)
class Body:
    """What a call is sent; `refusals` are the statuses that any such body may be answered with."""

    schema: Json
    media_type: str = "application/json"
    required: bool = True
    refusals: tuple[int, ...] = (413, 415)


def call(
    name: str,
    summary: str,
    *,
    tag: str,
    who: str = CUSTOMER,
    parameters: Iterable[Json] = (),
    body: Body | None = None,
    answers: dict[int, Shape[Any] | Pages[Any] | Json | str],
    refusals: Iterable[Refusal] = (),
    description: str = "",
    links: Json | None = None,
    deprecated: bool = False,
) -> Json:
    """One operation. `answers` are the successes by status; the refusals that all calls share are added here."""
    codes = {status: {CODES[status]} for status in (body.refusals if body else ())}
    for refusal in (*SHARED[who], *refusals):
        codes.setdefault(status_of(refusal), set()).add(refusal.code)
    responses = {str(status): _answer(schema) for status, schema in answers.items()}
    if deprecated:
        for response in responses.values():
            response["headers"] |= {name: {"$ref": f"#/components/headers/{name}"} for name in ("Deprecation", "Link")}
    if links:
        next(iter(responses.values()))["links"] = links
    made: Json = {"operationId": name, "summary": summary, "tags": [tag]}
    if description:
        made["description"] = description
    if deprecated:
        made["deprecated"] = True
    made["security"] = [] if who == ANYBODY else [{"token": []}, {"key": []}]
    if parameters := list(parameters):
        made["parameters"] = parameters
    if body:
        made["requestBody"] = {"required": body.required, "content": {body.media_type: {"schema": body.schema}}}
    made["responses"] = responses | {str(status): _refusal(status, sorted(codes[status])) for status in sorted(codes)}
    return made


def then(*calls: str, at: str = "/task_id") -> Json:
    """Links to calls that take the task_id of this answer."""
    return {name: {"operationId": name, "parameters": {"task_id": f"$response.body#{at}"}} for name in calls}


def _answer(said: Shape[Any] | Pages[Any] | Json | str) -> Json:
    """A success: the shape that the view answers with, or for a redirect what it leads to."""
    if isinstance(said, str):
        location = {"schema": {"type": "string", "format": "uri"}, "required": True}
        return {"description": said, "headers": {"Location": location} | _headers()}
    schema = said if isinstance(said, dict) else said.described
    return {"description": "Done.", "headers": _headers(), "content": {"application/json": {"schema": schema}}}


def _refusal(status: int, codes: list[str]) -> Json:
    shapes = [ref(shape) for shape in REFUSAL_OF.get(status, ("Error",))]
    shape = {"anyOf": shapes} if len(shapes) > 1 else shapes[0]
    schema = {"allOf": [shape, {"properties": {"code": {"enum": codes}}}]}
    return {
        "description": MEANING[status],
        "headers": _headers(*HEADERS_OF.get(status, ())),
        "content": {"application/json": {"schema": schema}},
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


# Parameters


def in_path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Json, description: str = "") -> Json:
    """A parameter of the query, which may always be left out; empty is as good as left out."""
    made = {"name": name, "in": "query", "schema": schema, "allowEmptyValue": True}
    return made | ({"description": description} if description else {})


IN_ADDRESS: Json = {"type": "string", "pattern": r"^[^\u0000]*$"}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeat a request whose answer was lost with the same key: done once. An empty one is refused.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
PAGING = [
    in_query(
        "limit",
        {"type": "integer", "default": DEFAULT_LIMIT},
        f"Rows of a page; clamped to 1 to {MAX_LIMIT}.",
    ),
    in_query("cursor", IN_ADDRESS, "The next_cursor of the page before, unchanged."),
]
SEARCH = in_query("q", IN_ADDRESS, f"Words to look for; the first {MAX_SEARCH} characters count.")
