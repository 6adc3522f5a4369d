"""A name for each answer that the API gives to a GET: who has it already is told so in a few bytes.

Weak, for the same JSON leaves compressed or not: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.1
"""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Flask, Response, g, json, request

from .exports import NAMED

KEPT = "private, no-cache"  # by whoever asked alone, and asked about again each time
CHARACTERS = 32  # of a hash in hexadecimals: no two answers of anybody's share a name
IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an answer that one has: where nothing has changed, the answer is a 304 without a body.",
    "schema": {"type": "string"},
}
ETAG: dict[str, Any] = {
    "description": "Of this very answer, weak: for If-None-Match.",
    "schema": {"type": "string", "pattern": '^W/"[0-9a-f]+"$'},
    "required": True,
}


def leave_out(*fields: str) -> None:
    """Name the answer of this request without these fields: what is an estimate moves all the time, and is no news."""
    g.left_out = fields


def register(app: Flask) -> None:
    """Call after compression.py: what ran later is asked first, and the name is that of the JSON itself."""

    @app.after_request
    def name_answer(response: Response) -> Response:
        if request.method != "GET" or not request.path.startswith("/api/"):
            return response
        if response.status_code != 200 or response.mimetype != "application/json" or response.direct_passthrough:
            return response  # a file is not read into memory for its name
        etag = hashlib.sha256(_named_by(response.get_data(), g.pop("left_out", ()))).hexdigest()[:CHARACTERS]
        response.set_etag(etag, weak=True)
        if request.if_none_match.contains_weak(etag):
            response.status_code = 304
            response.set_data(b"")
        return response


def _named_by(body: bytes, left_out: tuple[str, ...]) -> bytes:
    if not left_out:
        return body
    kept = {name: value for name, value in json.loads(body).items() if name not in left_out}
    return json.dumps(kept).encode()


def described(paths: dict[str, Any]) -> dict[str, Any]:
    """The calls of the document, each GET that answers with JSON described with what is said here."""
    return {path: {method: _named(method, call) for method, call in calls.items()} for path, calls in paths.items()}


def _named(method: str, call: dict[str, Any]) -> dict[str, Any]:
    answer = call["responses"].get("200", {})
    if method != "get" or "application/json" not in answer.get("content", {}) or NAMED in answer["headers"]:
        return call
    headers = answer["headers"] | {"ETag": {"$ref": "#/components/headers/ETag"}}
    unchanged = {"description": "As If-None-Match has it. No body.", "headers": headers}
    return call | {
        "parameters": [*call.get("parameters", ()), IF_NONE_MATCH],
        "responses": {"200": answer | {"headers": headers}, "304": unchanged}
        | {status: said for status, said in call["responses"].items() if status != "200"},
    }
