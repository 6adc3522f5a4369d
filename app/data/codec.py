"""Plain values to DynamoDB's typed attributes and back: text, whole numbers, booleans, lists and maps.

Written out because every request decodes rows: a fraction of the time of boto3's TypeDeserializer, and there is
no Decimal in anything that we write. A number that is not whole can only come from elsewhere and is read as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Attribute = dict[str, Any]
Item = dict[str, Attribute]

MAX_WHOLE = 10**15  # far above any number of credits, far below what an int takes long to read


def encode(value: object) -> Attribute:
    match value:
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case Mapping():
            return {"M": encode_item(value)}
        case list() | tuple():
            return {"L": [encode(inner) for inner in value]}
    raise TypeError(f"cannot store a {type(value).__name__}")


def encode_item(values: Mapping[str, Any]) -> Item:
    """An item without the attributes that are None: absent means none."""
    return {name: encode(value) for name, value in values.items() if value is not None}


def decode(attribute: Attribute) -> Any:
    ((kind, value),) = attribute.items()
    if kind == "S" or kind == "BOOL":
        return value
    if kind == "N":
        return _number(value)
    if kind == "M":
        return decode_item(value)
    if kind == "L":
        return [decode(inner) for inner in value]
    if kind == "NULL":
        return None
    raise TypeError(f"unexpected attribute type {kind}")


def decode_item(item: Item) -> dict[str, Any]:
    # Most are text: a call for each would show, where every request reads rows.
    return {name: attribute["S"] if "S" in attribute else decode(attribute) for name, attribute in item.items()}


def item_size(item: Item) -> int:
    """About how many bytes DynamoDB counts, and charges, for an item: its names and its values."""
    return sum(len(name) + _size(attribute) for name, attribute in item.items())


def _size(attribute: Attribute) -> int:
    ((kind, value),) = attribute.items()
    if kind == "S":
        return len(value.encode())
    if kind == "M":
        return 3 + item_size(value)
    if kind == "L":
        return 3 + sum(map(_size, value))
    return len(value) if kind == "N" else 1


def whole(value: object) -> int | None:
    """A whole number as the original product may have stored it (10, "10", "10.0"), or None: it is never guessed."""
    if type(value) is int:
        return value
    if not isinstance(value, str | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    fits = number.is_finite() and abs(number) < MAX_WHOLE and number == number.to_integral_value()
    return int(number) if fits else None


def _number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        number = Decimal(text)
        return number if whole(number) is None else int(number)
