"""Items as lines of DynamoDB JSON, as its exports hold them, and back: byte for byte, whatever their types.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
import binascii
import json
from decimal import Context, Decimal, InvalidOperation
from hashlib import sha256
from typing import Any

from .codec import Attribute, Item

SAME = 1 << 256  # digests are added up modulo this, so that no order matters
EXACT = Context(prec=40)  # DynamoDB's numbers have at most 38 digits


def to_line(item: Item) -> bytes:
    """One line with its end: `{"Item": {"email": {"S": "ada@example.com"}}}`. Binary values become Base64."""
    text = json.dumps({"Item": item}, ensure_ascii=False, separators=(",", ":"), default=_base64)
    return text.encode() + b"\n"


def from_line(line: bytes) -> Item:
    """The item of a line, as the client of DynamoDB takes it. Raises ValueError for what is none."""
    try:
        found = json.loads(line)
        return _item(found["Item"])
    except (KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ValueError("no item") from error


def to_json(item: Item) -> Any:
    """What `json` can write: for a place in a scan that is kept."""
    return json.loads(to_line(item))["Item"]


def from_json(item: dict[str, Any]) -> Item:
    return _item(item)


def digest(item: Item) -> int:
    """The same for items that are equal to DynamoDB, however attributes, sets and numbers are written."""
    plain = {name: _plain(attribute) for name, attribute in item.items()}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(sha256(text.encode()).digest(), "big")


def _base64(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"no DynamoDB JSON: {type(value).__name__}")


def _item(item: dict[str, Any]) -> Item:
    return {name: _attribute(attribute) for name, attribute in item.items()}


def _attribute(attribute: dict[str, Any]) -> Attribute:
    if len(attribute) != 1:
        raise ValueError("an attribute has one type")
    ((kind, value),) = attribute.items()
    if kind == "M":
        return {"M": _item(value)}
    if kind == "L":
        return {"L": [_attribute(inner) for inner in value]}
    if kind == "B":
        return {"B": base64.b64decode(value, validate=True)}
    if kind == "BS":
        return {"BS": [base64.b64decode(inner, validate=True) for inner in value]}
    if kind not in ("S", "N", "BOOL", "NULL", "SS", "NS"):
        raise ValueError("an unknown type")
    return attribute


def _plain(attribute: Attribute) -> Any:
    ((kind, value),) = attribute.items()
    if kind in ("S", "BOOL", "NULL"):
        return [kind, value]
    if kind == "N":
        return [kind, _number(value)]
    if kind == "M":
        return [kind, {name: _plain(inner) for name, inner in value.items()}]
    if kind == "L":
        return [kind, [_plain(inner) for inner in value]]
    if kind == "B":
        return [kind, _base64(value)]
    if kind == "NS":
        return [kind, sorted(map(_number, value))]
    return [kind, sorted(_base64(inner) if kind == "BS" else inner for inner in value)]


def _number(text: str) -> str:
    """One writing for each number, whatever zeros and exponent it came with: its digits and the power of ten."""
    if text.isascii() and text.isdigit() and not text.startswith("0"):
        digits = text.rstrip("0")
        return f"{digits}e{len(text) - len(digits)}"
    try:
        sign, found, exponent = Decimal(text).normalize(EXACT).as_tuple()
    except InvalidOperation as error:
        raise ValueError("no number") from error
    if isinstance(exponent, str):
        raise ValueError("no number")
    digits = "".join(map(str, found))
    return f"{'-' * sign}{digits}e{exponent}" if digits != "0" else "0"
