"""What the tables say of themselves that no request depends on: times to live, recovery, protection, region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.domain.errors import StoreUnavailable

from .client import TableMissing, call
from .table_setup import Difference, compare_expiry
from .tables import ALL


def expiry_differences(client: Any, prefix: str) -> list[Difference]:
    """Tables whose rows do not expire by what the code says, of those that are there. Raises StoreUnavailable."""
    found: list[Difference] = []
    for table in ALL:
        try:
            found += compare_expiry(client, table, prefix + table.suffix)
        except TableMissing:
            continue
    return found


def unrecoverable_tables(client: Any, prefix: str) -> list[str]:
    """Names of tables without point-in-time recovery. Raises StoreUnavailable."""
    return [name for name, _ in _described(client, prefix) if not _is_recoverable(client, name)]


def _is_recoverable(client: Any, name: str) -> bool:
    backups = call(client, "describe_continuous_backups", TableName=name)["ContinuousBackupsDescription"]
    found = backups.get("PointInTimeRecoveryDescription", {})
    return bool(found.get("PointInTimeRecoveryStatus") == "ENABLED")


def deletable_tables(client: Any, prefix: str) -> list[str]:
    """Names of tables that one call can delete. Raises StoreUnavailable."""
    described = _described(client, prefix)
    return [name for name, description in described if not description.get("DeletionProtectionEnabled")]


def table_regions(client: Any, prefix: str) -> set[str]:
    """The regions that the names of the tables hold; empty when there is no table. Raises StoreUnavailable."""
    arns = [str(description.get("TableArn", "")) for _, description in _described(client, prefix)]
    return {arn.split(":")[3] for arn in arns if arn.count(":") >= 5}


def _described(client: Any, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables that are there."""
    for table in ALL:
        name = prefix + table.suffix
        try:
            description = call(client, "describe_table", TableName=name).get("Table")
        except TableMissing:
            continue
        if description is None:  # something else than the store has answered
            raise StoreUnavailable
        yield name, description
