"""Depots: where backups lie, a folder of this machine or a bucket of S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from app.domain.errors import InvalidInput, NotFound, Unavailable

from .files import s3_client

BUCKET = "s3://"
IN_MEMORY = 16_000_000  # bytes


class DepotUnavailable(Unavailable):
    """The bucket or the folder refuses, or does not answer: the sentence says which, and what it has said."""

    code = "depot_unavailable"


class Depot(Protocol):
    """Names are keys with slashes, below the depot. Writing is whole or not at all, and safe to repeat.

    Raises DepotUnavailable; NotFound for a name that is not there.
    """

    @property
    def bucket(self) -> str: ...

    @property
    def prefix(self) -> str: ...

    def names(self, under: str = "") -> Iterator[tuple[str, int]]: ...

    def folders(self) -> list[str]: ...

    def open(self, name: str) -> AbstractContextManager[BinaryIO]: ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None: ...

    def write_new(self, name: str, content: bytes) -> bool: ...

    def remove(self, name: str) -> None: ...

    def etags(self, under: str) -> dict[str, str]: ...

    def written_at(self, name: str) -> datetime: ...


def open_depot(address: str, region: str, endpoint_url: str | None) -> Depot:
    """`s3://bucket/prefix`, or a folder. Raises InvalidInput."""
    if not address.startswith(BUCKET):
        return Folder(Path(address))
    bucket, _, prefix = address.removeprefix(BUCKET).partition("/")
    if not bucket:
        raise InvalidInput("A bucket is named like s3://bucket/exports.")
    return Bucket(bucket, prefix, region, endpoint_url)


class Folder:
    """A folder of this machine, made by the first writing."""

    bucket = prefix = ""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def names(self, under: str = "") -> Iterator[tuple[str, int]]:
        """Each file's name and bytes, in the order of names; none where there is no such folder."""
        found = sorted(path for path in (self._root / under).rglob("*") if path.is_file())
        for path in found:
            if not path.name.endswith(".part"):  # of a process that was killed
                yield path.relative_to(self._root).as_posix(), path.stat().st_size

    def folders(self) -> list[str]:
        return sorted(path.name for path in self._root.iterdir() if path.is_dir()) if self._root.is_dir() else []

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        try:
            return (self._root / name).open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"{self._root / name} is not there.") from error

    def read(self, name: str) -> bytes:
        with self.open(name) as opened:
            return opened.read()

    def write(self, name: str, content: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with open(part, "wb", opener=_for_its_owner_alone) as opened:
            opened.write(content)
        part.replace(path)

    def write_new(self, name: str, content: bytes) -> bool:
        """Whether it was not there before; then it is now."""
        if (self._root / name).exists():
            return False
        self.write(name, content)
        return True

    def written_at(self, name: str) -> datetime:
        return datetime.fromtimestamp((self._root / name).stat().st_mtime, UTC)

    def etags(self, under: str) -> dict[str, str]:
        """A folder knows none."""
        return {}

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)


def _for_its_owner_alone(path: str, flags: int) -> int:
    """A backup has all that the tables have: addresses, hashes of passwords, what customers have written."""
    return os.open(path, flags, 0o600)


class Bucket:
    """Below a prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str, region: str, endpoint_url: str | None) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._client = s3_client(region, endpoint_url, patient=True)

    def __str__(self) -> str:
        return f"{BUCKET}{self.bucket}/{self.prefix}".rstrip("/")

    def names(self, under: str = "") -> Iterator[tuple[str, int]]:
        for page in self._pages(Prefix=self.prefix + under):
            for stored in page.get("Contents") or []:
                yield stored["Key"].removeprefix(self.prefix), stored["Size"]

    def folders(self) -> list[str]:
        found = []
        for page in self._pages(Prefix=self.prefix, Delimiter="/"):
            found += [common["Prefix"] for common in page.get("CommonPrefixes") or []]
        return sorted(name.removeprefix(self.prefix).rstrip("/") for name in found)

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Once it is here whole: in memory, or in a file that goes when it is closed."""
        answer = self._call("get_object", name, Bucket=self.bucket, Key=self.prefix + name)
        here = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - whoever opens it closes it
        try:
            with closing(answer["Body"]) as body:
                copyfileobj(body, here)
        except (BotoCoreError, OSError, HTTPError) as error:
            here.close()
            raise DepotUnavailable(f"S3 broke off while {name} was read from {self}. Try again.") from error
        here.seek(0)
        return cast(AbstractContextManager[BinaryIO], here)

    def read(self, name: str) -> bytes:
        with self.open(name) as opened:
            return opened.read()

    def write(self, name: str, content: bytes) -> None:
        self._call("put_object", name, Bucket=self.bucket, Key=self.prefix + name, Body=content)

    def write_new(self, name: str, content: bytes) -> bool:
        """Whether it was not there before; then it is now. Of two at once one is told so."""
        try:
            self._call("put_object", "", Bucket=self.bucket, Key=self.prefix + name, Body=content, IfNoneMatch="*")
        except DepotUnavailable as error:
            told = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", "")
            if told in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
                return False
            raise
        return True

    def etags(self, under: str) -> dict[str, str]:
        """What S3 knows the content of each file by."""
        return {
            stored["Key"].removeprefix(self.prefix): str(stored["ETag"]).strip('"')
            for page in self._pages(Prefix=self.prefix + under)
            for stored in page.get("Contents") or []
        }

    def written_at(self, name: str) -> datetime:
        """Of the list, which says so to whoever may not read the file."""
        key = self.prefix + name
        page = self._call("list_objects_v2", "", Bucket=self.bucket, Prefix=key, MaxKeys=1)
        for stored in page.get("Contents") or []:
            if stored["Key"] == key:
                written: datetime = stored["LastModified"]
                return written.astimezone(UTC)
        raise NotFound(f"{self}/{name} is not there.")

    def region(self) -> str | None:
        """Where the bucket is, None where that is not said."""
        answer = self._call("head_bucket", "", Bucket=self.bucket)
        named = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        found = answer.get("BucketRegion") or named.get("x-amz-bucket-region")
        return str(found) if found else None

    def replicas(self) -> set[str]:
        """The buckets that what is written here is replicated to."""
        try:
            answer = self._call("get_bucket_replication", "", Bucket=self.bucket)
        except DepotUnavailable as error:
            told = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", "")
            if told == "ReplicationConfigurationNotFoundError":
                return set()
            raise
        rules = answer["ReplicationConfiguration"]["Rules"]
        return {rule["Destination"]["Bucket"].rpartition(":")[2] for rule in rules if rule["Status"] == "Enabled"}

    def remove(self, name: str) -> None:
        self._call("delete_object", "", Bucket=self.bucket, Key=self.prefix + name)

    def _pages(self, **request: Any) -> Iterator[dict[str, Any]]:
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_objects_v2", "", Bucket=self.bucket, **request, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _call(self, operation: str, name: str, **request: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if name and code in ("404", "NoSuchKey", "NotFound"):
                raise NotFound(f"{self}/{name} is not there.") from error
            raise DepotUnavailable(f"S3 refuses {operation} in {self} ({code}).") from error
        except (BotoCoreError, ResponseParserError, RecursionError, ValueError) as error:
            raise DepotUnavailable(f"S3 does not answer for {self} ({type(error).__name__}).") from error
        return answer
