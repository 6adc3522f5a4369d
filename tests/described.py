"""Each JSON answer of the API is held to its description: by operation and status, and with no field beyond it.

`tests/conftest.py` puts `hold` behind Flask's test client and httpx, so that every answer that any test gets is one.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs
from flask import Flask
from werkzeug import datastructures

from app import BLUEPRINTS
from app.web import addresses
from app.web.openapi import document

Json = dict[str, Any]
Headers = Mapping[str, str] | datastructures.Headers  # of httpx, of Werkzeug
PARTS = {"email": ".+@[^/@]+"}  # of an address; all others hold no slash
POLICY = re.compile(r'"([a-z-]+)";q=\d+(?:;qu="concurrent-requests"|;w=\d+)')
LEFT = re.compile(r'"([a-z-]+)";r=(\d+)(?:;t=\d+)?')
# Answers to what is no call of the document: an address or a method that there is not.
NO_CALL = {404, 405}
# Described for every call, and a fault all the same but in a test that makes it: see the fixture `fault_of_ours`.
MEANT: set[int] = set()


def strict(described: Json) -> Json:
    """The document, read as the whole truth: no answer has a field, a word or a code that it does not name."""
    made = copy.deepcopy(described)
    calls = [call for path in made["paths"].values() for call in path.values()]
    for part in parts([made["components"]["schemas"], [call["responses"] for call in calls]]):
        if part.get("type") == "object" and "properties" in part:
            part["additionalProperties"] = False
        if "x-extensible-enum" in part:
            part["enum"] = part["x-extensible-enum"]
    for answer in (answer for call in calls for answer in call["responses"].values() if "x-codes" in answer):
        content = answer["content"]["application/json"]
        content["schema"] = {"allOf": [content["schema"], {"properties": {"code": {"enum": answer["x-codes"]}}}]}
    return made


def described_calls() -> Flask:
    """The calls of the API without anything behind them."""
    made = Flask(__name__)
    addresses.register(made)
    for module in BLUEPRINTS:
        made.register_blueprint(module.bp)
    return made


def parts(value: Any) -> Iterator[Json]:
    """Every object in a piece of the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from parts(inner)


def hold(method: str, path: str, status: int, headers: Headers, body: bytes) -> None:
    """Raise AssertionError for an answer of the API that the document does not promise."""
    if not path.startswith("/api/") or method == "OPTIONS":
        return
    asked = f"{method} {path}: {status}"
    template = _template(path, "GET" if method == "HEAD" else method)
    if template is None:
        assert status in NO_CALL, f"{asked}, and there is no such call"
        _hold_body(asked, {"$ref": "#/components/schemas/Refusal"}, headers, body, method)
        return
    call = _document()["paths"][template]["get" if method == "HEAD" else method.lower()]
    described = call["responses"]
    assert status != 500 or status in MEANT or b"ledger_wrong" in body, f"{asked}: {body[:300]!r}"
    assert str(status) in described, f"{asked} is not described, but {', '.join(described)}: {body[:300]!r}"
    answer = described[str(status)]
    _hold_limits(asked, call.get("x-rate-limits", []), status, headers)
    for name in answer["headers"]:
        may_lack = not _document()["components"]["headers"].get(name, {}).get("required", True)
        assert may_lack or name in headers, f"{asked}: {name} is missing"
    if content := answer.get("content"):
        ((kind, said),) = content.items()
        _hold_body(asked, said["schema"], headers, body, method, kind)
    else:
        assert "json" not in headers.get("Content-Type", ""), f"{asked}: no JSON is described"


def _hold_limits(asked: str, known: list[str], status: int, headers: Headers) -> None:
    """What is said of limits is of those that the call names; a refusal by one of them says that nothing is left."""
    policies = [POLICY.fullmatch(part) for part in headers.get("RateLimit-Policy", "").split(", ") if part]
    left = [LEFT.fullmatch(part) for part in headers.get("RateLimit", "").split(", ") if part]
    names = [found and found[1] for found in policies]
    assert set(names) <= set(known), f"{asked}: {headers['RateLimit-Policy']}, and the call names {known}"
    assert {found and found[1] for found in left} <= set(names), f"{asked}: {headers['RateLimit']}"
    if status == 429 and known:
        assert any(found and (found[2] == "0" or found[1] == "submit") for found in left), f"{asked}: {left}"


def _hold_body(
    asked: str, schema: Json, headers: Headers, body: bytes, method: str, kind: str = "application/json"
) -> None:
    assert headers["Content-Type"].partition(";")[0] == kind, asked
    if method == "HEAD" or not kind.endswith("json"):
        return
    wrong = [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in _errors(schema, body)]
    assert not wrong, f"{asked}: {'; '.join(wrong)}"


def _errors(schema: Json, body: bytes) -> list[Any]:
    return list(_validator(json.dumps(schema)).iter_errors(json.loads(body)))


@cache
def _document() -> Json:
    return strict(document(described_calls(), "http://dashboard.test"))


@cache
def _validator(schema: str) -> Any:
    return jsonschema_rs.Draft202012Validator(json.loads(schema) | {"components": _document()["components"]})


@cache
def _addresses() -> list[tuple[str, str, re.Pattern[str]]]:
    """Method, path of the document, and what matches it; those without a part come first."""
    known = sorted(_document()["paths"].items(), key=lambda path: path[0].count("{"))
    return [
        (method.upper(), path, re.compile(re.sub(r"\{(\w+)\}", lambda part: PARTS.get(part[1], "[^/]+"), path)))
        for path, calls in known
        for method in calls
    ]


@cache
def _template(path: str, method: str) -> str | None:
    return next((template for each, template, form in _addresses() if each == method and form.fullmatch(path)), None)
