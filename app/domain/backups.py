"""What a backup consists of: an export of each table in DynamoDB's own format, and what makes one whole.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html (AWS names the checksums
`.md5`, not `.checksum` as that page does; a data file's `md5Checksum` is of the file as it lies there.)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from typing import Any

from .clock import from_iso, to_iso
from .errors import InvalidInput

FOLDER = "AWSDynamoDB/"
SUMMARY, FILES = "manifest-summary.json", "manifest-files.json"
ONE_MOMENT, SCAN = "ONE_MOMENT", "SCAN"
NO_MANIFEST = "This is no manifest-summary.json of an export:"


@dataclass(frozen=True, slots=True)
class Summary:
    """One table's export. `table`: its name with its prefix; `moment`: None where the manifest does not say.

    `is_one_moment`: AWS's exports are the table at `moment`. One of ours is read while customers may be at work, and is
    so only where a second reading has found the same.
    """

    table: str
    items: int
    moment: datetime | None = None
    export_id: str = ""
    is_one_moment: bool = True
    arn: str = ""


@dataclass(frozen=True, slots=True)
class DataFile:
    """`key`: below FOLDER, beginning with the id of its export."""

    key: str
    items: int
    md5: str
    etag: str = ""  # S3's, of the file that was sent in one part

    def is_known_by(self, etag: str) -> bool:
        """Whether S3's word for a file is that of this one, sent in one piece or in one part."""
        content = base64.b64decode(self.md5)
        return etag in (self.etag, content.hex(), _etag(content))


def read_summary(text: str) -> Summary:
    """Of `manifest-summary.json`. Raises InvalidInput with what is wrong with it."""
    try:
        told = json.loads(text)
        arn, items = str(told["tableArn"]), told["itemCount"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InvalidInput(f"{NO_MANIFEST} it lacks tableArn or itemCount.") from error
    if told.get("exportType") == "INCREMENTAL_EXPORT":
        raise InvalidInput("This is the manifest of an incremental export, which does not hold the whole table.")
    if told.get("outputFormat", "DYNAMODB_JSON") != "DYNAMODB_JSON":
        raise InvalidInput("This export is in Ion, not in DynamoDB JSON: export it again.")
    name = arn.rpartition("/")[2]
    if not name or not _is_count(items):
        raise InvalidInput(f"{NO_MANIFEST} its itemCount is no number of rows.")
    export_id = str(told.get("exportArn") or "").rpartition("/")[2]
    is_one_moment = told.get("consistency", ONE_MOMENT) == ONE_MOMENT
    return Summary(name, items, _moment(told.get("exportTime")), export_id, is_one_moment, arn)


def read_files(text: str) -> list[DataFile]:
    """Of `manifest-files.json`, a line for each data file. Raises InvalidInput."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            key, items, checksum = told["dataFileS3Key"], told["itemCount"], told["md5Checksum"]
            below = key.partition(FOLDER)[2] or key
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"Line {number} names no data file with its itemCount and md5Checksum.") from error
        if not _is_count(items) or not isinstance(checksum, str):
            raise InvalidInput(f"Line {number} has no itemCount or no md5Checksum.")
        found.append(DataFile(below, items, checksum, str(told.get("etag") or "")))
    return found


def write_files(prefix: str, files: Iterable[DataFile]) -> str:
    """`manifest-files.json`, as `read_files` reads it."""
    lines = (
        {
            "itemCount": file.items,
            "md5Checksum": file.md5,
            "etag": _etag(base64.b64decode(file.md5)),
            "dataFileS3Key": prefix + FOLDER + file.key,
        }
        for file in files
    )
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def write_summary(
    summary: Summary, *, table_id: str, bucket: str, prefix: str, begun_at: datetime, ended_at: datetime, size: int
) -> str:
    """`manifest-summary.json`, as AWS has it. Beyond that it says `consistency`, and who has written it."""
    assert summary.moment
    told: dict[str, Any] = {
        "version": "2023-08-01",
        "exportArn": f"{summary.arn}/export/{summary.export_id}",
        "startTime": to_iso(begun_at),
        "endTime": to_iso(ended_at),
        "tableArn": summary.arn,
        "tableId": table_id,
        "exportTime": to_iso(summary.moment),
        "s3Bucket": bucket,
        "s3Prefix": prefix.rstrip("/") or None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{prefix}{FOLDER}{summary.export_id}/{FILES}",
        "billedSizeBytes": size,
        "itemCount": summary.items,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
        "consistency": ONE_MOMENT if summary.is_one_moment else SCAN,
        "exporter": "impacteragi-dashboard",
    }
    return json.dumps(told)


def _etag(md5_of_content: bytes) -> str:
    return md5(md5_of_content, usedforsecurity=False).hexdigest() + "-1"


def checksum(content: bytes) -> str:
    """As manifests have it: MD5 in Base64. It finds damage, and no ill will."""
    return base64.b64encode(md5(content, usedforsecurity=False).digest()).decode()


def new_export_id(moment: datetime, drawn: str) -> str:
    """Of the form of AWS's: milliseconds since 1970 and eight hexadecimal digits. Later ones sort behind."""
    return f"{int(moment.timestamp() * 1000):014d}-{drawn[:8]}"


def name_at(moment: datetime) -> str:
    """Of a backup; names sort by time."""
    return to_iso(moment)[:19].replace(":", "-") + "Z"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _moment(text: object) -> datetime | None:
    try:
        return from_iso(text) if isinstance(text, str) else None
    except ValueError:
        return None
