"""What /docs shows: the calls of the API as their definitions have them, each with a request and its answer.

The requests and answers are kept in app/web/examples.json. tests/routes/test_docs_page.py sends each request
to the app and holds the answer to the one that is shown; `WRITE_EXAMPLES=1` writes them anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask

from app.domain import webhooks
from app.domain.api_keys import SESSION
from app.domain.errors import DomainError

from .call import Call, File
from .openapi import MEANING, TAGS, calls_of, codes_of, document, scope_of
from .refusals import status_of
from .shape import Json

EXAMPLES = Path(__file__).resolve().parent / "examples.json"
NOT_SHOWN = {"stripe_webhook", "openapi"}  # Stripe's, and the document itself
_OF_A_TASK = (
    *("task_id", "status", "reference", "tags", "credits_spent"),
    *("created_at", "updated_at", "redo_of", "key_id"),
)
EVENTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # type, when it comes, fields of its data
    (webhooks.STARTED, "Somebody begins to work on a task; again where it went back to the queue.", _OF_A_TASK),
    (webhooks.COMPLETED, "The result of a task can be read.", _OF_A_TASK),
    (webhooks.REJECTED, "A task was refused, and its credits are back.", _OF_A_TASK),
    (
        webhooks.LOW,
        "The balance falls below the threshold of the account page, each time.",
        ("credits", "low_balance_threshold"),
    ),
    (
        webhooks.ADDED,
        "Credits were bought, redeemed, given or reinstated.",
        ("transaction_id", "source", "credits_added", "credits"),
    ),
    (webhooks.KEY_REVOKED, "An API key was revoked by itself.", ("key_id", "name")),
    (webhooks.TEST, "You asked for it.", ("message",)),
)
IN_FRONT: tuple[tuple[int, str, str], ...] = (  # said by what stands in front of the app: deploy/cloudflare/worker
    (408, "too_slow", "The body did not arrive whole in time. Nothing was charged: send it again."),
    (502, "unreachable", "No server has answered: it was carried out whole or not at all. With 503 not at all."),
    (503, "maintenance", "Closed for a while. Nothing was charged."),
    (504, "too_late", "No server has answered in time: it was carried out whole or not at all."),
)
RECEIVER = '''\
import base64, hashlib, hmac, time


def is_ours(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """`secret` as it was shown, whsec_…; `headers` by small letters; `body` as it came, in bytes."""
    event_id, at = headers["webhook-id"], headers["webhook-timestamp"]
    if not at.isascii() or not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest()
    wanted = b"v1," + base64.b64encode(made)
    given = headers["webhook-signature"].encode().split(b" ")
    return any(hmac.compare_digest(wanted, one) for one in given)
'''


@dataclass(frozen=True, slots=True)
class Shown:
    """A call, as the page shows it."""

    name: str
    method: str
    path: str
    summary: str
    description: str
    scope: str
    deprecated: bool
    limits: tuple[str, ...]
    takes: list[tuple[str, str, str, bool]]  # name, where, what, whether it must be there
    codes: list[tuple[int, list[str]]]
    request: str  # for curl
    status: int | None
    answer: str
    file: str  # its type, where the answer is one


def chapters(app: Flask, app_url: str) -> list[tuple[str, str, list[Shown]]]:
    """Title, sentence and calls of each chapter that has any."""
    said = document(app, app_url)
    found: dict[str, list[Shown]] = {tag["name"]: [] for tag in TAGS}
    for method, path, view, call in calls_of(app):
        if call.name not in NOT_SHOWN:
            found[call.tag].append(_shown(method, path, view, call, said, app_url))
    return [(tag["name"], tag["description"], found[tag["name"]]) for tag in TAGS if found[tag["name"]]]


def refusals(app: Flask) -> list[tuple[int, str, list[tuple[str, str]]]]:
    """Each status with what it means, and its codes with the sentence that is common for them."""
    codes: dict[int, set[str]] = {}
    for method, _, view, call in calls_of(app):
        if call.name not in NOT_SHOWN:
            for status, words in codes_of(method, view, call).items():
                codes.setdefault(status, set()).update(words)
    sentences = {(status_of(kind), kind.code): kind.message for kind in _kinds(DomainError)}
    return [
        (status, MEANING[status], [(code, sentences.get((status, code), "")) for code in sorted(codes[status])])
        for status in sorted(codes)
    ]


def _kinds(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for each in kind.__subclasses__():
        yield from _kinds(each)
    yield kind


@cache
def examples() -> Mapping[str, Json]:
    """By the name of the call: method, path, headers and body of a request, status and answer."""
    found: Mapping[str, Json] = json.loads(EXAMPLES.read_text(encoding="utf-8")) if EXAMPLES.exists() else {}
    return found


def _shown(method: str, path: str, view: Any, call: Call, said: Json, app_url: str) -> Shown:
    operation = said["paths"][path][method.lower()]
    example, answer = examples().get(call.name), next(iter(call.answers.values()))
    return Shown(
        name=call.name,
        method=method,
        path=path,
        summary=call.summary,
        description=call.description,
        scope=scope_of(view),
        deprecated=call.deprecated is not None,
        limits=call.limits,
        takes=list(_takes(operation, said)),
        codes=list(codes_of(method, view, call).items()),
        request=curl(example, app_url, "$TOKEN" if getattr(view, "scope", "") == SESSION else "$KEY")
        if example
        else "",
        status=example["status"] if example else next(iter(call.answers)),
        answer=_written(example["answer"]) if example and example["answer"] else "",
        file=answer.media_type if isinstance(answer, File) else "",
    )


def _written(answer: Json | str) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, indent=2, ensure_ascii=False)


def _takes(operation: Json, said: Json) -> Iterator[tuple[str, str, str, bool]]:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] != "If-None-Match":
            what = _what(parameter["schema"], parameter.get("description", ""))
            yield parameter["name"], parameter["in"], what, parameter.get("required", False)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = said["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2], body)
    for name, field in schema.get("properties", {}).items():
        yield name, "body", _what(field, field.get("description", "")), name in schema.get("required", ())
        each = said["components"]["schemas"].get(field.get("items", {}).get("$ref", "").rpartition("/")[2], {})
        for inner, kind in each.get("properties", {}).items():
            yield f"{name}[].{inner}", "body", _what(kind, kind.get("description", "")), inner in each["required"]


def _what(schema: Json, description: str) -> str:
    schema = schema.get("anyOf", [{}])[0] | schema  # the other is null: left out
    kind = schema.get("type", "")
    words = [kind[0] if isinstance(kind, list) else kind]
    if kind == "array":
        words = [f"list of {schema['items'].get('type', 'object')}s"]
    if "maxItems" in schema:
        words.append(f"{schema.get('minItems', 0)} to {schema['maxItems']:,} of them")
    if "enum" in schema:
        words = ["one of " + ", ".join(schema["enum"])]
    if "maxLength" in schema:
        words.append(f"up to {schema['maxLength']:,} characters")
    if "minimum" in schema and "maximum" in schema:
        words.append(f"{schema['minimum']:,} to {schema['maximum']:,}")
    if "default" in schema and schema["default"] not in ("", [], (), None):
        words.append(f"{schema['default']} when left out")
    said = ", ".join(word for word in words if word)
    description = " ".join(filter(None, (description, schema.get("items", {}).get("description", ""))))
    return f"{said}. {description}" if description else f"{said}."


def curl(example: Json, app_url: str, secret: str) -> str:
    """The request of an example, for a shell that knows the `secret` which the call takes."""
    lines = [f"curl {_quoted(app_url + example['path'])}"]
    if example["method"] != ("POST" if example["body"] is not None else "GET"):
        lines.append(f"-X {example['method']}")
    if example["signed_in"]:
        lines.append(f'-H "Authorization: Bearer {secret}"')
    lines += [f"-H {_quoted(f'{name}: {value}')}" for name, value in example["headers"].items()]
    if example["body"] is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {_quoted(json.dumps(example['body'], ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
