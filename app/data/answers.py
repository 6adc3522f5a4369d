"""What counts as an answer of the store. A proxy, a portal or a fault that says 200 as well has answered nothing."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from botocore.parsers import ResponseParserError

from app.domain.clock import store_time

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
ALWAYS_THERE = {
    "BatchGetItem": "Responses",
    "DescribeTable": "Table",
    "ListTables": "TableNames",
    "Query": "Count",
    "Scan": "Count",
}
# Refusals that are answers as good as any: asking again is for the one who decided on what was read.
REFUSALS = frozenset(
    {"ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException"}
)
TURNED_AWAY = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})
NOTE_EVERY_SECONDS = 1.0  # a Date has whole seconds, and reading one costs as much as a tenth of a call
YEARS = range(2020, 2200)  # a Date beyond them is nobody's time
OF_AN_ERROR = frozenset({"error", "errors", "message", "Message", "__type"})
KINDS: dict[str, type] = {"structure": dict, "map": dict, "list": list, "integer": int, "long": int, "string": str}

_read = msgspec.json.Decoder().decode  # a third of the time of json.loads, and stricter: no NaN, no half of a pair


class Answers:
    """Tells the store's answers from anything else, for one client.

    A 200 is an answer if it is a JSON object in the shape of its operation: otherwise an `{"error": …}` would read as
    "no such row", or as a transaction done. AWS states a checksum with all that it says, refusals too; where the
    endpoint is its own, what has none did not come from there. Emulators send none, or one that must be right as well.
    What is an answer also tells the time: its Date is noted.
    """

    def __init__(self, client: Any, *, checksums: bool | None = None) -> None:
        self._service = client.meta.service_model
        self._shapes: dict[str, dict[str, type]] = {}
        self._noted_at: float | None = None
        self.checksums = is_aws(client.meta.endpoint_url) if checksums is None else checksums
        client.meta.events.register("before-parse.dynamodb", self._look)

    def read(self, operation: str, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
        """What was said; None when it is no answer, arrived damaged, or says nothing of what was asked for."""
        found = self._said(operation, status, headers, body)
        if found is not None and (status == 200 or "__type" in found):
            self._note_date(headers)
        return found

    def _said(self, operation: str, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
        if not self.is_whole(headers, body):
            return None
        try:
            found = _read(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        return found if status != 200 or self._fits(operation, found) else None

    def _note_date(self, headers: Mapping[str, str]) -> None:
        now = time.monotonic()
        if self._noted_at is None or now - self._noted_at >= NOTE_EVERY_SECONDS:
            stated = date_of(headers)
            if stated is not None and stated.year in YEARS:
                self._noted_at = now
                store_time.note(stated)

    def is_whole(self, headers: Mapping[str, str], body: bytes) -> bool:
        stated = headers.get("x-amz-crc32")
        return not self.checksums if stated is None else stated == str(zlib.crc32(body))

    def _fits(self, operation: str, found: dict[str, Any]) -> bool:
        """AWS may add to an answer: a name that is new here is nothing wrong beside one that is known."""
        known = self._known(operation)
        named = known.keys() & found.keys()
        if found and (not named or OF_AN_ERROR & found.keys()):
            return False
        if operation in ALWAYS_THERE and ALWAYS_THERE[operation] not in found:
            return False
        return all(isinstance(found[name], known[name]) for name in named)

    def _known(self, operation: str) -> dict[str, type]:
        """The fields of an answer and their kinds, out of botocore's own description of the service."""
        if operation not in self._shapes:
            shape = self._service.operation_model(operation).output_shape
            members = shape.members if shape else {}
            self._shapes[operation] = {name: KINDS.get(part.type_name, object) for name, part in members.items()}
        return self._shapes[operation]

    def _look(self, operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        """Called by botocore with each answer before it is read. Raises ResponseParserError."""
        status, headers, body = response_dict["status_code"], response_dict["headers"], response_dict["body"]
        if status < 300:
            if status != 200 or self.read(operation_model.name, status, headers, body) is None:
                raise ResponseParserError("this is no answer of the store")
        elif status < 500:
            if not self.is_whole(headers, body):
                raise ResponseParserError("this refusal is not the store's")
            self.read(operation_model.name, status, headers, body)  # refused for its clock, it learns the time by it


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """When an answer says that it was given; None when it does not say."""
    try:
        moment = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def is_aws(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    return parts.scheme == "https" and f".{parts.hostname or ''}".endswith(AWS_DOMAINS)
