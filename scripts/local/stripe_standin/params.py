"""Request parameters in Stripe's bracket notation, and the checks they go through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from .refusals import ApiError

MAX_DEPTH = 10
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_EMAIL = re.compile(r"[^@\s<>,]+@[^@\s<>,]+\.[^@\s<>,]+")


def parse(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0][c]=v` as nested dicts and lists; `a[]=v` appends."""
    tree: dict[str, Any] = {}
    for key, value in pairs:
        match = _KEY.fullmatch(key)
        if not match:
            raise ApiError(f"Invalid parameter name: {key[:80]}", code="parameter_unknown", param=key[:80])
        path = [match[1], *_PART.findall(match[2])]
        if len(path) > MAX_DEPTH:
            raise ApiError("Parameters are nested too deeply.", param=match[1])
        node = tree
        for here, below in pairwise(path):
            child = node.setdefault(here or str(len(node)), {})
            if not isinstance(child, dict):
                raise ApiError(f"Invalid hash: {below}", param=key)
            node = child
        node[path[-1] or str(len(node))] = value
    return {key: _lists(value) for key, value in tree.items()}


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdecimal() for key in node):
        return [_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _lists(value) for key, value in node.items()}


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in sorted(set(given) - set(known)):
        raise ApiError(f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def text(given: Mapping[str, Any], name: str, *, prefix: str = "", limit: int = 5000) -> str | None:
    """A string, None when absent or empty (Stripe reads an empty string as "unset")."""
    value = given.get(name)
    if value is None or value == "":
        return None
    full = _full(prefix, name)
    if not isinstance(value, str):
        raise ApiError("Invalid string", param=full)
    if len(value) > limit:
        raise ApiError(f"Invalid string: must be at most {limit} characters", param=full)
    return value


def required_text(given: Mapping[str, Any], name: str, *, prefix: str = "") -> str:
    value = text(given, name, prefix=prefix)
    if value is None:
        full = _full(prefix, name)
        raise ApiError(f"Missing required param: {full}.", code="parameter_missing", param=full)
    return value


def integer(given: Mapping[str, Any], name: str, *, prefix: str = "", minimum: int | None = None) -> int | None:
    raw = text(given, name, prefix=prefix, limit=20)
    if raw is None:
        return None
    full = _full(prefix, name)
    if not re.fullmatch(r"-?[0-9]+", raw):
        raise ApiError(f"Invalid integer: {raw}", code="parameter_invalid_integer", param=full)
    value = int(raw)
    if minimum is not None and value < minimum:
        message = f"This value must be greater than or equal to {minimum}."
        raise ApiError(message, code="parameter_invalid_integer", param=full)
    return value


def boolean(given: Mapping[str, Any], name: str, *, prefix: str = "") -> bool:
    raw = text(given, name, prefix=prefix)
    if raw not in (None, "true", "false"):
        raise ApiError(f"Invalid boolean: {raw}", param=_full(prefix, name))
    return raw == "true"


def group(given: Mapping[str, Any], name: str, *, prefix: str = "") -> dict[str, Any]:
    value = given.get(name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise ApiError("Invalid object", param=_full(prefix, name))
    return value


def metadata(given: Mapping[str, Any], *, prefix: str = "") -> dict[str, str]:
    """Up to 50 keys of 40 characters with values of 500, as Stripe has it."""
    values = group(given, "metadata", prefix=prefix)
    full = _full(prefix, "metadata")
    if len(values) > 50:
        raise ApiError("Metadata can have up to 50 keys.", param=full)
    for key, value in values.items():
        if len(key) > 40:
            raise ApiError(f"Metadata keys can have up to 40 characters: {key[:40]}…", param=full)
        if not isinstance(value, str):
            raise ApiError(f"Invalid string: metadata value of {key}", param=full)
        if len(value) > 500:
            raise ApiError(f"Metadata values can have up to 500 characters: {key}", param=full)
    return {key: value for key, value in values.items() if value != ""}


def email(given: Mapping[str, Any], name: str) -> str | None:
    value = text(given, name, limit=800)
    if value is not None and not is_email(value):
        raise ApiError(f"Invalid email address: {value}", code="email_invalid", param=name)
    return value


def is_email(value: str) -> bool:
    return bool(_EMAIL.fullmatch(value))


def choice(given: Mapping[str, Any], name: str, allowed: Iterable[str]) -> str | None:
    value = text(given, name)
    if value is not None and value not in (options := tuple(allowed)):
        raise ApiError(f"Invalid {name}: must be one of {', '.join(options)}", param=name)
    return value


def _full(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name
