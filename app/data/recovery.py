"""What DynamoDB does with whole tables by itself: back to an earlier moment, and exports to S3.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreTableToPointInTime.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExportTableToPointInTime.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from app.domain.errors import InvalidInput, StoreUnavailable

from .base import Base
from .client import call
from .table_copies import described

IN_PROGRESS, COMPLETED, FAILED = "IN_PROGRESS", "COMPLETED", "FAILED"


@dataclass(frozen=True, slots=True)
class Window:
    """The moments that a table can be put back to."""

    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Export:
    """How an export at AWS is: one of the three states above, and in AWS's words why it failed."""

    arn: str
    state: str
    moment: datetime | None
    prefix: str
    failure: str = ""
    items: int = 0


class Recovery(Base):
    """Of the tables under the prefix. Raises StoreUnavailable; InvalidInput with what AWS itself says no to."""

    def window(self, table: str) -> Window | None:
        """None: the table has no point-in-time recovery, or is not there."""
        try:
            answer = call(self.client, "describe_continuous_backups", TableName=self.prefix + table)
        except StoreUnavailable as error:
            if _code(error) in ("TableNotFoundException", "ResourceNotFoundException"):
                return None
            raise
        found = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        earliest, latest = found.get("EarliestRestorableDateTime"), found.get("LatestRestorableDateTime")
        if found.get("PointInTimeRecoveryStatus") != "ENABLED" or earliest is None or latest is None:
            return None
        return Window(earliest.astimezone(UTC), latest.astimezone(UTC))

    def restore(self, table: str, target_prefix: str, moment: datetime) -> None:
        """Begin to write the table of that moment into one of the other prefix, with its indexes."""
        self._ask(
            "restore_table_to_point_in_time",
            SourceTableName=self.prefix + table,
            TargetTableName=target_prefix + table,
            RestoreDateTime=moment,
        )

    def restored_from(self, table: str) -> tuple[str, datetime] | None:
        """The table and the moment that this one was restored from, as DynamoDB says; None where it does not."""
        told = (described(self.client, self.prefix + table) or {}).get("RestoreSummary") or {}
        source, moment = str(told.get("SourceTableArn") or ""), told.get("RestoreDateTime")
        return (source.rpartition("/")[2], moment.astimezone(UTC)) if source and moment else None

    def state(self, table: str) -> str:
        """DynamoDB's word, `ACTIVE` once it can be read; empty where it is not there."""
        return str((described(self.client, self.prefix + table) or {}).get("TableStatus", ""))

    def begin_export(self, arn: str, *, bucket: str, prefix: str, moment: datetime, token: str) -> Export:
        """Begin one, or find the one that the same token has begun within the last eight hours."""
        answer = self._ask(
            "export_table_to_point_in_time",
            TableArn=arn,
            S3Bucket=bucket,
            S3Prefix=prefix,
            ExportTime=moment,
            ExportFormat="DYNAMODB_JSON",
            ExportType="FULL_EXPORT",
            S3SseAlgorithm="AES256",
            ClientToken=token,
        )
        return _export(answer["ExportDescription"])

    def export(self, arn: str) -> Export:
        return _export(self._ask("describe_export", ExportArn=arn)["ExportDescription"])

    def exports_since(self, table_arn: str, moment: datetime) -> list[Export]:
        """Those of a table that were begun since, the oldest first: an export's name begins with its milliseconds."""
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = self._ask("list_exports", TableArn=table_arn, **more)
            found += [summary["ExportArn"] for summary in page["ExportSummaries"]]
            if not page.get("NextToken"):
                break
            more = {"NextToken": page["NextToken"]}
        return [self.export(arn) for arn in sorted(found) if _begun_at(arn) >= moment - timedelta(minutes=1)]

    def _ask(self, operation: str, **request: Any) -> dict[str, Any]:
        try:
            return call(self.client, operation, **request)
        except ClientError as error:
            raise _refused(operation, error) from error
        except StoreUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response.get("Error", {}).get("Code"):
                raise _refused(operation, cause) from error
            raise


def _refused(operation: str, error: ClientError) -> InvalidInput:
    told = error.response.get("Error", {})
    return InvalidInput(f"DynamoDB refuses {operation}: {told.get('Code')}: {told.get('Message', '')}".strip())


def _code(error: StoreUnavailable) -> str:
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, ClientError) else ""


def _export(told: dict[str, Any]) -> Export:
    moment = told.get("ExportTime")
    failure = " ".join(str(told[name]) for name in ("FailureCode", "FailureMessage") if told.get(name))
    return Export(
        told["ExportArn"],
        told["ExportStatus"],
        moment.astimezone(UTC) if moment else None,
        str(told.get("S3Prefix") or ""),
        failure,
        int(told.get("ItemCount") or 0),
    )


def _begun_at(arn: str) -> datetime:
    digits = arn.rpartition("/")[2].partition("-")[0]
    return datetime.fromtimestamp(int(digits) / 1000, UTC) if digits.isdigit() else datetime.max.replace(tzinfo=UTC)
