"""What calls to DynamoDB cost, told while somebody measures: each try, its units, and whether it was turned away.

Both ways there tell it: the short one (direct.py) by itself, botocore's by its events. Nobody asks DynamoDB for the
units while nothing is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from botocore.exceptions import ClientError

from app.telemetry.instruments import STORE_CALLS, STORE_TRIES, STORE_UNITS
from app.telemetry.spans import CLIENT, span
from app.telemetry.switch import switch

from .answers import REFUSALS, TURNED_AWAY
from .tables import ALL

OK, REFUSED, THROTTLED, FAILED = "ok", "refused", "throttled", "failed"
SEVERAL, OTHER = "several", "other"  # tables of one call; a table that is none of ours
THROTTLED_WITHIN = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded"})  # reasons of a cancelled transaction
SUFFIXES = sorted((table.suffix for table in ALL), key=len, reverse=True)  # TypedDrafts before Drafts
NONE = "none"  # in place of a code: no answer


def measured(ask: Callable[..., dict[str, Any]], operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """One call with all of its tries, as a span and in the histogram. Raises what it raises."""
    action = "".join(word.title() for word in operation.split("_"))
    began, outcome = perf_counter(), FAILED
    try:
        with span(f"DynamoDB {action}", CLIENT, within=True, db__system="dynamodb", table=table_of(request)):
            answer = ask(**request)
        outcome = OK
        return answer
    except ClientError as error:
        outcome = outcome_of(error.response.get("Error", {}).get("Code", ""), error.response)
        raise
    finally:
        STORE_CALLS.record(perf_counter() - began, action=action, outcome=outcome)


def ask_for_units(request: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ConsumedCapacity.html"""
    request["ReturnConsumedCapacity"] = "TOTAL"


def note_try(
    action: str, request: Mapping[str, Any], answer: Mapping[str, Any] | None, status: int | None, code: str
) -> None:
    """A try of the short way: None for an `answer` or a `status` that did not come."""
    _note(action, table_of(request), answer, "" if status == 200 and answer is not None else code or NONE)


def watch(client: Any) -> None:
    """Tells of the tries that botocore makes for this client."""
    client.meta.events.register("before-parameter-build.dynamodb", _ask_for_units)
    client.meta.events.register("needs-retry.dynamodb", _note_try)


def _ask_for_units(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    if switch.on:
        if model.input_shape and "ReturnConsumedCapacity" in model.input_shape.members:
            ask_for_units(params)
        context["dashboard_table"] = table_of(params)


def _note_try(response: tuple[Any, Any] | None, operation: Any, request_dict: dict[str, Any], **_: Any) -> None:
    """Called by botocore after each of its tries, in the thread that makes it."""
    if switch.on:
        parsed = response[1] if response else None
        code = NONE if parsed is None else parsed.get("Error", {}).get("Code", "")
        _note(operation.name, request_dict["context"].get("dashboard_table", OTHER), parsed, code)


def _note(action: str, table: str, answer: Mapping[str, Any] | None, code: str) -> None:
    STORE_TRIES.add(action=action, table=table, outcome=outcome_of(code, answer or {}))
    used = (answer or {}).get("ConsumedCapacity") or ()
    for each in [used] if isinstance(used, dict) else used:
        units = each.get("CapacityUnits")
        if units:
            STORE_UNITS.add(units, action=action, table=suffix_of(each.get("TableName", "")))


def outcome_of(code: str, answer: Mapping[str, Any]) -> str:
    if not code:
        return OK
    reasons = {reason.get("Code") for reason in answer.get("CancellationReasons") or ()}
    if code in TURNED_AWAY or reasons & THROTTLED_WITHIN:
        return THROTTLED
    return REFUSED if code in REFUSALS else FAILED


def table_of(request: Mapping[str, Any]) -> str:
    """The table of a call without its prefix."""
    if "TransactItems" in request:
        named = {operation["TableName"] for item in request["TransactItems"] for operation in item.values()}
    else:
        named = set(request.get("RequestItems") or (request.get("TableName", ""),))
    return suffix_of(named.pop()) if len(named) == 1 else SEVERAL


def suffix_of(table: str) -> str:
    return next((suffix for suffix in SUFFIXES if table.endswith(suffix)), OTHER)
