"""Make the tables as tables.py describes them, compare those that are there, and mend what can be mended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from app.domain.errors import StoreUnavailable

from .client import TableMissing, call
from .tables import ALL, Index, Table

REPLACE = "python scripts/setup_db.py --replace-indexes"
SET_UP = "python scripts/setup_db.py"
LOOK_SECONDS = 1.0
WORD_SECONDS = 15.0
LONGEST_SECONDS = 2 * 3600.0  # an index of a large table is filled for a long time
TTL_ON = ("ENABLED", "ENABLING")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a table is not as the code describes it. `breaks`: requests fail because of it."""

    what: str
    way: str = ""
    breaks: bool = True
    table: Table | None = None
    index: Index | None = None

    def __str__(self) -> str:
        return f"{self.what}; {self.way}" if self.way else self.what


def create_tables(
    client: Any,
    prefix: str,
    *,
    say: Callable[[str], None] = lambda line: None,
    replace: bool = False,
    expiring: bool = True,
) -> list[str]:
    """Make what is missing: tables, indexes, times to live. Safe to repeat; returns the names of new tables.

    `expiring`: without it no times to live are set, for who fills them first.

    An index that differs is dropped and made anew with `replace` only: until it is filled, nobody can list by it. What
    then still differs, `differences` names. `say` gets a line for each thing that takes time.
    """
    existing = {name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    made = [name for table in ALL if (name := prefix + table.suffix) not in existing and _create(client, table, name)]
    if made:
        say(f"{len(made)} tables are being made ...")
    for table in ALL:
        name = prefix + table.suffix
        description = _wait(client, name, say)
        for difference in [] if name in made else _compare(table, name, description):
            if difference.index and (replace or not _named(description, difference.index)):
                _make_index(client, table, name, difference.index, _named(description, difference.index), say)
        if table.ttl and expiring:
            _set_ttl(client, name, table.ttl, say)
    return made


def expire(client: Any, prefix: str, *, say: Callable[[str], None] = lambda line: None) -> None:
    """Set the times to live of the tables that are there; make nothing. Safe to repeat."""
    existing = {name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    for table in ALL:
        if table.ttl and prefix + table.suffix in existing:
            _set_ttl(client, prefix + table.suffix, table.ttl, say)


def protect(client: Any, prefix: str, *, say: Callable[[str], None] = lambda line: None) -> None:
    """Point-in-time recovery and protection for every table, which no restore carries over. Safe to repeat.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreTableToPointInTime.html
    """
    for table in ALL:
        name = prefix + table.suffix
        on = {"PointInTimeRecoveryEnabled": True}
        client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=on)
        if not client.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
            client.update_table(TableName=name, DeletionProtectionEnabled=True)
            _wait(client, name, say)


def differences(client: Any, prefix: str, *, ttl: bool = False) -> list[Difference]:
    """How the tables differ from the code. Raises StoreUnavailable.

    `ttl` asks for the times to live too: those calls are few a second on AWS, so a health check leaves them out.
    """
    found = []
    for table in ALL:
        name = prefix + table.suffix
        try:
            description = call(client, "describe_table", TableName=name).get("Table")
        except TableMissing:
            found.append(Difference(f"table {name} is missing", f"{SET_UP} makes it"))
            continue
        if description is None:  # something else than the store has answered
            raise StoreUnavailable
        found += _compare(table, name, description)
        if ttl:
            found += compare_expiry(client, table, name)
    return found


def _compare(table: Table, name: str, description: dict[str, Any]) -> list[Difference]:
    found = []
    if _schema(description["KeySchema"]) != _schema(wanted := _key_schema(table.key, table.range_key)):
        keys, ours = (", ".join(key for key, _ in _schema(schema)) for schema in (description["KeySchema"], wanted))
        way = "a key cannot be changed: export its rows, remove the table, make it anew and import them"
        found.append(Difference(f"table {name} has the key {keys} instead of {ours}", way))
    types = {known["AttributeName"]: known["AttributeType"] for known in description["AttributeDefinitions"]}
    for key in _keys(table):
        if types.get(key, "S") != "S":
            way = "the type of a key cannot be changed: make the table or the index anew"
            found.append(Difference(f"table {name} keeps {key} as type {types[key]} instead of S", way))
    present = {index["IndexName"]: index for index in description.get("GlobalSecondaryIndexes") or []}
    for index in table.indexes:
        found += _compare_index(table, name, index, present.get(index.name))
    return found


def compare_expiry(client: Any, table: Table, name: str) -> list[Difference]:
    if not table.ttl or (on := _ttl_of(client, name)) == table.ttl:
        return []
    instead = f"expires by {on!r} instead of {table.ttl!r}" if on else f"expires nothing by {table.ttl!r}"
    return [Difference(f"table {name} {instead}", f"{SET_UP} sets it", breaks=False, table=table)]


def _compare_index(table: Table, name: str, index: Index, there: dict[str, Any] | None) -> list[Difference]:
    if there is None:
        return [Difference(f"table {name} lacks its index {index.name}", f"{SET_UP} makes it", True, table, index)]
    wanted = _index_definition(index)
    if _schema(there["KeySchema"]) != _schema(wanted["KeySchema"]):
        keys = ", ".join(key for key, _ in _schema(there["KeySchema"]))
        what = f"index {index.name} of table {name} has the keys {keys}"
        return [Difference(what, f"{REPLACE} makes it anew", True, table, index)]
    has, needs = _projected(there["Projection"]), _projected(wanted["Projection"])
    if has != needs:
        narrow = has is not None and (needs is None or not needs <= has)
        lacks = "all attributes" if needs is None else ", ".join(sorted(needs - (has or set())))
        what = f"index {index.name} of table {name} " + (f"lacks {lacks}" if narrow else "holds more than is read")
        return [Difference(what, f"{REPLACE} makes it anew", narrow, table, index)]
    if there.get("IndexStatus", "ACTIVE") not in ("ACTIVE", "UPDATING"):
        return [Difference(f"index {index.name} of table {name} is still being filled", "wait for it")]
    return []


def _projected(projection: dict[str, Any]) -> set[str] | None:
    """The attributes beside the keys; None for all of them."""
    return None if projection["ProjectionType"] == "ALL" else set(projection.get("NonKeyAttributes") or ())


def _schema(keys: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(key["AttributeName"], key["KeyType"]) for key in keys]


def _named(description: dict[str, Any], index: Index) -> bool:
    return any(there["IndexName"] == index.name for there in description.get("GlobalSecondaryIndexes") or [])


# Making and mending


def _create(client: Any, table: Table, name: str) -> bool:
    try:
        client.create_table(**_definition(table, name))
    except client.exceptions.ResourceInUseException:  # another set-up made it at the same time
        return False
    return True


def _make_index(client: Any, table: Table, name: str, index: Index, there: bool, say: Callable[[str], None]) -> None:
    if there:
        say(f"index {index.name} of {name} differs: it is dropped and made anew ...")
        client.update_table(TableName=name, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": index.name}}])
        _wait(client, name, say)
    else:
        say(f"index {index.name} of {name} is being made ...")
    client.update_table(
        TableName=name,
        AttributeDefinitions=_attributes(table),
        GlobalSecondaryIndexUpdates=[{"Create": _index_definition(index)}],
    )
    _wait(client, name, say)


def _set_ttl(client: Any, name: str, attribute: str, say: Callable[[str], None]) -> None:
    """Switch it on. On AWS one hour must lie between two changes: then `differences` names it, and a repeat sets it."""
    on = _ttl_of(client, name)
    if on == attribute:
        return
    try:
        if on:
            say(f"table {name} expires by {on}: that is switched off ...")
            client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": False, "AttributeName": on})
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        say(f"the time to live of {name} cannot be changed now: run this again in an hour")


def _ttl_of(client: Any, name: str) -> str | None:
    found = call(client, "describe_time_to_live", TableName=name)["TimeToLiveDescription"]
    return found.get("AttributeName") if found["TimeToLiveStatus"] in TTL_ON else None


def _wait(client: Any, name: str, say: Callable[[str], None]) -> dict[str, Any]:
    """The table's description once it and its indexes are ready."""
    began = word = time.monotonic()
    while True:
        try:
            description: dict[str, Any] = client.describe_table(TableName=name)["Table"]
        except client.exceptions.ResourceNotFoundException:  # made just now, and not yet known everywhere
            description = {"TableStatus": "CREATING"}
        states = [i.get("IndexStatus", "ACTIVE") for i in description.get("GlobalSecondaryIndexes") or []]
        if description["TableStatus"] == "ACTIVE" and set(states) <= {"ACTIVE"}:
            return description
        if time.monotonic() - began > LONGEST_SECONDS:
            raise StoreUnavailable(f"Table {name} is not ready after two hours: run this again later.")
        if time.monotonic() - word > WORD_SECONDS:
            word = time.monotonic()
            say(f"still waiting for table {name} ({description['TableStatus']}) ...")
        time.sleep(LOOK_SECONDS)


def _keys(table: Table) -> list[str]:
    """Every attribute that is a key of the table or of an index, once."""
    keys = [table.key, *([table.range_key] if table.range_key else [])]
    for index in table.indexes:
        keys += [index.hash_key, *([index.range_key] if index.range_key else [])]
    return list(dict.fromkeys(keys))


def _attributes(table: Table) -> list[dict[str, str]]:
    return [{"AttributeName": key, "AttributeType": "S"} for key in _keys(table)]


def _definition(table: Table, name: str) -> dict[str, Any]:
    definition: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": _attributes(table),
        "KeySchema": _key_schema(table.key, table.range_key),
    }
    if table.indexes:
        definition["GlobalSecondaryIndexes"] = [_index_definition(index) for index in table.indexes]
    return definition


def _key_schema(hash_key: str, range_key: str | None) -> list[dict[str, str]]:
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return schema + ([{"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else [])


def _index_definition(index: Index) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": "ALL"}
    if index.projection == ():
        projection = {"ProjectionType": "KEYS_ONLY"}
    elif index.projection:
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projection)}
    return {
        "IndexName": index.name,
        "KeySchema": _key_schema(index.hash_key, index.range_key),
        "Projection": projection,
    }
